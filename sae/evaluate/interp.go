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

const (
	interpContext = 8   // tokens shown on either side
	interpTexts   = 10  // active texts of a latent, and as many inactive ones
	interpCover   = 0.5 // share of the activation that a description by tokens names
	interpTokens  = 10  // tokens of a description, at most
	interpLeast   = 4   // active texts, at least
)

// Judge tells how well descriptions fit texts: a text encoder or a language model. Either may be nil.
type Judge struct {
	Name     string
	Embedder sae.Embedder
	Scorer   sae.Scorer
}

// NewJudge makes a judge of a model: by embeddings if it is a text encoder, by likelihood if it is a language model.
func NewJudge(s *Subject) (*Judge, error) {
	m := sae.TextModel{Engine: s.Engine, Model: s.Model, Tokenizer: s.Tokenizer, Batch: 8, Seq: min(64, s.Length)}
	switch {
	case s.Model.Spec.Has(model.Site{Kind: model.Sentence}) == nil:
		return &Judge{Name: s.Model.Name, Embedder: m}, nil
	case s.Model.Spec.Decoder:
		return &Judge{Name: s.Model.Name, Scorer: m}, nil
	}
	return nil, fmt.Errorf("evaluate: judge %s: it is neither a sentence encoder nor a language model; take minilm or smollm2", s.Model.Name)
}

// Autointerp scores descriptions of latents by a local judge (sae.ScoreByEmbedding, sae.ScoreByLikelihood). Descriptions are the bench's
// or the tokens that carry most of the activation; they come from one half of the texts, and the other half is scored.
// The control of each latent is another one's description; random directions are that of the dictionary.
func (b *Bench) Autointerp(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	if b.Judge == nil {
		return nil, fmt.Errorf("%w: it needs a judge; give --judge minilm or another model on this machine", errLeftOut)
	}
	if b.Tokenizer == nil {
		return nil, fmt.Errorf("%w: it needs the tokenizer of the store's model; give --model", errLeftOut)
	}
	many := *b
	many.Texts = b.InterpTexts
	seqs, err := many.sequences(ctx, subjectLength)
	if err != nil {
		return nil, err
	}
	o := &Outcome{
		Suite: "autointerp", Metrics: []Metric{{Name: "auc", Better: Higher}, {Name: "control_auc"}, {Name: "gain", Better: Higher}},
		On: fmt.Sprintf("up to %d latents of each on %d texts, judged by %s; intervals over latents", b.InterpLatents, len(seqs), b.Judge.Name),
	}
	bar := b.progress("autointerp", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for _, d := range dicts {
		switch {
		case d.Control == ControlPCA || d.Control == ControlLinear:
			o.leaveOut(d, "its coordinates are active everywhere")
		default:
			score, err := b.autointerp(ctx, d, seqs)
			if errors.Is(err, stats.ErrTooFew) {
				o.leaveOut(d, err.Error())
			} else if err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
			} else {
				o.Scores = append(o.Scores, score)
			}
		}
		bar.Add(1)
	}
	if b.Descriptions == nil {
		o.Notes = append(o.Notes, "descriptions are the tokens that carry most of a latent's activation; better ones can be given in a file")
	}
	return o, nil
}

func (b *Bench) autointerp(ctx context.Context, d *Dictionary, seqs []sequence) (Score, error) {
	fired, err := b.firings(ctx, d, seqs)
	if err != nil {
		return Score{}, err
	}
	described, err := b.describe(d, seqs, fired)
	if err != nil {
		return Score{}, err
	}
	var r sae.InterpReport
	if b.Judge.Embedder != nil {
		r, err = sae.ScoreByEmbedding(ctx, b.Judge.Embedder, described, b.Boot)
	} else {
		r, err = sae.ScoreByLikelihood(ctx, b.Judge.Scorer, described, b.Boot)
	}
	if err != nil {
		return Score{}, err
	}
	type detail struct {
		sae.DescriptionScore
		Description string `json:"description"`
	}
	var details []detail
	for i, s := range r.Scores {
		details = append(details, detail{s, described[i].Description})
	}
	return Score{Dictionary: d.Name, Detail: details, Values: map[string]stats.Interval{"auc": r.AUC, "control_auc": r.Control, "gain": r.Gain}}, nil
}

// firing is a place where a latent is active.
type firing struct {
	seq, pos int
	value    float64
}

