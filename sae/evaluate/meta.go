package evaluate

import (
	"context"
	"fmt"

	"loupe/internal/stats"
	"loupe/sae"
)

// Meta trains a meta-SAE on each dictionary's decoder rows (sae.MetaSAE): the less of them few meta-latents explain beyond what
// they explain of random directions, the more atomic the latents.
func (b *Bench) Meta(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	o := &Outcome{
		Suite: "meta", On: fmt.Sprintf("decoder rows as data, %d steps; the control is a meta-SAE of as many random directions; one training, without an interval", b.MetaSteps),
		Metrics: []Metric{{Name: "beyond_random", Better: Lower}, {Name: "explained_variance"}, {Name: "explained_variance_random"}, {Name: "l0"}},
	}
	bar := b.progress("meta", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for _, d := range dicts {
		bar.Add(1)
		switch {
		case d.Control == ControlRandom:
			o.leaveOut(d, "random directions are the control of each meta-SAE")
			continue
		case d.Control != "":
			o.leaveOut(d, "its directions are orthogonal by construction")
			continue
		case d.Decoder == nil:
			o.leaveOut(d, "it has a decoder for each pair of layers")
			continue
		case d.Latents < 16:
			o.leaveOut(d, "it has fewer than 16 latents")
			continue
		}
		cfg := sae.DefaultMetaConfig(d.Latents)
		cfg.Steps, cfg.Seed = b.MetaSteps, b.Seed
		r, err := sae.MetaSAE(ctx, b.Backend, d.Decoder, d.DOut, cfg)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
		}
		o.Scores = append(o.Scores, Score{Dictionary: d.Name, Detail: r, Values: map[string]stats.Interval{
			"beyond_random": exact(r.Explained - r.Random), "explained_variance": exact(r.Explained), "explained_variance_random": exact(r.Random), "l0": exact(r.L0),
		}})
	}
	if len(o.Scores) == 0 {
		return nil, fmt.Errorf("%w: no dictionary has 16 latents", errLeftOut)
	}
	return o, nil
}
