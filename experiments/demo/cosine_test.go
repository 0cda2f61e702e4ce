package demo

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNeighbours(t *testing.T) {
	// Angles on a circle: the neighbours of each point are those with the nearest angle.
	angles := []float64{0, 10, 25, 100, 118, 200, 203}
	var x []float32
	for _, a := range angles {
		x = append(x, float32(math.Cos(a*math.Pi/180)), float32(math.Sin(a*math.Pi/180)))
	}
	got, err := Neighbours(x, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]int32{{1, 2}, {0, 2}, {0, 1}, {2, 4}, {3, 5}, {4, 6}, {4, 5}}
	for i := range want {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("neighbours of point %d: %v, want %v", i, got[i], want[i])
		}
	}
	if _, err := Neighbours(x, 2, len(angles)); err == nil {
		t.Error("as many neighbours as points are accepted")
	}
	shares := agreement(want, [][]int32{{1, 2}, {2, 3}, {3, 4}, {2, 4}, {3, 5}, {4, 6}, {0, 4}})
	if !slices.Equal(shares, []float64{1, 0.5, 0, 1, 1, 1, 0.5}) {
		t.Errorf("agreement %v", shares)
	}
}

// TestLargest holds the selection against a full sort, with many ties.
func TestLargest(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		x := make([]float32, 30)
		for i := range x {
			x[i] = float32(rng.IntN(6))
		}
		self, k := rng.IntN(30), 1+rng.IntN(10)
		order := make([]int32, 0, 29)
		for i := range x {
			if i != self {
				order = append(order, int32(i))
			}
		}
		slices.SortStableFunc(order, func(a, b int32) int { return int(x[b] - x[a]) })
		want := slices.Sorted(slices.Values(order[:k]))
		if got := largest(x, k, self); !slices.Equal(got, want) {
			t.Fatalf("largest %d of %v without %d: %v, want %v", k, x, self, got, want)
		}
	}
}

func TestUnit(t *testing.T) {
	x := []float32{3, 4, 0, 0}
	unit(x[:2])
	unit(x[2:])
	if !slices.Equal(x, []float32{0.6, 0.8, 0, 0}) {
		t.Errorf("unit vectors %v", x)
	}
}
