package circuits

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestRandomCircuits: circuits have exactly the size asked for, nothing to prune, and are reproducible by seed; every edge occurs in those of half the graph or less.
func TestRandomCircuits(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(3, 2, false))
	all := len(g.Edges())
	seen := NewCircuit(g)
	for _, n := range []int{0, 1, 2, 3, 7, 20, all / 2, all - 1, all, all + 5} {
		for _, c := range RandomCircuits(g, n, 20, 5) {
			pruned, _ := Prune(c)
			if c.Len() != min(n, all) || !slices.Equal(pruned.Keep, c.Keep) {
				t.Fatalf("a circuit of %d edges, %d after pruning, want %d", c.Len(), pruned.Len(), n)
			}
			for i, keep := range c.Keep {
				seen.Keep[i] = seen.Keep[i] || keep && n <= all/2
			}
		}
	}
	if seen.Len() != all {
		t.Errorf("only %d of %d edges occur", seen.Len(), all)
	}
	a, b, c := RandomCircuits(g, 9, 2, 1), RandomCircuits(g, 9, 2, 1), RandomCircuits(g, 9, 2, 2)
	if !slices.Equal(a[1].Keep, b[1].Keep) || slices.Equal(a[1].Keep, c[1].Keep) {
		t.Error("a seed gives one sequence of circuits")
	}
}

// TestRewireByHand: with one edge from each of three senders and one into each of three receivers, all six arrangements are visited equally often.
func TestRewireByHand(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(2, 1, false))
	c := must[*Circuit](t)(CircuitOf(g, []string{"input->a1.h0<q>", "a0.h0->a1.h0<k>", "m0->a1.h0<v>"}))
	edges := c.Edges()
	r := rand.New(rand.NewPCG(1, 2))
	counts := map[string]int{}
	const n = 6000
	for range n {
		rewire(c, edges, 20, r)
		counts[strings.Join(c.Names(), " ")]++
	}
	if len(counts) != 6 {
		t.Fatalf("%d arrangements: %v", len(counts), counts)
	}
	for name, k := range counts {
		if math.Abs(float64(k)-n/6) > 5*math.Sqrt(n/6) {
			t.Errorf("%s occurs %d times of %d", name, k, n)
		}
	}
}
