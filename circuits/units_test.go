package circuits

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestPatchUnits: a unit's output on the corrupted input, put into the clean run, is what cutting all of its edges does, in models with
// learned positions and with rotary ones and grouped heads; there is one program for each block; and denoising the corrupted run is
// noising the clean one with the inputs exchanged.
func TestPatchUnits(t *testing.T) {
	for _, name := range []string{"gpt2-a", "llama-a"} {
		engine := model.NewEngine(graphtest.Interpreted(t), nil)
		m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), filepath.Join(graphtest.Golden(t), "circuits", "models", name), model.Options{}))
		const rows, seq = 3, 6
		r := rand.New(rand.NewPCG(1, 1))
		p := &Pairs{Rows: rows, Seq: seq, Clean: make([]int32, rows*seq), Corrupted: make([]int32, rows*seq), Mask: make([]int32, rows*seq)}
		for i := range p.Clean {
			p.Clean[i], p.Corrupted[i], p.Mask[i] = int32(r.IntN(m.Spec.Vocab)), int32(r.IntN(m.Spec.Vocab)), 1
		}
		p.Mask[rows*seq-1] = 0
		for range rows {
			p.Answer, p.Wrong = append(p.Answer, []int32{3}), append(p.Wrong, []int32{7})
		}
		task := must[*Task](t)(NewTask(t.Context(), engine, m, p, LogitDiff(), Options{SweepRows: 6}))
		before := engine.Compiles()
		got := must[*UnitEffects](t)(PatchUnits(t.Context(), task, Noise))
		if n := engine.Compiles() - before; n != m.Spec.Layers+2 {
			t.Errorf("%s: %d programs for %d blocks and two captures", name, n, m.Spec.Layers)
		}
		ref := must[*Reference](t)(task.Reference(t.Context(), Patching, 0))
		var cuts []*Circuit
		for u := range task.Graph.Senders {
			c := Whole(task.Graph)
			for _, e := range task.Graph.Edges() {
				if e.U == u {
					c.Keep[task.Graph.At(e)] = false
				}
			}
			cuts = append(cuts, c)
		}
		want := must[[][]float64](t)(task.Evaluate(t.Context(), ref, cuts...))
		worst := 0.0
		for u := 1; u < len(cuts); u++ {
			layer, at := (u-1)/(m.Spec.Heads+1), (u-1)%(m.Spec.Heads+1)
			for row := range rows {
				var loss float64
				if at == m.Spec.Heads {
					loss = got.MLPs[row*m.Spec.Layers+layer]
				} else {
					loss = got.Heads[(row*m.Spec.Layers+layer)*m.Spec.Heads+at]
				}
				worst = max(worst, math.Abs(loss-want[u][row])/(1+math.Abs(want[u][row])))
			}
		}
		t.Logf("%s: %d units, worst difference from cut edges %.1e", name, len(cuts)-1, worst)
		if worst > 2e-5 {
			t.Errorf("%s: a patched unit is %v from the model with its edges cut", name, worst)
		}
		exchanged := *p
		exchanged.Clean, exchanged.Corrupted = p.Corrupted, p.Clean
		other := must[*Task](t)(NewTask(t.Context(), engine, m, &exchanged, LogitDiff(), Options{SweepRows: 6}))
		back := must[*UnitEffects](t)(PatchUnits(t.Context(), other, Denoise))
		for i, v := range back.Heads {
			if math.Abs(v-got.Heads[i]) > 1e-6 {
				t.Fatalf("%s: denoising gives %v, noising %v", name, v, got.Heads[i])
			}
		}
		if _, err := PatchUnits(t.Context(), task, "sideways"); err == nil || !strings.Contains(err.Error(), "sideways") {
			t.Errorf("an unknown direction: %v", err)
		}
	}
}
