package evaluate

import (
	"context"
	"fmt"
	"slices"

	"loupe/internal/stats"
	"loupe/sae"
)

// AbsorptionDetail is what absorption keeps of a concept.
type AbsorptionDetail struct {
	Concept  string  `json:"concept"`
	ProbeF1  float64 `json:"probe_f1"`
	LatentF1 float64 `json:"latent_f1"` // of the probe on the main latents
	Main     []int32 `json:"main_latents"`
	Fraction float64 `json:"fraction"`
	Full     float64 `json:"full"`
	Judged   bool    `json:"judged"` // its probe and its number of words are good enough
}

// Absorption asks to what degree the latents that stand for a concept of words leave some of its words to other latents
// (sae.Absorption). The concepts are SAEBench's, the first letters of single-token words, where the model tells them; models of less
// than a billion parameters mostly do not, and then they are the categories of the built-in suite (animals, countries, ...).
func (b *Bench) Absorption(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	if b.Subject == nil || b.Subject.Tokenizer == nil {
		return nil, errNoModel
	}
	o := &Outcome{Suite: "absorption", Metrics: []Metric{
		{Name: "absorption_fraction", Better: Lower}, {Name: "full_absorption", Better: Lower}, {Name: "main_latents"}, {Name: "main_latent_f1"},
	}}
	keys, members := bySites(dicts)
	bar := b.progress("absorption", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	cfg := sae.DefaultAbsorptionConfig()
	for _, key := range keys {
		if key.write != "" || len(key.reads()) > 1 {
			for _, d := range members[key] {
				o.leaveOut(d, "its decoder writes another space than the concepts' probes read")
			}
			continue
		}
		data, probes, notes, err := b.absorbable(ctx, key, cfg)
		if err != nil {
			return nil, err
		}
		o.Notes = append(o.Notes, notes...)
		for _, d := range members[key] {
			score, err := b.absorption(ctx, d, data, probes, cfg)
			if err != nil {
				return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
			}
			o.Scores = append(o.Scores, score)
			bar.Add(1)
		}
		o.On = fmt.Sprintf("%d words of %d %s in %s; intervals over concepts", len(data.concept), len(data.concepts), data.what, b.Subject.Model.Name)
	}
	if len(o.Scores) == 0 {
		return nil, fmt.Errorf("%w: no dictionary reads and writes one site", errLeftOut)
	}
	o.noteModel(b)
	return o, nil
}

// absorbable takes first letters or, where no letter's probe is good enough, categories.
func (b *Bench) absorbable(ctx context.Context, key siteKey, cfg sae.AbsorptionConfig) (data *wordData, probes map[string]sae.ProbeScore, notes []string, err error) {
	for _, family := range []struct {
		what string
		list func() ([]word, error)
	}{{"first letters", b.letterWords}, {"categories", b.categoryWords}} {
		list, err := family.list()
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s are left out: %v", family.what, err))
			continue
		}
		if data, err = b.wordsAt(ctx, key, list); err != nil {
			return nil, nil, nil, err
		}
		data.what = family.what
		if probes, err = data.probes(ctx); err != nil {
			return nil, nil, nil, err
		}
		best := 0.0
		for c, p := range probes {
			if at := data.test[c]; at[1]-at[0] >= cfg.MinTexts {
				best = max(best, p.F1)
			}
		}
		if best >= cfg.MinProbeF1 {
			return data, probes, notes, nil
		}
		notes = append(notes, fmt.Sprintf("%s are left out: the best of %d probes on the activations has F1 %.2f, below %.2f; SAEBench's letters need a model of a billion parameters", family.what, len(probes), best, cfg.MinProbeF1))
	}
	return nil, nil, nil, fmt.Errorf("%w: %v", errLeftOut, notes)
}

func (b *Bench) absorption(ctx context.Context, d *Dictionary, data *wordData, probes map[string]sae.ProbeScore, cfg sae.AbsorptionConfig) (Score, error) {
	lat, err := d.encode(ctx, data.x)
	if err != nil {
		return Score{}, err
	}
	acts, err := sae.SparseLatents(lat, d.Latents)
	if err != nil {
		return Score{}, err
	}
	var concepts []sae.ConceptAbsorption
	var details []AbsorptionDetail
	for _, c := range data.concepts {
		p := probes[c]
		main, f1, err := sae.MainLatents(ctx, acts, data.is(c), data.share(), cfg)
		if err != nil {
			return Score{}, err
		}
		align, err := sae.AlignDecoder(d.Decoder, p.Coef)
		if err != nil {
			return Score{}, err
		}
		at := data.test[c]
		projected, err := sae.Project(data.x[at[0]*data.width:at[1]*data.width], p.Coef)
		if err != nil {
			return Score{}, err
		}
		r, err := sae.Absorption(acts.Slice(at[0], at[1]), align, projected, main, cfg)
		if err != nil {
			return Score{}, err
		}
		concepts = append(concepts, sae.ConceptAbsorption{Name: c, ProbeF1: p.F1, AbsorptionReport: r})
		details = append(details, AbsorptionDetail{c, p.F1, f1, main, r.MeanFraction, r.FullRate, false})
	}
	sum, err := sae.MeanAbsorption(ctx, concepts, cfg, b.Boot)
	if err != nil {
		return Score{}, err
	}
	var mains, f1s []float64
	for i := range details {
		if details[i].Judged = !slices.Contains(sum.Skipped, details[i].Concept); details[i].Judged {
			mains, f1s = append(mains, float64(len(details[i].Main))), append(f1s, details[i].LatentF1)
		}
	}
	values := map[string]stats.Interval{"absorption_fraction": sum.Fraction, "full_absorption": sum.Full}
	for name, v := range map[string][]float64{"main_latents": mains, "main_latent_f1": f1s} {
		if values[name], err = sae.MeanInterval(ctx, v, b.Boot); err != nil {
			return Score{}, err
		}
	}
	return Score{Dictionary: d.Name, Values: values, Detail: details}, nil
}
