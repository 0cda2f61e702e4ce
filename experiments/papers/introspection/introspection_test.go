package introspection

import (
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/study/studytest"
	"loupe/vectors"
)

// TestStudy: in a small run a strong injection of unseen concepts is seen better than by chance, and stronger ones no worse.
func TestStudy(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("minutes on the pure Go backend")
	}
	r := studytest.Run(t, Study(), []string{"smollm2"}, "concepts=4", "prompts=4", "each=2", "inject=2", "read=4", "train=[0.8]", "test=[0.05,0.4]")
	weak, strong := studytest.Number(t, r, "strength_0.05.auc").Value, studytest.Number(t, r, "strength_0.4.auc").Value
	if strong < 0.6 || strong < weak-0.1 {
		t.Errorf("AUROC %v at strength 0.05, %v at 0.4", weak, strong)
	}
}

// TestAlarm: of four clean scores 1 to 4 the threshold is the largest, or the second when a quarter may exceed it; never below the
// classifier's own.
func TestAlarm(t *testing.T) {
	f := &vectors.Fit{Linear: vectors.Linear{Weights: []float64{1}}}
	clean := mat.NewDense(4, 1, []float64{3, 1, 4, 2})
	for _, c := range []struct{ share, want float64 }{{0.01, 4}, {0.25, 3}} {
		if got, err := alarm(f, clean, c.share); err != nil || got != c.want {
			t.Errorf("share %v: %v, %v", c.share, got, err)
		}
	}
	f.Bias = -10
	if got, _ := alarm(f, clean, 0); got != 0 {
		t.Errorf("all below: %v", got)
	}
}

// TestConcepts: drawn words are different, and the same for a seed.
func TestConcepts(t *testing.T) {
	a, err := concepts(40, 1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := concepts(40, 1)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range a {
		if seen[a[i]] || a[i] != b[i] {
			t.Errorf("word %d: %q, %q", i, a[i], b[i])
		}
		seen[a[i]] = true
	}
	if _, err := concepts(100000, 1); err == nil {
		t.Error("100000 words were drawn")
	}
}
