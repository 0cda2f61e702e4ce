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

// TestGateByHand: at u = 1/2 the noise is 0, so a gate of logit 0 is 0.5 x 1.2 - 0.1 = 0.5 with slope 1.2 x 0.25 x 3/2 = 0.45; gates saturate
// on both sides with slope 0; the slope is a finite difference elsewhere.
func TestGateByHand(t *testing.T) {
	if z, slope := gate(0, 0.5); math.Abs(z-0.5) > 1e-12 || math.Abs(slope-0.45) > 1e-12 {
		t.Errorf("a gate of logit 0 is %g with slope %g", z, slope)
	}
	for _, c := range [][2]float64{{-4, 0}, {4, 1}} {
		if z, slope := gate(c[0], 0.5); z != c[1] || slope != 0 {
			t.Errorf("a gate of logit %g is %g with slope %g", c[0], z, slope)
		}
	}
	const h = 1e-5
	up, _ := gate(0.3+h, 0.4)
	down, _ := gate(0.3-h, 0.4)
	if _, slope := gate(0.3, 0.4); math.Abs((up-down)/(2*h)-slope) > 1e-8 {
		t.Errorf("slope %g, finite difference %g", slope, (up-down)/(2*h))
	}
}

// TestLearnedMaskPlanted: at a penalty of a hundredth of the whole effect, the mask that is learned is the planted circuit of each kind of corruption, with one
// program for all steps.
func TestLearnedMaskPlanted(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	for _, name := range []string{"induction", "greater-than"} {
		var expected struct {
			Kinds map[string]struct {
				Examples []int
				Edges    []string
				Total    float64 `json:"total_loss_change"`
			} `json:"by_corruption"`
		}
		readJSON(t, &expected, root, "planted", name, "expected.json")
		in := openArrays(t, filepath.Join(root, "planted", name), "inputs.safetensors")
		all := pairsOf(in, "")
		m := loadModel(t, engine, root, "models", name)
		for kind, e := range expected.Kinds {
			task := newTask(t, engine, m, all.pick(e.Examples[:2]), LogitDiff())
			ref := must[*Reference](t)(task.Reference(t.Context(), Patching, 0))
			got := must[*LearnedMaskResult](t)(LearnedMask(t.Context(), task, ref, DefaultLearnedMask(e.Total/100, 1)))
			truth := must[*Circuit](t)(CircuitOf(task.Graph, e.Edges))
			auroc := must[float64](t)(AUROC(exponentials(got.Logits), truth))
			t.Logf("%s, %s: %d edges expected at first, %.1f at last; area %.4f", name, kind, len(task.Graph.Edges()), got.Kept[len(got.Kept)-1], auroc)
			if !slices.Equal(got.Circuit.Names(), truth.Names()) {
				t.Errorf("%s, %s: the mask keeps %v, planted %v", name, kind, got.Circuit.Names(), truth.Names())
			}
		}
	}
}

// exponentials makes scores whose size grows with x.
func exponentials(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = math.Exp(v)
	}
	return out
}

// TestLearnedMask: the seed alone decides, a penalty over the whole effect removes every edge, steps compile one program, and bad settings are errors.
func TestLearnedMask(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	base := plantedTask(t, engine, LogitDiff())
	tsk := newTask(t, engine, base.Model, base.Pairs.pick([]int{0, 1}), LogitDiff())
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
	run := func(penalty float64, seed uint64, steps int) *LearnedMaskResult {
		cfg := DefaultLearnedMask(penalty, seed)
		cfg.Steps = steps
		return must[*LearnedMaskResult](t)(LearnedMask(t.Context(), tsk, ref, cfg))
	}
	a := run(0.1, 1, 5)
	compiled := engine.Compiles()
	if b := run(0.1, 1, 5); !slices.Equal(a.Logits, b.Logits) {
		t.Error("one seed, two masks")
	}
	if c := run(0.1, 2, 5); slices.Equal(a.Logits, c.Logits) {
		t.Error("two seeds, one mask")
	}
	if n := run(100, 1, 80).Circuit.Len(); n != 0 {
		t.Errorf("%d edges are kept at a penalty of five times the whole effect each", n)
	}
	if engine.Compiles() != compiled {
		t.Errorf("%d programs were compiled after the first mask", engine.Compiles()-compiled)
	}
	if _, err := LearnedMask(t.Context(), tsk, ref, LearnedMaskConfig{}); err == nil || !strings.Contains(err.Error(), "must be positive") {
		t.Errorf("no steps: %v", err)
	}
}
