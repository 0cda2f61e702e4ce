package sae

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestStability: a dictionary is the same after its rows are permuted and scaled, half of it is shared when half is replaced,
// and the measure is symmetric.
func TestStability(t *testing.T) {
	const f, d = 300, 64
	a := normals(1, f*d)
	same, half := make([]float32, f*d), make([]float32, f*d)
	other := normals(2, f*d)
	for i, from := range rand.New(rand.NewPCG(1, 1)).Perm(f) {
		copy(same[i*d:(i+1)*d], a[from*d:(from+1)*d])
		scaleBy(same[i*d:(i+1)*d], float32(i+1))
		copy(half[i*d:(i+1)*d], a[i*d:(i+1)*d])
		if i%2 == 0 {
			copy(half[i*d:(i+1)*d], other[i*d:(i+1)*d])
		}
	}
	measure := func(a, b []float32) Stability {
		s, err := MeasureStability(t.Context(), a, b, d, 0.7)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := measure(a, same); math.Abs(s.MeanMaxCosine-1) > 1e-6 || math.Abs(s.Shared-1) > 1e-9 {
		t.Errorf("the same dictionary: %+v", s)
	}
	if s := measure(a, half); math.Abs(s.Shared-0.5) > 1e-9 {
		t.Errorf("half a dictionary: %+v", s)
	}
	random := measure(a, other)
	if random.Shared != 0 || random.MeanMaxCosine > 0.5 {
		t.Errorf("random dictionaries: %+v", random)
	}
	near(t, "the other way round", measure(other, a).MeanMaxCosine, random.MeanMaxCosine, 1e-12)
	if _, err := MeasureStability(t.Context(), a, other[1:], d, 0.7); err == nil {
		t.Error("half a row was accepted")
	}
}
