package method_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/method"
	"loupe/probe/train"
)

// normal are n rows of width d around a mean of mean/sqrt d in every entry.
func normal(n, d int, mean float64, rng *rand.Rand) *mat.Dense {
	x := mat.NewDense(n, d, nil)
	x.Apply(func(_, _ int, _ float64) float64 { return mean/math.Sqrt(float64(d)) + rng.NormFloat64() }, x)
	return x
}

// TestDiscriminator: gradients by differences, two planted clouds are told apart and one cloud in two halves is not, on rows that it did
// not see.
func TestDiscriminator(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	c, err := method.NewDiscriminator(6, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float64, 6)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for name, f := range map[string]func([]float64) (float64, []float64){"logit": c.Logit, "fool": c.Fool} {
		_, g := f(x)
		for i := range x {
			const step = 1e-6
			up, down := slices.Clone(x), slices.Clone(x)
			up[i], down[i] = up[i]+step, down[i]-step
			a, _ := f(up)
			b, _ := f(down)
			if want := (a - b) / (2 * step); math.Abs(g[i]-want) > 1e-7 {
				t.Errorf("%s: entry %d of the gradient %v, by differences %v", name, i, g[i], want)
			}
		}
	}
	erased, anchors := normal(20, 6, 4, rng), normal(20, 6, 0, rng)
	before := c.Accuracy(erased, anchors)
	loss, g := c.Loss(erased, anchors)
	first := loss
	for range 200 {
		loss = c.Learn(erased, anchors, 0.01)
	}
	after := c.Accuracy(normal(200, 6, 4, rng), normal(200, 6, 0, rng))
	t.Logf("accuracy %.2f, was %.2f; loss %.3f, was %.3f, gradient %.3f", after, before, loss, first, floats.Norm(g, 2))
	if after < 0.9 || loss > 0.3 {
		t.Errorf("two clouds are told apart in %.2f, loss %.3f", after, loss)
	}
	same, err := method.NewDiscriminator(6, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	all := normal(400, 6, 0, rng)
	for range 20 {
		same.Learn(all.Slice(0, 200, 0, 6).(*mat.Dense), all.Slice(200, 400, 0, 6).(*mat.Dense), 0.01)
	}
	if got := same.Accuracy(normal(400, 6, 0, rng), normal(400, 6, 0, rng)); math.Abs(got-0.5) > 0.1 {
		t.Errorf("halves of one cloud are told apart in %.2f", got)
	}
	if _, err := method.NewDiscriminator(0, 5, 1); err == nil {
		t.Error("width 0 is no error")
	}
}

// TestDiscriminatorWeights holds the loss's gradient with respect to the weights against what a small step of Adam does: the loss falls.
func TestDiscriminatorWeights(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	c, err := method.NewDiscriminator(3, 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := normal(5, 3, 1, rng), normal(4, 3, 0, rng)
	// the first step of Adam moves every weight by rate against the sign of its gradient: the loss falls by rate |gradient|_1
	const rate = 1e-6
	before, g := c.Loss(a, b)
	c.Learn(a, b, rate)
	after, _ := c.Loss(a, b)
	if want := rate * floats.Norm(g, 1); math.Abs(before-after-want) > 1e-3*want {
		t.Errorf("the loss fell by %v, the gradient says %v", before-after, want)
	}
}

// TestSaliencyMask by hand: halves of two gradients, their product, ties to the earlier, and the published inversion.
func TestSaliencyMask(t *testing.T) {
	g := []train.Gradients{{"w": {4, -3, 2, 1}, "b": {1, 1, 1, 1}}, {"w": {1, -5, 2, 6}, "b": {0, 2, 0, 0}}}
	for _, c := range []struct {
		least bool
		w, b  []float32
	}{{false, []float32{0, 1, 0, 0}, []float32{1, 1, 0, 0}}, {true, []float32{0, 0, 1, 0}, []float32{1, 0, 0, 0}}} {
		m, err := method.SaliencyMask(g, 0.5, c.least)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(m["w"], c.w) || !slices.Equal(m["b"], c.b) {
			t.Errorf("least %v: %v, by hand %v and %v", c.least, m, c.w, c.b)
		}
	}
	one, err := method.SaliencyMask(g[:1], 0.5, false)
	if err != nil {
		t.Fatal(err)
	}
	if got := method.MaskedShare(one); got != 0.5 {
		t.Errorf("half of every tensor is %v", got)
	}
	if _, err := method.SaliencyMask(nil, 0.5, false); err == nil {
		t.Error("no gradient is no error")
	}
	if _, err := method.SaliencyMask(g, 0, false); err == nil {
		t.Error("a share of 0 is no error")
	}
	if _, err := method.SaliencyMask([]train.Gradients{{"w": {1}}, {"w": {1, 2}}}, 0.5, false); err == nil {
		t.Error("gradients of other lengths are no error")
	}
}
