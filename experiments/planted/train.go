package planted

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

// outcome is what the training of one autoencoder ended with.
type outcome struct {
	Name      string         `json:"name"`
	Width     int            `json:"width"`
	Recovered stats.Interval `json:"recovered"` // share of the features, with Wilson's interval
	Untrained float64        `json:"untrained"` // the same before the first step
	Cosine    float64        `json:"cosine"`    // mean over features of the cosine with the nearest row
	L0        float64        `json:"l0"`        // on held-out rows, as FVU and Dead
	FVU       float64        `json:"fvu"`
	Dead      int            `json:"dead"`
	Rate      float64        `json:"rate"` // peak learning rate
}

// folder is where an autoencoder is saved, in SAELens's format.
func folder(name string, width int, seed int64) string {
	return fmt.Sprintf("weights/%s-f%d-s%d", name, width, seed)
}

// train trains one autoencoder and returns it beside its untrained state.
func (c *Config) train(ctx context.Context, b compute.Backend, a *Architecture, width int, seed int64, rows sae.Rows) (before, after *sae.SAE, err error) {
	cfg, err := c.settings(a, width, seed)
	if err != nil {
		return nil, nil, err
	}
	t, err := sae.Start(b, cfg, rows)
	if err != nil {
		return nil, nil, err
	}
	defer t.Close()
	if before, err = t.SAE(); err != nil {
		return nil, nil, err
	}
	if err := t.Train(ctx, rows, sae.TrainOptions{}); err != nil {
		return nil, nil, err
	}
	after, err = t.SAE()
	return before, after, err
}

// compare trains an architecture at a width on the data of seed 0, saves it and measures it.
func (x *experiment) compare(ctx context.Context, a *Architecture, width int) (outcome, error) {
	rows, err := x.cfg.rows(0)
	if err != nil {
		return outcome{}, err
	}
	before, after, err := x.cfg.train(ctx, x.Backend(), a, width, 0, rows)
	if err != nil {
		return outcome{}, fmt.Errorf("%s of width %d: %w", a.name(), width, err)
	}
	if err := after.Save(x.Dir().File(folder(a.name(), width, 0)), nil); err != nil {
		return outcome{}, err
	}
	return x.measure(ctx, a, width, before, after)
}

// measure compares an autoencoder with the truth.
func (x *experiment) measure(ctx context.Context, a *Architecture, width int, before, after *sae.SAE) (outcome, error) {
	held, err := x.cfg.heldOut()
	if err != nil {
		return outcome{}, err
	}
	r, err := sae.Evaluate(ctx, x.Backend(), after, held, x.cfg.Batch, x.cfg.EvalRows)
	if err != nil {
		return outcome{}, fmt.Errorf("%s of width %d: %w", a.name(), width, err)
	}
	o := outcome{Name: a.name(), Width: width, Untrained: held.Recovered(before, x.cfg.Cosine), L0: r.L0, FVU: r.FVU, Dead: r.Dead}
	hits := 0
	for _, v := range held.Matched(after) {
		o.Cosine += v / float64(x.cfg.Data.Features)
		if v >= x.cfg.Cosine {
			hits++
		}
	}
	if o.Recovered, err = stats.Wilson(hits, x.cfg.Data.Features, lab.Level); err != nil {
		return outcome{}, err
	}
	cfg, err := x.cfg.settings(a, width, 0)
	o.Rate = cfg.LR
	return o, err
}
