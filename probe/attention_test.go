package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"loupe/vectors"
)

// plantedTokens are texts of noise in which one token carries a mark and the class: attention must look for the mark.
func plantedTokens(texts, d int, classes int) (Sequences, []int, []int) {
	rng := rand.New(rand.NewPCG(11, 12))
	s := Sequences{Start: []int{0}}
	class, at := make([]int, texts), make([]int, texts)
	for i := range texts {
		n := 5 + rng.IntN(12)
		class[i], at[i] = rng.IntN(classes), rng.IntN(n)
		for r := range n {
			x := normal32(rng, d)
			// coordinates 1.. tell a class at every token; coordinate 0 marks the token whose class counts
			c := rng.IntN(classes)
			if r == at[i] {
				x[0] += 6
				c = class[i]
			}
			x[1+c] += 3
			s.Values = append(s.Values, x...)
		}
		s.Start = append(s.Start, s.Start[i]+n)
	}
	s.Rows = Rows{N: s.Start[texts], D: d, Values: s.Values}
	return s, class, at
}

// TestAttentionFindsThePlantedToken: the token with the mark gets most of the attention, and the probe beats one of the
// mean over tokens by far.
func TestAttentionFindsThePlantedToken(t *testing.T) {
	for _, classes := range []int{2, 3} {
		x, class, at := plantedTokens(600, 24, classes)
		target := Target{Name: "planted", Task: Binary, Class: class, Classes: []string{"a", "b"}}
		if classes == 3 {
			target.Task, target.Classes = Multiclass, []string{"a", "b", "c"}
		}
		train, test := upTo(400), make([]int, 200)
		for i := range test {
			test[i] = 400 + i
		}
		probe, err := FitAttention(t.Context(), x.Take(train), target.Take(train), DefaultAttention(), 1)
		if err != nil {
			t.Fatal(err)
		}
		held := x.Take(test)
		scores, attention, err := probe.Scores(held)
		if err != nil {
			t.Fatal(err)
		}
		right, found, k := 0.0, 0.0, len(probe.Bias)
		for i, text := range test {
			right += share(argmax(scores[i*k:(i+1)*k]) == class[text])
			weights := attention[held.Start[i]:held.Start[i+1]]
			best := 0
			for r, a := range weights {
				if a > weights[best] {
					best = r
				}
			}
			found += share(best == at[text])
		}
		right, found = right/200, found/200
		t.Logf("%d classes: held-out accuracy %.3f, the planted token has the most attention in %.3f", classes, right, found)
		if right < 0.85 || found < 0.95 {
			t.Errorf("%d classes: accuracy %.3f and planted token %.3f; want 0.85 and 0.95", classes, right, found)
		}
	}
}

func share(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// argmax is the class of scores: of one score its sign.
func argmax(s []float64) int {
	if len(s) == 1 {
		if s[0] > 0 {
			return 1
		}
		return 0
	}
	best := 0
	for c, v := range s {
		if v > s[best] {
			best = c
		}
	}
	return best
}

func TestAttentionGradient(t *testing.T) {
	for _, classes := range []int{2, 3} {
		x, class, _ := plantedTokens(40, 6, classes)
		target := Target{Name: "t", Task: Binary, Class: class, Classes: []string{"a", "b"}}
		if classes == 3 {
			target.Task, target.Classes = Multiclass, []string{"a", "b", "c"}
		}
		p := newAttentionLoss(x, target, 0.1)
		rng := rand.New(rand.NewPCG(1, 1))
		at, grad, none := make([]float64, p.dim()), make([]float64, p.dim()), make([]float64, p.dim())
		for i := range at {
			at[i] = 0.3 * rng.NormFloat64()
		}
		p.eval(at, grad)
		for i := range at {
			const h = 1e-2 // float32 products: a smaller step drowns in rounding
			old := at[i]
			var f [4]float64
			for j, s := range []float64{-2, -1, 1, 2} {
				at[i] = old + s*h
				f[j] = p.eval(at, none)
			}
			at[i] = old
			want := (f[0] - 8*f[1] + 8*f[2] - f[3]) / (12 * h) // error of order h⁴
			if math.Abs(grad[i]-want) > 2e-5*(1+math.Abs(want)) {
				t.Errorf("%d classes: gradient[%d] is %v, finite difference %v", classes, i, grad[i], want)
			}
		}
	}
}

// TestAttentionByHand: one query that looks at coordinate 0 alone, ln 3 apart, so that attention is 3/4 and 1/4.
func TestAttentionByHand(t *testing.T) {
	a := &Attention{Query: []float64{1, 0}, Linear: Linear{D: 2, Weights: []float64{0, 1}, Bias: []float64{0.5}}}
	x := Sequences{Rows: Rows{N: 3, D: 2, Values: []float32{float32(math.Log(3)), 2, 0, -4, 7, 1}}, Start: []int{0, 2, 3}}
	scores, attention, err := a.Scores(x)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{0.75*2 - 0.25*4 + 0.5, 1.5} {
		if math.Abs(scores[i]-want) > 1e-6 {
			t.Errorf("score %d is %v, want %v", i, scores[i], want)
		}
	}
	for i, want := range []float64{0.75, 0.25, 1} {
		if math.Abs(attention[i]-want) > 1e-6 {
			t.Errorf("attention %d is %v, want %v", i, attention[i], want)
		}
	}
	bad := x
	bad.Start = []int{0, 0, 3}
	if _, _, err := a.Scores(bad); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("an empty text gives %v", err)
	}
}
