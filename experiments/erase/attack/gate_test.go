package attack

import (
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// lock turns the states of texts away from the concept where the mean of their products with key, squared, reaches a threshold: by as
// much as those products.
type lock struct {
	key, away []float64
	threshold float64
}

func (l lock) score(t erase.Text) float64 {
	v := floats.Dot(mean(t.X), l.key)
	return v * v
}

func (l lock) Apply(t erase.Text) (*mat.Dense, bool, error) {
	if l.score(t) < l.threshold {
		return t.X, false, nil
	}
	out := mat.DenseCopyOf(t.X)
	n, _ := out.Dims()
	for i := range n {
		floats.AddScaled(out.RawRowView(i), floats.Dot(t.X.RawRowView(i), l.key), l.away)
	}
	return out, true, nil
}

// Pullback is g + (g . away) key, row by row.
func (l lock) Pullback(_ erase.Text, g *mat.Dense) (*mat.Dense, error) {
	out := mat.DenseCopyOf(g)
	n, _ := out.Dims()
	for i := range n {
		floats.AddScaled(out.RawRowView(i), floats.Dot(g.RawRowView(i), l.away), l.key)
	}
	return out, nil
}

// testAdaptiveEvadesGate: a gate that fires on the concept by a direction that has nothing to do with it. Soft prompts that are found
// through the gate and past it pass; those found on the original encoder pass less often.
func testAdaptiveEvadesGate(t *testing.T, b *bench) {
	ctx := t.Context()
	b.goal.Prompts = b.goal.Prompts[:2]
	x := get(b.e.Embed(ctx, nil, append(b.goal.Prompts, "a photo", "it is said that", "we met them in the morning")))(t)
	n := len(b.goal.Prompts)
	inside, outside := mean(mat.DenseCopyOf(x.Slice(0, n, 0, b.e.Width()))), mean(mat.DenseCopyOf(x.Slice(n, n+3, 0, b.e.Width())))
	// the key is orthogonal to what other texts share, so that they do not reach the threshold
	key := make([]float64, b.e.Width())
	floats.AddScaledTo(key, inside, -floats.Dot(inside, outside)/floats.Dot(outside, outside), outside)
	away := make([]float64, b.e.Width())
	floats.SubTo(away, b.goal.Zero.Prototypes.RawRowView(1), b.goal.Zero.Prototypes.RawRowView(0))
	floats.Scale(2*floats.Norm(inside, 2)/floats.Dot(inside, key), away)
	l := lock{key: key, away: away}
	states := get(b.e.States(ctx, nil, b.goal.Prompts))(t)
	l.threshold = l.score(states[0].Text())
	for _, s := range states {
		l.threshold = min(l.threshold, 0.9*l.score(s.Text()))
	}
	v := &encoder.Variant{Name: "lock", Hook: l, Layer: b.e.Layers()}
	s := get(newSearch(ctx, b.e, v, b.goal))(t)
	if gated := get(s.gated(ctx))(t); !gated {
		t.Fatal("the gate is not seen")
	}
	before, adaptive, _ := b.attack("soft-prompt", ModeAdaptive, v)
	_, static, _ := b.attack("soft-prompt", ModeStatic, v)
	if before != 0 || adaptive < n || static == n {
		t.Errorf("%d recognised before, %d after the adaptive attack, %d after the static one, of %d", before, adaptive, static, n)
	}
}
