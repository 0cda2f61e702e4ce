package induction

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"

	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/study/studytest"
	"loupe/probe/model"
)

// openPlanted opens the reference model that was built to do induction: a previous-token head in block 0 and an induction head in block 1.
func openPlanted(t *testing.T) *lab.Lab {
	t.Helper()
	b := graphtest.Interpreted(t)
	m, err := model.Load(t.Context(), b, filepath.Join(graphtest.Golden(t), "circuits", "models", "induction"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &lab.Lab{Backend: b, Engine: model.NewEngine(b, nil), Model: m}
}

// TestPlanted: the planted induction head has the largest prefix-matching score by far, and cutting it costs more on the
// repetition than cutting the heads that are left.
func TestPlanted(t *testing.T) {
	l := openPlanted(t)
	defer l.Close()
	const half = 4
	x := &repeated{rows: 2, half: half, ids: []int32{1, 2, 3, 4, 1, 2, 3, 4, 5, 3, 1, 6, 5, 3, 1, 6}}
	scores, err := prefixScores(t.Context(), l, x)
	if err != nil {
		t.Fatal(err)
	}
	best, second := -1, 0.0
	for h, score := range scores {
		if m := stat.Mean(score, nil); best < 0 || m > stat.Mean(scores[best], nil) {
			best = h
		}
	}
	for h, score := range scores {
		if h != best {
			second = max(second, stat.Mean(score, nil))
		}
	}
	if first := stat.Mean(scores[best], nil); first < 0.8 || second > 0.5 || best/l.Model.Spec.Heads != 1 {
		t.Errorf("head %d scores %v, the next %v", best, first, second)
	}
	a, err := newAblator(t.Context(), l, x)
	if err != nil {
		t.Fatal(err)
	}
	for _, zero := range []bool{true, false} {
		cut := func(heads ...int) float64 {
			loss, err := a.loss(t.Context(), heads, zero)
			if err != nil {
				t.Fatal(err)
			}
			return stat.Mean(loss, nil)
		}
		whole := cut()
		if same := cut(); same != whole {
			t.Errorf("two runs give %v and %v", whole, same)
		}
		if rise := cut(best) - whole; !(rise > 0.5) {
			t.Errorf("zero %v: cutting the induction head raises the loss by %v from %v", zero, rise, whole)
		}
	}
}

// TestOthers: controls are of the same layers, are not found heads, and are all different.
func TestOthers(t *testing.T) {
	found := []int{5, 4, 9}
	got := others(rand.New(rand.NewPCG(1, 1)), found, found, 4)
	if len(got) != 3 || got[0]/4 != 1 || got[1]/4 != 1 || got[2]/4 != 2 || got[0] == got[1] {
		t.Errorf("got %v", got)
	}
	for _, h := range got {
		if slices.Contains(found, h) {
			t.Errorf("head %d was found", h)
		}
	}
}

// TestStudy: a small run on a random decoder: all numbers are there, the whole graph is faithful, and the scores add up.
func TestStudy(t *testing.T) {
	r := studytest.RunOn(t, graphtest.Interpreted(t), Study(), "model="+studytest.Decoder(t), "rows=2", "half=4", "heads=3", "cuts=[1,3]",
		"prompts=4", "shares=[0.05,1]", "resamples=3", "steps=40")
	if f := studytest.Number(t, r, "circuit.f_1").Value; math.Abs(f-1) > 1e-3 {
		t.Errorf("the whole graph has faithfulness %v", f)
	}
	if e := studytest.Number(t, r, "sum.error").Value; math.Abs(e) > 0.3 {
		t.Errorf("the scores miss the change by a share of %v", e)
	}
	for _, name := range []string{"score.first", "score.median", "score.share_above_0.3", "stability", "heads.auc"} {
		if v := studytest.Number(t, r, name).Value; !(v >= 0 && v <= 1) {
			t.Errorf("%s is %v", name, v)
		}
	}
}
