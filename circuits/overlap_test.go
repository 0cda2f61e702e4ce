package circuits

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestOverlap: a circuit overlaps with itself beyond both nulls, with a rewired one no more than the null of equal degrees expects, though beyond that of equal
// size where its nodes are few; a circuit that is all of the graph tells nothing.
func TestOverlap(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(4, 3, false))
	a := RandomCircuits(g, 30, 1, 3)[0]
	self := must[*OverlapResult](t)(Overlap(a, a, 200, 1))
	if self.Jaccard != 1 || self.Shared != 30 || self.Size.P > 0.005 || self.Degrees.P > 0.005 || self.Size.Z < 5 || self.Degrees.Z < 3 {
		t.Errorf("with itself: %+v", self)
	}
	if self.Degrees.Expected <= self.Size.Expected {
		t.Errorf("equal degrees share nodes, so they should overlap more: %+v", self)
	}
	r := rand.New(rand.NewPCG(9, 9))
	var zs, sizes []float64
	for range 12 {
		b := a.clone()
		rewire(b, b.Edges(), 600, r)
		o := must[*OverlapResult](t)(Overlap(a, b, 60, 1))
		zs, sizes = append(zs, o.Degrees.Z), append(sizes, o.Size.Z)
	}
	t.Logf("rewired circuits: mean z %.2f by degrees, %.2f by size", mean(zs), mean(sizes))
	if math.Abs(mean(zs)) > 1 || mean(sizes) < mean(zs)+1 {
		t.Errorf("rewired circuits have z %v by degrees, %v by size", zs, sizes)
	}
	whole := must[*OverlapResult](t)(Overlap(Whole(g), Whole(g), 5, 1))
	if whole.Size.Z != 0 || whole.Size.P != 1 || whole.Degrees.P != 1 || whole.Size.Expected != 1 {
		t.Errorf("the whole graph: %+v", whole)
	}
	other := must[*EdgeGraph](t)(NewEdgeGraph(4, 2, false))
	for want, f := range map[string]func() (*OverlapResult, error){
		"one shape":    func() (*OverlapResult, error) { return Overlap(a, Whole(other), 5, 1) },
		"0 edges":      func() (*OverlapResult, error) { return Overlap(a, NewCircuit(g), 5, 1) },
		"of 1 resampl": func() (*OverlapResult, error) { return Overlap(a, a, 1, 1) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
