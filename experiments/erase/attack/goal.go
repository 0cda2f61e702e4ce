package attack

import (
	"context"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
)

// Goals are the concepts of a task as goals, those that are erased and those that are kept, with prototypes of the original encoder from
// fitting prompts and held-out prompts to attack; at most so many prompts each, 0 for all.
func Goals(ctx context.Context, e *encoder.Encoder, t *method.Task, prompts int) (erased, kept []Goal, err error) {
	var classes []*mat.Dense
	for _, c := range t.Concepts() {
		x, err := e.Embed(ctx, nil, c.Fit)
		if err != nil {
			return nil, nil, err
		}
		classes = append(classes, x)
	}
	zero, err := erase.NewZeroShot(classes)
	if err != nil {
		return nil, nil, err
	}
	for i, c := range t.Concepts() {
		g := Goal{Target: c, Class: i, Zero: zero, Prompts: c.Held, Seed: t.Seed}
		if prompts > 0 && prompts < len(g.Prompts) {
			g.Prompts = g.Prompts[:prompts]
		}
		if i < len(t.Erase) {
			erased = append(erased, g)
		} else {
			kept = append(kept, g)
		}
	}
	return erased, kept, nil
}