// firings lists where each latent is active on tokens that are not special.
func (b *Bench) firings(ctx context.Context, d *Dictionary, seqs []sequence) (map[int32][]firing, error) {
	out := map[int32][]firing{}
	for i, s := range seqs {
		index := make([]int64, len(s.tokens))
		for j := range index {
			index[j] = s.first + int64(j)
		}
		var parts [][]float32
		var widths []int
		for _, site := range d.Sites {
			info, err := b.Store.Site(site)
			if err != nil {
				return nil, fmt.Errorf("evaluate: %w", err)
			}
			x := make([]float32, len(index)*info.Dim())
			if err := b.Store.Gather(x, site, index); err != nil {
				return nil, fmt.Errorf("evaluate: %w", err)
			}
			parts, widths = append(parts, x), append(widths, info.Dim())
		}
		lat, err := d.encode(ctx, join(parts, widths, len(index)))
		if err != nil {
			return nil, err
		}
		for pos := range s.tokens {
			if s.special[pos] {
				continue
			}
			latents, values := lat.Row(pos)
			for j, l := range latents {
				if values[j] > 0 {
					out[l] = append(out[l], firing{i, pos, float64(values[j])})
				}
			}
		}
	}
	return out, nil
}

// describe chooses latents and gives each its description, from the sequences of even number, and texts of the others.
func (b *Bench) describe(d *Dictionary, seqs []sequence, fired map[int32][]firing) ([]sae.Described, error) {
	rng := rand.New(rand.NewPCG(b.Seed, 0x696e7470))
	var latents []int32
	for l := range int32(d.Latents) {
		if len(fired[l]) > 0 {
			latents = append(latents, l)
		}
	}
	rng.Shuffle(len(latents), func(i, j int) { latents[i], latents[j] = latents[j], latents[i] })
	descriptions := b.Descriptions
	if d.Control != "" {
		descriptions = nil
	}
	var out []sae.Described
	for _, l := range latents {
		if len(out) == b.InterpLatents {
			break
		}
		one := sae.Described{Latent: int(l), Description: descriptions[int(l)]}
		if descriptions == nil {
			one.Description = b.describeByTokens(seqs, fired[l])
		}
		var err error
		if one.Active, one.Inactive, err = b.interpTexts(seqs, fired[l], rng); err != nil {
			return nil, err
		}
		if one.Description != "" && len(one.Active) >= interpLeast && len(one.Inactive) >= interpLeast {
			out = append(out, one)
		}
	}
	if len(out) < 2 {
		return nil, fmt.Errorf("evaluate: %d of %d active latents have a description and %d texts: %w; take more texts", len(out), len(latents), interpLeast, stats.ErrTooFew)
	}
	return out, nil
}

// describeByTokens names the tokens that carry the activation in the sequences of even number.
func (b *Bench) describeByTokens(seqs []sequence, fired []firing) string {
	share, total := map[int32]float64{}, 0.0
	for _, f := range fired {
		if f.seq%2 == 0 {
			share[seqs[f.seq].tokens[f.pos]] += f.value
			total += f.value
		}
	}
	ids := make([]int32, 0, len(share))
	for id := range share {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, c int32) int {
		if share[a] != share[c] {
			if share[a] > share[c] {
				return -1
			}
			return 1
		}
		return int(a - c)
	})
	var names []string
	var shares []float64
	for _, id := range ids[:min(interpTokens, len(ids))] {
		name, err := b.Tokenizer.Decode([]int32{id}, false)
		if err != nil {
			continue
		}
		names, shares = append(names, name), append(shares, share[id]/total)
	}
	return sae.DescribeByTokens(names, shares, interpCover)
}

// interpTexts are windows of the sequences of odd number: half around a latent's strongest firings there, one a sequence, and
// half at random places of sequences in which it is silent.
func (b *Bench) interpTexts(seqs []sequence, fired []firing, rng *rand.Rand) (active, inactive []string, err error) {
	best := map[int]firing{}
	for _, f := range fired {
		if f.seq%2 == 1 && f.value > best[f.seq].value {
			best[f.seq] = f
		}
	}
	var tops []firing
	for _, f := range best {
		tops = append(tops, f)
	}
	slices.SortFunc(tops, func(a, c firing) int {
		if a.value != c.value {
			if a.value > c.value {
				return -1
			}
			return 1
		}
		return a.seq - c.seq
	})
	for _, f := range tops[:min(interpTexts, len(tops))] {
		text, err := b.window(seqs[f.seq], f.pos)
		if err != nil {
			return nil, nil, err
		}
		active = append(active, text)
	}
	for _, i := range rng.Perm(len(seqs)) {
		if _, fires := best[i]; i%2 == 0 || fires || len(inactive) == len(active) {
			continue
		}
		text, err := b.window(seqs[i], rng.IntN(len(seqs[i].tokens)))
		if err != nil {
			return nil, nil, err
		}
		if text != "" {
			inactive = append(inactive, text)
		}
	}
	return active, inactive, nil
}

// window is the text around a token.
func (b *Bench) window(s sequence, pos int) (string, error) {
	var ids []int32
	for i := max(0, pos-interpContext); i < min(len(s.tokens), pos+interpContext+1); i++ {
		if !s.special[i] {
			ids = append(ids, s.tokens[i])
		}
	}
	text, err := b.Tokenizer.Decode(ids, true)
	if err != nil {
		return "", fmt.Errorf("evaluate: text around a token: %w", err)
	}
	return text, nil
}
