package circuits

import (
	"math"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestACDCOrderByHand: one layer of one head has the receivers logits, m0, then query, key and value of the head.
func TestACDCOrderByHand(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, false))
	for order, want := range map[SenderOrder]string{
		LatestFirst:   "m0->logits a0.h0->logits input->logits a0.h0->m0 input->m0 input->a0.h0<q> input->a0.h0<k> input->a0.h0<v>",
		EarliestFirst: "input->logits a0.h0->logits m0->logits input->m0 a0.h0->m0 input->a0.h0<q> input->a0.h0<k> input->a0.h0<v>",
	} {
		var names []string
		for _, e := range must[[]Edge](t)(acdcOrder(g, order, 0)) {
			names = append(names, g.Name(e))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s", order, got)
		}
	}
	wide := must[*EdgeGraph](t)(NewEdgeGraph(2, 2, false))
	a, b, c := must[[]Edge](t)(acdcOrder(wide, RandomOrder, 1)), must[[]Edge](t)(acdcOrder(wide, RandomOrder, 1)), must[[]Edge](t)(acdcOrder(wide, RandomOrder, 2))
	if !slices.Equal(a, b) || slices.Equal(a, c) || len(a) != len(wide.Edges()) {
		t.Error("a random order depends on the seed alone and has every edge")
	}
	if taus := ACDCTaus(); len(taus) != 20 || taus[0] != 1e-5 || math.Abs(taus[19]-.09) > 1e-15 || !slices.IsSorted(taus) {
		t.Errorf("thresholds %v", taus)
	}
}

// TestACDCSweep: every threshold of a sweep gives the circuit, the trace and the number of runs that it gives alone, and so does a pass that begins at
// the receiver's block, with one program more for each block after the first and none for further thresholds or orders; the planted circuit is found in every order.
func TestACDCSweep(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, engine, graphtest.Golden(t), "circuits", "models", "gpt2-a")
	tsk := must[*Task](t)(NewTask(t.Context(), engine, m, randomPairs(m.Spec, 2, 5, 1), LogitDiff(), Options{SweepRows: 8}))
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
	taus := []float64{0.003, 0.03, 0.3, 3}
	var alone []*ACDCResult
	for _, tau := range taus {
		alone = append(alone, must[*ACDCResult](t)(ACDC(t.Context(), tsk, ref, tau)))
	}
	sweep := func(order SenderOrder, restart bool) []*ACDCResult {
		t.Helper()
		return must[[]*ACDCResult](t)(ACDCSweep(t.Context(), tsk, ref, ACDCConfig{Taus: taus, Order: order, Seed: 3, Restart: restart}))
	}
	same := func(what string, got []*ACDCResult) {
		t.Helper()
		for i, r := range got {
			if !slices.Equal(r.Circuit.Keep, alone[i].Circuit.Keep) || r.Runs != alone[i].Runs || r.Tau != taus[i] {
				t.Errorf("%s: at %g %d edges in %d runs, alone %d in %d", what, r.Tau, r.Circuit.Len(), r.Runs, alone[i].Circuit.Len(), alone[i].Runs)
			}
			close(t, what, append(slices.Clone(r.Deltas), r.Start, r.Final), append(slices.Clone(alone[i].Deltas), alone[i].Start, alone[i].Final), 1e-4)
		}
	}
	same("sweep", sweep(LatestFirst, false))
	before := engine.Compiles()
	sweep(EarliestFirst, false)
	if n := engine.Compiles() - before; n != 0 {
		t.Errorf("another order compiled %d programs", n)
	}
	same("restarted", sweep(LatestFirst, true))
	// the residual streams, and from each later block on one program for one mask and one for several
	if n, most := engine.Compiles()-before, int64(1+2*(m.Spec.Layers-1)); int64(n) != most {
		t.Errorf("restarts compiled %d programs, not %d", n, most)
	}
	before = engine.Compiles()
	random := sweep(RandomOrder, true)
	if n := engine.Compiles() - before; n != 0 {
		t.Errorf("a second sweep compiled %d programs", n)
	}
	plain := sweep(RandomOrder, false)
	var sizes []int
	for i, r := range random {
		sizes = append(sizes, alone[i].Circuit.Len())
		if !slices.Equal(r.Circuit.Keep, plain[i].Circuit.Keep) || slices.Equal(r.Order, alone[i].Order) {
			t.Errorf("random order at %g: restarted %v, plain %v", r.Tau, r.Circuit.Names(), plain[i].Circuit.Names())
		}
	}
	t.Logf("edges at %v: %v of %d, in %d to %d runs", taus, sizes, len(tsk.Graph.Edges()), alone[len(taus)-1].Runs, alone[0].Runs)
	if sizes[0] == sizes[len(sizes)-1] {
		t.Error("the thresholds do not part")
	}

	// every order and threshold keeps the planted edges of a planted model
	planted := plantedTask(t, engine, LogitDiff())
	found := map[string]bool{}
	for _, order := range []SenderOrder{LatestFirst, RandomOrder} {
		cfg := ACDCConfig{Taus: []float64{0.3, 1}, Order: order, Seed: 1, Restart: true}
		for _, r := range must[[]*ACDCResult](t)(ACDCSweep(t.Context(), planted, must[*Reference](t)(planted.Reference(t.Context(), Patching, 0)), cfg)) {
			kept, _ := Prune(r.Circuit)
			found[strings.Join(kept.Names(), " ")] = true
		}
	}
	var expected struct{ Circuit []string }
	readJSON(t, &expected, graphtest.Golden(t), "circuits", "planted", "induction", "expected.json")
	truth := must[*Circuit](t)(CircuitOf(planted.Graph, expected.Circuit))
	if len(found) != 1 || !found[strings.Join(truth.Names(), " ")] {
		t.Errorf("orders and thresholds find %v, planted %v", found, truth.Names())
	}
	for want, cfg := range map[string]ACDCConfig{"without a threshold": {Order: LatestFirst}, "none of": {Taus: taus, Order: "sideways"}} {
		if _, err := ACDCSweep(t.Context(), tsk, ref, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
