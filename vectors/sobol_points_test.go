package vectors

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestSobolNumbers: points 37 and 63 of some dimensions without scrambling, as SciPy 1.x's qmc.Sobol(128, scramble=False)
// gives them.
func TestSobolNumbers(t *testing.T) {
	dims := []int{0, 1, 2, 3, 10, 50, 100, 127}
	want := map[int][]float64{
		37: {0.921875, 0.640625, 0.578125, 0.921875, 0.015625, 0.421875, 0.359375, 0.671875},
		63: {0.015625, 0.796875, 0.359375, 0.453125, 0.421875, 0.265625, 0.578125, 0.640625},
	}
	for at, values := range want {
		got := []float64{}
		for _, dim := range dims {
			v := vanDerCorput()
			if dim > 0 {
				v = sobolDirections()[dim-1].numbers()
			}
			m := mat.NewDense(64, 1, nil)
			fillSobol(m, 0, &v, 0)
			got = append(got, m.At(at, 0))
		}
		if !slices.Equal(got, values) {
			t.Errorf("point %d is %v, want %v", at, got, values)
		}
	}
}

// TestSobolPairEven: in every dimension each of n equal intervals holds one of n points, scrambled by any seed; one seed
// gives one sample.
func TestSobolPairEven(t *testing.T) {
	const n, r = 256, 64
	for _, seed := range []uint64{1, 2} {
		a, b, err := SobolPair(n, r, seed)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*mat.Dense{a, b} {
			for j := range r {
				seen := make([]bool, n)
				for _, x := range mat.Col(nil, j, m) {
					seen[int(x*n)] = true
				}
				if slices.Contains(seen, false) {
					t.Fatalf("seed %d: dimension %d leaves an interval empty", seed, j)
				}
			}
		}
		again, _, _ := SobolPair(n, r, seed)
		other, _, _ := SobolPair(n, r, seed+10)
		if !mat.Equal(a, again) || mat.Equal(a, other) {
			t.Error("samples do not depend on the seed alone")
		}
	}
	for _, c := range [][2]int{{100, 3}, {1, 3}, {64, 65}, {64, 0}} {
		if _, _, err := SobolPair(c[0], c[1], 1); err == nil {
			t.Errorf("%d points for %d inputs were drawn", c[0], c[1])
		}
	}
}

// TestSobolPairIshigami: 2,048 scrambled points give the total indices to 0.02 with every seed tried.
func TestSobolPairIshigami(t *testing.T) {
	for seed := range uint64(10) {
		a, b, err := SobolPair(2048, 3, seed)
		if err != nil {
			t.Fatal(err)
		}
		f := func(x *mat.Dense) ([]float64, error) {
			out := make([]float64, 2048)
			for i := range out {
				r := x.RawRowView(i)
				out[i] = ishigami(math.Pi*(2*r[0]-1), math.Pi*(2*r[1]-1), math.Pi*(2*r[2]-1))
			}
			return out, nil
		}
		s := ok(SobolIndices(t.Context(), f, a, b))(t)
		for i, want := range []float64{0.5576, 0.4424, 0.2437} {
			if math.Abs(s.Total[i]-want) > 0.02 {
				t.Errorf("seed %d: total index %d is %.4f, want %.4f", seed, i, s.Total[i], want)
			}
		}
	}
}
