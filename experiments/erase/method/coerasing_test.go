package method_test

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/method"
	"loupe/probe/token"
)

// TestMixes: mixes are convex, leave special tokens out, cover the simplex with mean 1/3 each for alpha 1, and come near single tokens for a small
// alpha.
func TestMixes(t *testing.T) {
	s := &encoder.State{Encoding: token.Encoding{Special: []bool{true, false, false, false, true}}, X: mat.NewDense(5, 4, []float64{
		0, 0, 0, 9, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 9})}
	largest := map[float64]float64{}
	for _, alpha := range []float64{0.05, 1} {
		m, err := method.Mixes(s, 400, alpha, 1)
		if err != nil {
			t.Fatal(err)
		}
		var mean [3]float64
		for i := range 400 {
			row := m.RawRowView(i)
			sum := row[0] + row[1] + row[2]
			if math.Abs(sum-1) > 1e-12 || row[3] != 0 || slices.Min(row) < 0 {
				t.Fatalf("mix %v is not convex, or takes special tokens", row)
			}
			for j := range mean {
				mean[j] += row[j] / 400
			}
			largest[alpha] += slices.Max(row) / 400
		}
		for j, v := range mean {
			if math.Abs(v-1./3) > 0.08 {
				t.Errorf("alpha %v: token %d has mean weight %v", alpha, j, v)
			}
		}
	}
	if largest[0.05] < 0.9 || largest[1] > 0.75 {
		t.Errorf("largest weights %v", largest)
	}
	s.Special = []bool{true, true, true, true, true}
	if _, err := method.Mixes(s, 1, 1, 1); err == nil {
		t.Error("a text without words was mixed")
	}
}

// TestCoErasing: with mixes as further targets, MiniLM no longer knows the concept and keeps the others.
func TestCoErasing(t *testing.T) {
	m, err := method.Find("co-erasing")
	if err != nil {
		t.Fatal(err)
	}
	task, err := method.NewTask(method.DefaultTask())
	if err != nil {
		t.Fatal(err)
	}
	e := encodertest.MiniLM(t)
	v, err := m.Fit(t.Context(), e, task, m.Config())
	if err != nil {
		t.Fatal(err)
	}
	if erased, kept := recognised(t, e, v, task); erased > 0.05 || kept < 0.95 {
		t.Errorf("recognised: erased %.2f, kept %.2f", erased, kept)
	}
}
