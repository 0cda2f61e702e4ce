package axbench

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/study/studytest"
)

// TestStudy: in a small run the difference of means detects better than a random direction, and nothing is more fluent than the plain text.
func TestStudy(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("minutes on the pure Go backend")
	}
	r := studytest.Run(t, Study(), []string{"smollm2", "minilm"}, "concepts=[food]", "layer=4", "pairs=20", "latents=64", "k=4", "tokens=2560", "factors=[0.3]", "choose=2", "max_new=3")
	if d, v := studytest.Number(t, r, "detect.diff_means").Value, studytest.Number(t, r, "detect.random").Value; d <= v {
		t.Errorf("AUROC %v of the difference of means, %v of a random direction", d, v)
	}
	for _, m := range names {
		if f, plain := studytest.Number(t, r, "steer."+m+".fluency").Value, studytest.Number(t, r, "steer.nothing.fluency").Value; f < 0 || f > 2 || m != "prompt" && f > plain+0.5 {
			t.Errorf("fluency of %s %v, of the plain text %v", m, f, plain)
		}
	}
}

// TestScores: by hand.
func TestScores(t *testing.T) {
	for _, c := range [][3]float64{{2, 2, 2}, {1, 2, 4.0 / 3}, {0, 2, 0}, {2, 0, 0}} {
		if got := harmonic(c[0], c[1]); math.Abs(got-c[2]) > 1e-15 {
			t.Errorf("harmonic mean of %v and %v: %v", c[0], c[1], got)
		}
	}
	if got := chooseBest([][]float64{{1, 0, 9}, {0.5, 1, 0}}, 2); got != 1 {
		t.Errorf("best of the first two: %d", got)
	}
	// two concepts: one ranked right, one wrong; and a resample without one of the classes
	scores, y, which := []float64{1, 2, 2, 1}, []int{0, 1, 0, 1}, []int{0, 0, 1, 1}
	if got := meanAUC(scores, y, which, 2, []int{0, 1, 2, 3}); got != 0.5 {
		t.Errorf("mean area %v, want (1 + 0) / 2", got)
	}
	if got := meanAUC(scores, y, which, 2, []int{0, 1, 2}); got != 0.75 {
		t.Errorf("mean area %v, want (1 + 0.5) / 2", got)
	}
}
