package erase_test

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/vectors"
)

// TestUCEDebias: a concept that leans to one of two attributes is brought to equal and to given shares, and a preserved row stays; one that leans
// to neither is left alone.
func TestUCEDebias(t *testing.T) {
	attributes := mat.NewDense(2, 4, []float64{1, 0, 0, 0, 0, 1, 0, 0})
	shares := func(c []float64) func(m *erase.Map) ([]float64, error) {
		return func(m *erase.Map) ([]float64, error) {
			x := mat.NewDense(1, 4, c)
			if m != nil {
				x = get[*mat.Dense](t)(m.Apply(x))
			}
			p := 1 / (1 + math.Exp(-4*(x.At(0, 0)-x.At(0, 1))))
			return []float64{p, 1 - p}, nil
		}
	}
	cfg := erase.DefaultDebias()
	cfg.UCE.Lambda = 1e-6
	biased := []float64{0.6, 0.1, 1, 0}
	r := erase.Request{Concepts: mat.NewDense(1, 4, biased), Preserve: mat.NewDense(1, 4, []float64{0, 0, 0, 1})}
	for _, want := range [][]float64{nil, {0.3, 0.7}} {
		edit, err := erase.UCEDebias(r, attributes, want, shares(biased), cfg)
		if err != nil {
			t.Fatal(err)
		}
		target := 0.5
		if want != nil {
			target = want[0]
		}
		last := edit.Shares[len(edit.Shares)-1][0]
		if !edit.Matched || math.Abs(last-target) > cfg.Tolerance || edit.Shares[0][0] < 0.85 {
			t.Errorf("share %v from %v after %d rounds, wanted %v", last, edit.Shares[0][0], len(edit.Shares)-1, target)
		}
		if edit.Alpha[0] >= 0 || math.Abs(edit.Alpha[0]+edit.Alpha[1]) > 1e-12 {
			t.Errorf("alpha %v: the attribute in surplus is to be taken, the other given", edit.Alpha)
		}
		if edit.Errors.Preserve > 1e-5 {
			t.Errorf("the preserved row moves by %v", edit.Errors.Preserve)
		}
	}
	fair := []float64{0.3, 0.3, 1, 0}
	r.Concepts = mat.NewDense(1, 4, fair)
	if edit, err := erase.UCEDebias(r, attributes, nil, shares(fair), cfg); err != nil || edit.Edit != nil || !edit.Matched {
		t.Errorf("nothing to do: %+v, %v", edit, err)
	}
	if _, err := erase.UCEDebias(r, attributes, []float64{0.5, 0.6}, shares(fair), cfg); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("shares that add up to 1.1: %v", err)
	}
}
