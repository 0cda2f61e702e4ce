package vectors

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestDescendLanes: the vector form gives the bits of the plain one, and a concept without weight stays as it is.
func TestDescendLanes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, r := range []int{1, 3, 20} {
		x, slope, gram := make([][lanes]float64, r), make([][lanes]float64, r), make([]float64, r*r)
		for k := range x {
			for l := range lanes {
				x[k][l], slope[k][l] = max(0, rng.NormFloat64()), 3*rng.NormFloat64()
			}
			for j := range k + 1 {
				gram[k*r+j] = rng.NormFloat64()
				gram[j*r+k] = gram[k*r+j]
			}
			gram[k*r+k] = 5
		}
		if r > 2 {
			for j := range r {
				gram[r+j], gram[j*r+1] = 0, 0
			}
		}
		before := x[min(1, r-1)]
		wantX, wantSlope := slices.Clone(x), slices.Clone(slope)
		descendPlain(wantX, wantSlope, gram, 2)
		descendLanes(x, slope, gram, 2)
		if !slices.Equal(x, wantX) || !slices.Equal(slope, wantSlope) {
			t.Errorf("r = %d: the two forms differ", r)
		}
		if r > 2 && x[1] != before {
			t.Errorf("a concept without weight moved: %v to %v", before, x[1])
		}
	}
}
