package adam

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestHand: two AdamW steps computed by hand with lr .1, b1 .5, b2 .75, eps 0, decay .5 (keep = .95), gradient 2 and then -1
// at w = 1. Step 1: m = 1, v = 1, m^ = 2, v^ = 4, w = .95 - .1 x 2/2 = .85. Step 2: m = 0, v = 1, w = .95 x .85 - 0 = .8075.
func TestHand(t *testing.T) {
	w, m, v := []float32{1}, []float32{0}, []float32{0}
	for i, c := range []struct{ g, w, m, v float32 }{{2, .85, 1, 1}, {-1, .8075, 0, 1}} {
		k := New(.1, .5, .75, 0, .5, int64(i+1), 1)
		Step(&k, w, m, v, []float32{c.g})
		for j, pair := range [][2]float32{{w[0], c.w}, {m[0], c.m}, {v[0], c.v}} {
			if math.Abs(float64(pair[0]-pair[1])) > 1e-7 {
				t.Errorf("step %d, number %d: %v, want %v", i+1, j, pair[0], pair[1])
			}
		}
	}
}

// TestFormula holds 20 steps against AdamW's formula in float64, as PyTorch writes it: decay first, then the step.
func TestFormula(t *testing.T) {
	const lr, b1, b2, eps, decay, scale = 1e-2, .9, .999, 1e-8, .1, .7
	r := rand.New(rand.NewPCG(1, 2))
	n := 37
	w, m, v, g := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	want, wm, wv := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range w {
		w[i] = float32(r.NormFloat64())
		want[i] = float64(w[i])
	}
	for step := int64(1); step <= 20; step++ {
		for i := range g {
			g[i] = float32(r.NormFloat64())
			x := scale * float64(g[i])
			want[i] *= 1 - lr*decay
			wm[i], wv[i] = b1*wm[i]+(1-b1)*x, b2*wv[i]+(1-b2)*x*x
			hat := math.Sqrt(wv[i])/math.Sqrt(1-math.Pow(b2, float64(step))) + eps
			want[i] -= lr / (1 - math.Pow(b1, float64(step))) * wm[i] / hat
		}
		k := New(lr, b1, b2, eps, decay, step, scale)
		Step(&k, w, m, v, g)
	}
	for i := range w {
		if d := math.Abs(float64(w[i]) - want[i]); d > 2e-6*(1+math.Abs(want[i])) { // twenty roundings of float32
			t.Errorf("weight %d: %v, want %v", i, w[i], want[i])
		}
	}
}

// TestStepEqualsPlain holds the vector form to the bytes of the plain one, at every length of tail.
func TestStepEqualsPlain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := range 40 {
		var a, b [4][]float32
		for i := range a {
			for range n {
				x := r.NormFloat64()
				if i == 2 {
					x *= x
				}
				a[i] = append(a[i], float32(x))
			}
			b[i] = slices.Clone(a[i])
		}
		k := New(1e-3, .9, .99, 1e-8, .3, 3, .7)
		Step(&k, a[0], a[1], a[2], a[3])
		StepPlain(&k, b[0], b[1], b[2], b[3])
		for i := range 3 {
			for j := range a[i] {
				if math.Float32bits(a[i][j]) != math.Float32bits(b[i][j]) {
					t.Fatalf("length %d, slice %d, element %d: %v, plain %v", n, i, j, a[i][j], b[i][j])
				}
			}
		}
	}
}

// TestSolver: the hand-computed first step of AdamW (1 - .1 (.5 x 1 + 2/2) = .85), twenty steps of the float32 form, and a proximal step that
// makes small numbers exactly 0.
func TestSolver(t *testing.T) {
	s := NewSolver(.1, 1)
	s.Decay = .5
	w := []float64{1}
	if s.Step(w, []float64{2}); math.Abs(w[0]-.85) > 1e-8 {
		t.Errorf("the first step leads to %v, want .85", w[0])
	}
	const n, lr = 9, 1e-2
	r := rand.New(rand.NewPCG(5, 6))
	x, y, g, h := make([]float64, n), make([]float32, n), make([]float64, n), make([]float32, n)
	m, v := make([]float32, n), make([]float32, n)
	s = NewSolver(lr, n)
	for step := range int64(20) {
		for i := range g {
			g[i] = r.NormFloat64()
			h[i] = float32(g[i])
		}
		s.Step(x, g)
		k := New(lr, .9, .999, 1e-8, 0, step+1, 1)
		Step(&k, y, m, v, h)
	}
	for i := range x {
		if math.Abs(x[i]-float64(y[i])) > 1e-6 {
			t.Errorf("number %d: %v, in float32 %v", i, x[i], y[i])
		}
	}
	clear(x)
	x[0], x[1] = 1e-9, -5
	s.Shrink(x, 1e-6)
	if x[0] != 0 || !(x[1] > -5) || !(x[1] < -4.9) {
		t.Errorf("shrunk to %v and %v", x[0], x[1])
	}
}
