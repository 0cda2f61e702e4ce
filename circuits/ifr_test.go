package circuits

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestIFR: by hand, and on the planted induction model, where what flows into each receiver adds up to 1, padding on the left changes nothing,
// and the induction head feeds the logits more than the
// other head of its block.
func TestIFR(t *testing.T) {
	// the logits read (3,-1), of norm 4; without input (2,0), head (0,-2) or MLP (1,-1) norms of 2, 4 and 2 are left: 2, 0 and 2 of 4
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, false))
	hand := &Task{Graph: g, Pairs: &Pairs{Rows: 1, Seq: 1, Clean: []int32{0}}, Model: &model.Model{Spec: &model.Spec{DModel: 2}}}
	scores := make([]float64, g.Size())
	hand.flow(scores, []float32{2, 0, 0, -2, 1, -1}, []float32{3, -1}, len(g.Receivers)-1, 1)
	for u, want := range []float64{.5, 0, .5} {
		if got := scores[g.At(Edge{u, len(g.Receivers) - 1})]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s feeds the logits by %v, want %v", g.Senders[u], got, want)
		}
	}

	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	tsk := plantedTask(t, engine, LogitDiff())
	s := must[*Scores](t)(IFR(t.Context(), tsk))
	mean := s.Mean()
	for v, name := range s.Graph.Receivers {
		sum := 0.0
		for u := range s.Graph.Senders {
			sum += mean[s.Graph.At(Edge{u, v})]
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("what flows into %s adds up to %v", name, sum)
		}
	}

	p := tsk.Pairs
	padded := &Pairs{Rows: p.Rows, Seq: p.Seq + 1, Answer: p.Answer, Wrong: p.Wrong}
	for r := range p.Rows {
		row := func(x []int32) []int32 { return x[r*p.Seq : (r+1)*p.Seq] }
		padded.Clean = append(append(padded.Clean, 0), row(p.Clean)...)
		padded.Corrupted = append(append(padded.Corrupted, 0), row(p.Corrupted)...)
		padded.Mask = append(padded.Mask, 0)
		for i := range p.Seq {
			real := int32(0)
			if p.real(r*p.Seq + i) {
				real = 1
			}
			padded.Mask = append(padded.Mask, real)
		}
	}
	other := must[*Task](t)(NewTask(t.Context(), engine, tsk.Model, padded, LogitDiff(), Options{}))
	for i, v := range must[*Scores](t)(IFR(t.Context(), other)).Values {
		if math.Abs(v-s.Values[i]) > 1e-5 {
			t.Fatalf("padding moves a score from %v to %v", s.Values[i], v)
		}
	}
	into := func(name string) float64 {
		return mean[s.Graph.At(Edge{must[int](t)(s.Graph.Sender(name)), len(s.Graph.Receivers) - 1})]
	}
	if into("a1.h0") < 2*into("a1.h1") {
		t.Errorf("the induction head feeds the logits by %v, the other head of its block by %v", into("a1.h0"), into("a1.h1"))
	}
}
