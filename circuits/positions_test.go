package circuits

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestPositions: scores by position add up to those without, by EAP and on the mask path; a circuit with an edge at every position is the circuit of
// the edge; no edge anywhere is the corrupted run; and chunks change nothing. Rows are padded on either side.
func TestPositions(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	for _, name := range []string{"gpt2-b", "llama-a"} {
		m := loadModel(t, engine, graphtest.Golden(t), "circuits", "models", name)
		pairs := randomPairs(m.Spec, 3, 5, 2)
		tsk := newTask(t, engine, m, pairs, LogitDiff())
		spans := EachPosition(pairs)
		if !slices.Equal(spans.Names, []string{"0", "1", "2", "3", "4"}) || !slices.Equal(spans.Of[:5], []int{-1, 0, 1, 2, 3}) || spans.Of[14] != -1 {
			t.Fatalf("spans %+v", spans)
		}
		before := engine.Compiles()
		ig := must[*PositionScores](t)(AttributePositions(t.Context(), tsk, spans, 3))
		eap := must[*PositionScores](t)(AttributePositions(t.Context(), tsk, spans, 0))
		if n := engine.Compiles() - before; n != 2 { // the senders' pass, and the gradient with a token axis
			t.Errorf("%d compiles", n)
		}
		closeScale(t, name+" mask path", ig.Sum().Values, must[*Scores](t)(MaskIG(t.Context(), tsk, 3)).Values, 2e-5)
		closeScale(t, name+" EAP", eap.Sum().Values, must[*Scores](t)(EAP(t.Context(), tsk)).Values, 2e-5)

		ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
		flat := TopN(tsk.Graph, ig.Sum().Mean(), 12)
		some := ig.TopN(25)
		got := must[[][]float64](t)(tsk.EvaluatePositions(t.Context(), ref, AtEvery(flat, spans), AtEvery(NewCircuit(tsk.Graph), spans), some))
		closeScale(t, name+" at every position", got[0], must[[][]float64](t)(tsk.Evaluate(t.Context(), ref, flat))[0], 2e-5)
		closeScale(t, name+" nowhere", got[1], tsk.CorruptedLoss, 2e-5)
		if some.Len() != 25 || some.Anywhere().Len() > 25 || !slices.Equal(AtEvery(flat, spans).Anywhere().Keep, flat.Keep) {
			t.Errorf("%d edges at positions, %d edges", some.Len(), some.Anywhere().Len())
		}

		memory := must[*Memory](t)(EstimateMemory(m.Spec, 3, 5, Options{}))
		parts := must[*Task](t)(NewTask(t.Context(), engine, m, pairs, LogitDiff(), Options{Budget: 2 * memory.Row}))
		closeScale(t, name+" in chunks", must[*PositionScores](t)(AttributePositions(t.Context(), parts, spans, 3)).Values, ig.Values, 2e-5)
		again := must[[][]float64](t)(parts.EvaluatePositions(t.Context(), must[*Reference](t)(parts.Reference(t.Context(), Patching, 0)), some))
		closeScale(t, name+" evaluated in chunks", again[0], got[2], 2e-5)

		short := &Spans{Names: spans.Names, Of: spans.Of[1:]}
		if _, err := AttributePositions(t.Context(), tsk, short, 0); err == nil || !strings.Contains(err.Error(), "of 14 places") {
			t.Errorf("spans of another batch: %v", err)
		}
		hole := &Spans{Names: []string{"all"}, Of: slices.Repeat([]int{-1}, 15)}
		if _, err := tsk.EvaluatePositions(t.Context(), ref, AtEvery(flat, hole)); err == nil || !strings.Contains(err.Error(), "every real position") {
			t.Errorf("a place without a span: %v", err)
		}
	}
}

// TestPositionsPlanted: of the induction model, A B .. C D .. A with B wanted: where the value is exchanged, it is read at B alone; where A and C are, the
// previous-token head reads them at A and C and the induction head's keys are at B and D; the query and the output are at the last token. These edges at these
// positions keep the behaviour; the value's at another position does not.
func TestPositionsPlanted(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	all := pairsOf(openArrays(t, root, "planted", "induction", "inputs.safetensors"), "")
	m := loadModel(t, engine, root, "models", "induction")
	for _, c := range []struct {
		rows []int
		want []string
	}{
		{[]int{0, 1}, []string{"input->a1.h0<q>@7", "a1.h0->logits@7"}},
		{[]int{8, 9}, []string{"input->a0.h0<v>@1", "a0.h0->a1.h0<k>@2", "input->a0.h0<v>@4", "a0.h0->a1.h0<k>@5", "a1.h0->logits@7"}},
		{[]int{16, 17}, []string{"input->a1.h0<v>@2", "a1.h0->logits@7"}},
	} {
		tsk := newTask(t, engine, m, all.pick(c.rows), LogitDiff())
		scores := must[*PositionScores](t)(AttributePositions(t.Context(), tsk, EachPosition(tsk.Pairs), 20))
		found := scores.TopN(len(c.want))
		if !slices.Equal(found.Names(), c.want) {
			t.Errorf("found %v, planted %v", found.Names(), c.want)
			continue
		}
		ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
		moved := &PositionCircuit{Graph: found.Graph, Spans: found.Spans, Keep: slices.Clone(found.Keep)}
		size := tsk.Graph.Size()
		at := size*7 + tsk.Graph.At(must[Edge](t)(tsk.Graph.Parse("a1.h0->logits")))
		moved.Keep[at], moved.Keep[at-size] = false, true
		loss := must[[][]float64](t)(tsk.EvaluatePositions(t.Context(), ref, found, moved))
		share := func(x []float64) float64 {
			return (mean(x) - mean(tsk.CorruptedLoss)) / (mean(tsk.CleanLoss) - mean(tsk.CorruptedLoss))
		}
		t.Logf("%v: faithfulness %.4f, with the output edge one token early %.4f", c.want, share(loss[0]), share(loss[1]))
		if math.Abs(share(loss[0])-1) > 1e-3 || math.Abs(share(loss[1])) > 1e-3 {
			t.Errorf("faithfulness %g and %g", share(loss[0]), share(loss[1]))
		}
	}
}
