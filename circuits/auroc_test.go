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

// TestAUROCByHand: edges of scores 3, -1 (in) against 2, 1 (out) win two pairs, lose one and tie one.
func TestAUROCByHand(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, false))
	scores := make([]float64, g.Size())
	for i := range scores {
		scores[i] = 99 // no edge: must not count
	}
	for _, e := range g.Edges() {
		scores[g.At(e)] = 0
	}
	set := func(name string, v float64) { scores[g.At(must[Edge](t)(g.Parse(name)))] = v }
	for name, v := range map[string]float64{"input->a0.h0<v>": 3, "m0->logits": -1, "input->m0": 2, "input->logits": 1} {
		set(name, v)
	}
	truth := must[*Circuit](t)(CircuitOf(g, []string{"input->a0.h0<v>", "m0->logits"}))
	// the four other edges score 0 and lose to both
	want := (2 + 0.5 + 2*4) / (2 * 6.0)
	got := must[float64](t)(AUROC(scores, truth))
	if math.Abs(got-want) > 1e-12 {
		t.Errorf("area %g, want %g", got, want)
	}
	scaled, flipped := slices.Clone(scores), slices.Clone(scores)
	for i, v := range scores {
		scaled[i], flipped[i] = -7*v*v*v, 1/(1+math.Abs(v))
	}
	if x := must[float64](t)(AUROC(scaled, truth)); x != got {
		t.Errorf("a growing function of |score| gives %g, not %g", x, got)
	}
	if x := must[float64](t)(AUROC(flipped, truth)); math.Abs(x-(1-got)) > 1e-12 {
		t.Errorf("the reversed order gives %g, not %g", x, 1-got)
	}
	if x := must[float64](t)(AUROC(make([]float64, g.Size()), truth)); x != 0.5 {
		t.Errorf("equal scores give %g", x)
	}
	for want, f := range map[string]func() (float64, error){
		"0 of 8 edges": func() (float64, error) { return AUROC(scores, NewCircuit(g)) },
		"8 of 8 edges": func() (float64, error) { return AUROC(scores, Whole(g)) },
		"of 3 scores":  func() (float64, error) { return AUROC(make([]float64, 3), truth) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	set("m0->logits", math.NaN())
	if _, err := AUROC(scores, truth); err == nil || !strings.Contains(err.Error(), "not a number") {
		t.Errorf("a score that is none: %v", err)
	}
}

// TestAUROCPlanted: exact scores, and those of the mask path, rank every edge of a planted circuit above every other.
func TestAUROCPlanted(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	for _, name := range []string{"induction", "greater-than"} {
		var expected struct {
			Kinds map[string]struct {
				Examples []int
				Edges    []string
			} `json:"by_corruption"`
		}
		readJSON(t, &expected, root, "planted", name, "expected.json")
		in := openArrays(t, filepath.Join(root, "planted", name), "inputs.safetensors")
		all := pairsOf(in, "")
		m := loadModel(t, engine, root, "models", name)
		for kind, e := range expected.Kinds {
			task := newTask(t, engine, m, all.pick(e.Examples[:2]), LogitDiff())
			truth := must[*Circuit](t)(CircuitOf(task.Graph, e.Edges))
			exact := must[float64](t)(AUROC(must[*Scores](t)(Exact(t.Context(), task)).Mean(), truth))
			ig := must[float64](t)(AUROC(must[*Scores](t)(MaskIG(t.Context(), task, 8)).Mean(), truth))
			eap := must[float64](t)(AUROC(must[*Scores](t)(EAP(t.Context(), task)).Mean(), truth))
			t.Logf("%s, %s: exact %.4f, mask-path %.4f, EAP %.4f", name, kind, exact, ig, eap)
			if exact != 1 {
				t.Errorf("%s, %s: exact edges have an area of %g", name, kind, exact)
			}
		}
	}
}
