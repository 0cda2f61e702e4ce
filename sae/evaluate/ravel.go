package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/sae"
)

// readerBatch is the number of prompts that are read at once.
const readerBatch = 16

// RavelDetail is disentanglement for one attribute.
type RavelDetail struct {
	Attribute string `json:"attribute"`
	sae.RavelScore
}

// ravelSetting is what RAVEL needs at one site.
type ravelSetting struct {
	x          []float32 // [entities, d], at each entity's last token
	value      [][]int   // [attributes][entities]
	attributes []string
	reader     sae.AttributeReader
	how        string
}

// Ravel asks whether latents hold the attributes of entities apart (sae.Ravel): interchanging some between two entities should
// change one attribute and leave the others. In a language model the attributes are read off its predictions; in a text
// encoder by linear probes on the activations.
func (b *Bench) Ravel(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	if b.Subject == nil || b.Subject.Tokenizer == nil {
		return nil, errNoModel
	}
	facts := b.Facts
	if facts == nil {
		own, err := cities()
		if err != nil {
			return nil, err
		}
		facts = &own
	}
	o := &Outcome{Suite: "ravel", Metrics: []Metric{{Name: "disentanglement", Better: Higher}, {Name: "cause", Better: Higher}, {Name: "isolation", Better: Higher}}}
	keys, members := bySites(dicts)
	bar := b.progress("ravel", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for _, key := range keys {
		if key.write != "" || len(key.reads()) > 1 {
			for _, d := range members[key] {
				o.leaveOut(d, "its latents write another site than the entities are read at")
			}
			continue
		}
		s, err := b.ravelSetting(ctx, members[key][0], *facts)
		if err != nil {
			return nil, err
		}
		for _, d := range members[key] {
			score, err := b.ravel(ctx, d, s)
			if errors.Is(err, stats.ErrTooFew) || errors.Is(err, stats.ErrDegenerate) {
				return nil, fmt.Errorf("%w: the model does not know the facts well enough: %w", errLeftOut, err)
			}
			if err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
			}
			o.Scores = append(o.Scores, score)
			bar.Add(1)
		}
		o.On = fmt.Sprintf("%d entities, %d attributes, %s; intervals over attributes", len(s.value[0]), len(s.value), s.how)
	}
	if len(o.Scores) == 0 {
		return nil, fmt.Errorf("%w: no dictionary reads and writes one site", errLeftOut)
	}
	o.noteModel(b)
	return o, nil
}

func (b *Bench) ravel(ctx context.Context, d *Dictionary, s *ravelSetting) (Score, error) {
	lat, err := d.encode(ctx, s.x)
	if err != nil {
		return Score{}, err
	}
	acts, err := sae.SparseLatents(lat, d.Latents)
	if err != nil {
		return Score{}, err
	}
	cfg := sae.DefaultRavelConfig()
	cfg.Pairs, cfg.Level = b.RavelPairs, b.Boot.Level
	rng := rand.New(rand.NewPCG(b.Seed, 0x726176656c))
	scores, err := sae.Ravel(ctx, sae.RavelData{X: s.x, Latents: acts, Decoder: d.Decoder, Value: s.value}, s.reader, rng, cfg)
	if err != nil {
		return Score{}, err
	}
	var details []RavelDetail
	values := map[string][]float64{}
	for _, one := range scores {
		details = append(details, RavelDetail{s.attributes[one.Attribute], one})
		values["disentanglement"] = append(values["disentanglement"], one.Disentangle)
		values["cause"] = append(values["cause"], one.Cause.Value)
		values["isolation"] = append(values["isolation"], one.Isolation.Value)
	}
	out := Score{Dictionary: d.Name, Values: map[string]stats.Interval{}, Detail: details}
	for name, v := range values {
		if out.Values[name], err = sae.MeanInterval(ctx, v, b.Boot); err != nil {
			return Score{}, err
		}
	}
	return out, nil
}

// ravelSetting reads the entities' activations and makes the reader of their attributes.
func (b *Bench) ravelSetting(ctx context.Context, d *Dictionary, facts Facts) (*ravelSetting, error) {
	at, err := b.Subject.site(d, d.Sites)
	if err != nil {
		return nil, err
	}
	if b.Subject.Model.Spec.Decoder {
		return b.modelSetting(ctx, at, facts)
	}
	return b.probeSetting(ctx, at, facts)
}

