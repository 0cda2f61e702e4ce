package circuits

import (
	"fmt"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestPathPatch: over all receivers of a head or an MLP it is patching that node, into one receiver it is cutting that edge; a path whose middle feeds the
// logits alone is its first edge; and on the planted model the previous-token head reaches the answer through the induction head's keys
// and no other way.
func TestPathPatch(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	tsk := plantedTask(t, engine, LogitDiff())
	g, s := tsk.Graph, tsk.Model.Spec
	patch := func(receivers ...string) [][]float64 {
		t.Helper()
		return must[*PathEffects](t)(PathPatch(t.Context(), tsk, receivers)).Loss
	}
	all := patch(g.Receivers...)
	units := must[*UnitEffects](t)(PatchUnits(t.Context(), tsk, Noise))
	for l := range s.Layers {
		for h := range s.Heads {
			var want []float64
			for r := range tsk.Pairs.Rows {
				want = append(want, units.Heads[(r*s.Layers+l)*s.Heads+h])
			}
			close(t, fmt.Sprintf("head %d.%d over all receivers", l, h), all[must[int](t)(g.Sender(fmt.Sprintf("a%d.h%d", l, h)))], want, 1e-4)
		}
		var want []float64
		for r := range tsk.Pairs.Rows {
			want = append(want, units.MLPs[r*s.Layers+l])
		}
		close(t, fmt.Sprintf("MLP %d over all receivers", l), all[must[int](t)(g.Sender(fmt.Sprintf("m%d", l)))], want, 1e-4)
	}
	close(t, "the input over all receivers", all[0], must[[][]float64](t)(tsk.Evaluate(t.Context(), must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0)), Whole(g).Without(0)))[0], 1e-4)

	head := must[int](t)(g.Sender("a0.h0"))
	last := fmt.Sprintf("m%d", s.Layers-1)
	direct := patch("logits")[head]
	close(t, "a path of one edge", must[[]float64](t)(PatchPath(t.Context(), tsk, "a0.h0", "logits")), direct, 1e-5)
	close(t, "a path through the last MLP", must[[]float64](t)(PatchPath(t.Context(), tsk, "a0.h0", last, "logits")), patch(last)[head], 1e-4)
	if late := patch("a0.h0<q>"); late[head][0] != tsk.CleanLoss[0] {
		t.Error("a head does not feed its own query, so nothing is patched")
	}

	whole, off := mean(all[head])-mean(tsk.CleanLoss), mean(direct)-mean(tsk.CleanLoss)
	keys := mean(must[[]float64](t)(PatchPath(t.Context(), tsk, "a0.h0", "a1.h0<k>", "logits"))) - mean(tsk.CleanLoss)
	t.Logf("patching a0.h0 adds %.3f to the loss, by the keys of a1.h0 %.3f, directly %.3f", whole, keys, off)
	if whole <= 0 || keys < 0.95*whole || off > 0.05*whole {
		t.Errorf("the previous-token head adds %g, by the induction head's keys %g, directly %g", whole, keys, off)
	}

	for want, f := range map[string]func() error{
		"no receiver \"a9\"":      func() error { _, err := PathPatch(t.Context(), tsk, []string{"a9"}); return err },
		"into no receiver":        func() error { _, err := PathPatch(t.Context(), tsk, nil); return err },
		"a path of 1 nodes":       func() error { _, err := PatchPath(t.Context(), tsk, "a0.h0"); return err },
		"nothing is behind it":    func() error { _, err := PatchPath(t.Context(), tsk, "a0.h0", "logits", "m1"); return err },
		"m1 comes after a0.h0<q>": func() error { _, err := PatchPath(t.Context(), tsk, "m1", "a0.h0<q>"); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
