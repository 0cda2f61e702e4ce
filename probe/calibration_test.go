package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"loupe/vectors"
)

func TestCalibrationByHand(t *testing.T) {
	target := Target{Name: "y", Task: Binary, Class: []int{1, 0, 1, 0}, Classes: []string{"n", "p"}}
	p := []float64{0.1, 0.9, 0.2, 0.8, 0.6, 0.4, 0.9, 0.1}
	r, err := Calibration(target, p, 2)
	if err != nil {
		t.Fatal(err)
	}
	// p(1) = .9 .8 | .4 .1: bins [0, .5) with mean .25 and share 1/2, [.5, 1] with mean .85 and share 1/2
	if len(r.Bins) != 2 || math.Abs(r.ECE-(0.25+0.35)/2) > 1e-12 {
		t.Errorf("ECE %v, bins %+v", r.ECE, r.Bins)
	}
	if want := (0.01 + 0.64 + 0.36 + 0.01) / 4; math.Abs(r.Brier-want) > 1e-12 {
		t.Errorf("Brier %v, want %v", r.Brier, want)
	}
	if want := -(math.Log(0.9) + math.Log(0.2) + math.Log(0.4) + math.Log(0.9)) / 4; math.Abs(r.LogLoss-want) > 1e-12 {
		t.Errorf("log loss %v, want %v", r.LogLoss, want)
	}
}

// TestCalibrate: scores that are too large by a planted factor come back, for a sigmoid and for a temperature.
func TestCalibrate(t *testing.T) {
	rng := rand.New(rand.NewPCG(81, 82))
	const n = 20000
	binary := Target{Name: "b", Task: Binary, Class: make([]int, n), Classes: []string{"n", "p"}}
	several := Target{Name: "c", Task: Multiclass, Class: make([]int, n), Classes: []string{"a", "b", "c"}}
	over, logits := make([]float64, n), make([]float64, 3*n)
	for i := range n {
		s := 2 * rng.NormFloat64()
		if rng.Float64() < sigmoid(s) {
			binary.Class[i] = 1
		}
		over[i] = 3*s + 1
		var z [3]float64
		total := 0.0
		for c := range z {
			z[c] = 1.5 * rng.NormFloat64()
			total += math.Exp(z[c])
			logits[3*i+c] = 4 * z[c]
		}
		u := rng.Float64() * total
		for several.Class[i] < 2 && u > math.Exp(z[several.Class[i]]) {
			u -= math.Exp(z[several.Class[i]])
			several.Class[i]++
		}
	}
	for _, c := range []struct {
		target        Target
		scores        []float64
		slope, offset float64
	}{{binary, over, 1.0 / 3, -1.0 / 3}, {several, logits, 0.25, 0}} {
		got, err := Calibrate(c.target, c.scores)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.Slope-c.slope) > 0.02 || math.Abs(got.Offset-c.offset) > 0.05 {
			t.Errorf("%s: %+v, want %v and %v", c.target.Task, got, c.slope, c.offset)
		}
		ece := func(scores []float64) float64 {
			p, err := Probabilities(c.target, scores)
			if err != nil {
				t.Fatal(err)
			}
			r, err := Calibration(c.target, p, 15)
			if err != nil {
				t.Fatal(err)
			}
			return r.ECE
		}
		before, after := ece(c.scores), ece(got.Apply(c.scores))
		t.Logf("%s: ECE %.3f before, %.3f after", c.target.Task, before, after)
		if before < 0.05 || after > 0.02 {
			t.Errorf("%s: ECE %v before, %v after", c.target.Task, before, after)
		}
	}
}

func TestCalibrationErrors(t *testing.T) {
	two := Target{Name: "y", Task: Binary, Class: []int{1, 0}, Classes: []string{"n", "p"}}
	if _, err := Calibration(two, []float64{0.5, 0.5, 0.5, 0.6}, 2); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("probabilities that do not sum to 1: %v", err)
	}
	if _, err := Calibration(two, []float64{0.5, 0.5}, 2); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("too few probabilities: %v", err)
	}
	if _, err := Calibrate(NewRegression("t", []float64{1, 2}), []float64{1, 2}); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("regression: %v", err)
	}
}
