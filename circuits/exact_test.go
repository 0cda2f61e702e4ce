package circuits

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestExactEdges: in every decoder family, an edge that is corrupted by moving its receiver alone changes the loss as the edge mask does,
// for edges into queries, keys, values and the MLP of the last block and into the logits; and
// so does an edge mask whose pass begins at that block.
func TestExactEdges(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny")
	families := must[[]os.DirEntry](t)(os.ReadDir(dir))
	tried := 0
	for _, f := range families {
		if !f.IsDir() {
			continue
		}
		info := must[*model.Info](t)(model.Inspect(filepath.Join(dir, f.Name()), model.Options{AllowExtra: true}))
		if !info.Spec.Decoder || info.Spec.HasEdges() != nil {
			continue
		}
		tried++
		engine := model.NewEngine(graphtest.Interpreted(t), nil)
		m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), filepath.Join(dir, f.Name()), model.Options{AllowExtra: true}))
		const rows, seq = 2, 5
		r := rand.New(rand.NewPCG(1, 1))
		p := &Pairs{Rows: rows, Seq: seq, Clean: make([]int32, rows*seq), Corrupted: make([]int32, rows*seq), Answer: [][]int32{{3}, {3}}, Wrong: [][]int32{{7}, {7}}}
		for i := range p.Clean {
			p.Clean[i], p.Corrupted[i] = int32(r.IntN(m.Spec.Vocab)), int32(r.IntN(m.Spec.Vocab))
		}
		task := must[*Task](t)(NewTask(t.Context(), engine, m, p, LogitDiff(), Options{SweepRows: rows}))
		g, h, last := task.Graph, m.Spec.Heads, m.Spec.Layers-1
		receivers := 3*h + 1
		edges := []Edge{{0, last * receivers}, {0, last*receivers + h}, {1, last*receivers + 3*h - 1}, {0, last*receivers + 3*h}, {len(g.Senders) - 1, len(g.Receivers) - 1}}
		got := must[[][]float64](t)(ExactEdges(t.Context(), task, edges))
		var cuts []*Circuit
		for _, e := range edges {
			c := Whole(g)
			c.Keep[g.At(e)] = false
			cuts = append(cuts, c)
		}
		want := must[[][]float64](t)(task.Evaluate(t.Context(), must[*Reference](t)(task.Reference(t.Context(), Patching, 0)), cuts...))
		for i, e := range edges {
			for row := range rows {
				if w := want[i][row] - task.CleanLoss[row]; math.Abs(got[i][row]-w) > 1e-5*(1+math.Abs(want[i][row])) {
					t.Errorf("%s: %s in row %d changes the loss by %v, the mask by %v", f.Name(), g.Name(e), row, got[i][row], w)
				}
			}
		}
		// the masked pass that begins at the last block is the whole one
		var masks [][]float32
		for _, c := range cuts {
			masks = append(masks, c.mask())
		}
		streams := must[map[model.Kind][][]float32](t)(task.blocks(t.Context(), p.Clean, model.ResidPre))
		part := must[[][]float64](t)(task.maskedFrom(t.Context(), last, streams[model.ResidPre][last], masks, must[*Reference](t)(task.Reference(t.Context(), Patching, 0))))
		for i := range want {
			close(t, f.Name()+" from the last block on, "+g.Name(edges[i]), part[i], want[i], 1e-5)
		}
		if _, err := ExactEdges(t.Context(), task, []Edge{{len(g.Senders) - 1, 0}}); err == nil || !strings.Contains(err.Error(), "does not feed") {
			t.Errorf("an edge that is none: %v", err)
		}
		if err := m.Params.Free(); err != nil {
			t.Error(err)
		}
	}
	if tried < 12 {
		t.Errorf("only %d families were tried", tried)
	}
}

// TestSmallest: sizes grow to all edges without a repetition, and the smallest circuit of the planted model that reaches a share is the
// first of its curve that does.
func TestSmallest(t *testing.T) {
	tsk := plantedTask(t, model.NewEngine(graphtest.Interpreted(t), nil), LogitDiff())
	shares := GrowingShares(tsk.Graph, 12)
	last := 0
	for _, s := range shares {
		n := int(s * float64(len(tsk.Graph.Edges())))
		if n <= last {
			t.Fatalf("sizes do not grow: %v", shares)
		}
		last = n
	}
	if last != len(tsk.Graph.Edges()) {
		t.Errorf("the largest size is %d of %d edges", last, len(tsk.Graph.Edges()))
	}
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
	scores := must[*Scores](t)(Exact(t.Context(), tsk))
	curve := must[*Faithfulness](t)(MeasureFaithfulness(t.Context(), tsk, ref, scores.Mean(), Greedy, shares))
	p := must[*FaithfulnessPoint](t)(curve.Smallest(0.9))
	if p.F < 0.9 || p.Kept > 12 {
		t.Errorf("%d edges keep %v of the planted effect of 5 edges", p.Kept, p.F)
	}
	if _, err := curve.Smallest(9); err == nil || !strings.Contains(err.Error(), "best") {
		t.Errorf("an impossible share: %v", err)
	}
}