// modelSetting reads attributes off the model's predictions. Values that begin with the same token as another one cannot be told
// apart, and their entities are left out.
func (b *Bench) modelSetting(ctx context.Context, at model.Site, facts Facts) (*ravelSetting, error) {
	s := &ravelSetting{attributes: facts.attributes()}
	candidates := make([][]int32, len(s.attributes))
	index := make([]map[string]int, len(s.attributes))
	for a, name := range s.attributes {
		index[a] = map[string]int{}
		for _, v := range facts.values(name) {
			token, err := b.Subject.firstToken(facts.prompt(facts.Entities[0], name), v)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(candidates[a], token) {
				index[a][v] = len(candidates[a])
				candidates[a] = append(candidates[a], token)
			}
		}
	}
	s.value = make([][]int, len(s.attributes))
	prompts := make([][]readerPrompt, len(s.attributes))
	var texts []string
	var places []int
	for _, e := range facts.Entities {
		if slices.ContainsFunc(s.attributes, func(name string) bool {
			_, ok := index[slices.Index(s.attributes, name)][e.Values[name]]
			return !ok
		}) {
			continue
		}
		for a, name := range s.attributes {
			text := facts.prompt(e, name)
			enc, err := b.Subject.encodeOpen(text)
			if err != nil {
				return nil, err
			}
			place, err := b.Subject.lastToken(text, 0, len([]rune(e.Entity)))
			if err != nil {
				return nil, err
			}
			prompts[a] = append(prompts[a], readerPrompt{enc, place})
			s.value[a] = append(s.value[a], index[a][e.Values[name]])
			if a == 0 {
				texts, places = append(texts, text), append(places, place)
			}
		}
	}
	x, err := b.entityRows(ctx, at, texts, places)
	if err != nil {
		return nil, err
	}
	s.x, s.how = x, "read off the predictions of "+b.Subject.Model.Name
	s.reader, err = newModelReader(b.Subject, at, prompts, candidates, readerBatch)
	return s, err
}

// probeSetting reads attributes by linear probes, from the entity in each of its prompts, so that every value has several
// rows; attributes whose values have fewer than minValueRows rows lose those entities.
func (b *Bench) probeSetting(ctx context.Context, at model.Site, facts Facts) (*ravelSetting, error) {
	s := &ravelSetting{attributes: facts.attributes()}
	s.value = make([][]int, len(s.attributes))
	count := map[string]int{}
	for _, e := range facts.Entities {
		for _, name := range s.attributes {
			count[name+"\x00"+e.Values[name]]++
		}
	}
	index := make([]map[string]int, len(s.attributes))
	for a := range index {
		index[a] = map[string]int{}
	}
	var texts []string
	var places []int
	for _, e := range facts.Entities {
		if slices.ContainsFunc(s.attributes, func(name string) bool { return count[name+"\x00"+e.Values[name]] < minValueRows }) {
			continue
		}
		for _, prompt := range s.attributes {
			text := facts.prompt(e, prompt)
			place, err := b.Subject.lastToken(text, 0, len([]rune(e.Entity)))
			if err != nil {
				return nil, err
			}
			texts, places = append(texts, text), append(places, place)
			for a, name := range s.attributes {
				v, ok := index[a][e.Values[name]]
				if !ok {
					v = len(index[a])
					index[a][e.Values[name]] = v
				}
				s.value[a] = append(s.value[a], v)
			}
		}
	}
	if len(texts) < 4 {
		return nil, fmt.Errorf("%w: %d rows of entities whose every value has %d entities", errLeftOut, len(texts), minValueRows)
	}
	x, err := b.entityRows(ctx, at, texts, places)
	if err != nil {
		return nil, err
	}
	s.x, s.how = x, "read by linear probes on the activations of "+b.Subject.Model.Name
	s.reader, err = sae.FitLinearReader(ctx, x, s.value)
	return s, err
}

// minValueRows is the least number of entities of a value that a linear probe is fitted for.
const minValueRows = 2

// entityRows are the activations at one place of each text.
func (b *Bench) entityRows(ctx context.Context, at model.Site, texts []string, places []int) ([]float32, error) {
	a, err := b.Subject.Activations(ctx, at, texts, nil)
	if err != nil {
		return nil, err
	}
	var x []float32
	for i, place := range places {
		r := a.Start[i] + place
		x = append(x, a.X[r*a.Width:(r+1)*a.Width]...)
	}
	return x, nil
}
