package classdiffusion

import (
	"math"
	"slices"
	"testing"

	"loupe/internal/study/studytest"
)

// TestRetention: by hand, a phrase that moves as far as its class keeps all, one that moves across keeps nothing.
func TestRetention(t *testing.T) {
	base, want := []float64{1, 0, 0}, []float64{1, 2, 0}
	for _, c := range []struct {
		with []float64
		keep float64
	}{{[]float64{0, 2, 5}, 1}, {[]float64{0, 1, 5}, 0.5}, {[]float64{3, 0, 9}, 0}} {
		if got := retention([]float64{0, 0, 5}, c.with, base, want); math.Abs(got-c.keep) > 1e-15 {
			t.Errorf("%v retains %v, want %v", c.with, got, c.keep)
		}
	}
	if got := of("dog", false, "there is a <new1> {class} in the snow"); !slices.Equal(got, []string{"there is a dog in the snow"}) {
		t.Errorf("%q", got)
	}
}

// TestStudy: a small run; both ways learn, and the loss keeps the phrase nearer to its class.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "classes=[horse, chair]", "seeds=1", "learn.steps=6", "learn.learning_rate=0.02")
	if gain := studytest.Number(t, r, "gain.class").Value; gain <= 0 {
		t.Errorf("cosine with the class gains %v by the loss", gain)
	}
	if a, b := studytest.Number(t, r, "plain.fidelity").Value, studytest.Number(t, r, "random.fidelity").Value; a <= b {
		t.Errorf("fidelity %v of a learned word, %v of a random one", a, b)
	}
}
