package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/vectors"
)

// xor is the sign of a product of two coordinates among noise.
func xor(n, d int) (Rows, []bool) {
	rng := rand.New(rand.NewPCG(3, 4))
	x := Rows{N: n, D: d, Values: normal32(rng, n*d)}
	y := make([]bool, n)
	for i := range y {
		y[i] = x.Row(i)[0]*x.Row(i)[1] > 0
	}
	return x, y
}

// TestMLPSolvesXOR: the concept is the sign of a product, of which a logistic probe sees nothing.
func TestMLPSolvesXOR(t *testing.T) {
	x, y := xor(1600, 6)
	test, want := Rows{N: 400, D: 6, Values: x.Values[1200*6:]}, y[1200:]
	x, y = Rows{N: 1200, D: 6, Values: x.Values[:1200*6]}, y[:1200]
	target := NewBinary("xor", y)
	cfg := DefaultMLP()
	cfg.Hidden, cfg.LearningRate = 32, 1e-2
	nets, err := FitMLP(t.Context(), x, []Target{target, target}, nil, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	line, err := Logistic(t.Context(), x, []Target{target}, DefaultLogistic())
	if err != nil {
		t.Fatal(err)
	}
	accuracy := func(f interface {
		Scores(Rows) ([]float64, error)
	}) float64 {
		s, err := f.Scores(test)
		if err != nil {
			t.Fatal(err)
		}
		right := 0.0
		for i, v := range s {
			if (v > 0) == want[i] {
				right++
			}
		}
		return right / float64(len(want))
	}
	net, linear := accuracy(nets[0]), accuracy(line[0])
	t.Logf("held-out accuracy: MLP %.3f after %d epochs, logistic %.3f", net, nets[0].Epochs, linear)
	if net < 0.9 || linear > 0.6 {
		t.Errorf("MLP %.3f, logistic %.3f; want at least 0.9 and at most 0.6", net, linear)
	}
	again, err := FitMLP(t.Context(), x, []Target{target}, nil, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range nets[0].Layers {
		if !slices.Equal(l.Weights, again[0].Layers[i].Weights) {
			t.Error("equal seeds give different weights")
		}
	}
}

// TestMLPGradients holds gorgonia's gradients against central differences of the loss that this package computes.
func TestMLPGradients(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, task := range []Task{Binary, Multiclass, Regression} {
		target := Target{Name: "t", Task: task, Class: []int{0, 1, 1, 0, 1}, Classes: []string{"a", "b"}}
		if task == Multiclass {
			target.Class, target.Classes = []int{0, 1, 2, 2, 1}, []string{"a", "b", "c"}
		}
		if task == Regression {
			target = NewRegression("t", []float64{1, -2, 0.5, 3, 0})
		}
		x := Rows{N: 5, D: 3, Values: normal32(rng, 15)}
		data := newNetScale(x, target, upTo(5)).data(x, target, upTo(5))
		cfg := DefaultMLP()
		cfg.Hidden, cfg.Layers, cfg.L2 = 4, 2, 0.1
		const batch = 7 // two rows of padding
		n, err := newNet(data.in, data.out, batch, cfg, task == Regression, rng)
		if err != nil {
			t.Fatal(err)
		}
		defer n.close()
		n.fill(data)
		if err := n.machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		cost := func() float64 {
			layers, penalty := n.layers(), 0.0
			for _, l := range layers {
				for _, w := range l.Weights {
					penalty += w * w
				}
			}
			return data.loss(layers, task == Regression)*float64(data.n)/batch + cfg.L2/2*penalty
		}
		if got, want := n.cost.Data().(float64), cost(); math.Abs(got-want) > 1e-12*want {
			t.Errorf("%s: gorgonia's cost %v, ours %v", task, got, want)
		}
		for _, node := range n.learnables() {
			grad, err := node.Grad()
			if err != nil {
				t.Fatal(err)
			}
			values, slopes := node.Value().Data().([]float64), grad.Data().([]float64)
			for i := range values {
				const h = 1e-6
				old := values[i]
				values[i] = old + h
				up := cost()
				values[i] = old - h
				down := cost()
				values[i] = old
				if want := (up - down) / (2 * h); math.Abs(slopes[i]-want) > 1e-7*(1+math.Abs(want)) {
					t.Errorf("%s: %s[%d]: gradient %v, finite difference %v", task, node.Name(), i, slopes[i], want)
				}
			}
		}
	}
}

// TestMLPByHand: one hidden unit max(0, 2x-1) and the score 3h+0.5.
func TestMLPByHand(t *testing.T) {
	m := &MLP{Layers: []Layer{{In: 1, Out: 1, Weights: []float64{2}, Bias: []float64{-1}}, {In: 1, Out: 1, Weights: []float64{3}, Bias: []float64{0.5}}}}
	got, err := m.Scores(Rows{N: 3, D: 1, Values: []float32{-1, 0.5, 2}})
	if want := []float64{0.5, 0.5, 9.5}; err != nil || !slices.Equal(got, want) {
		t.Errorf("scores %v, %v; want %v", got, err, want)
	}
	if _, err := m.Scores(Rows{N: 1, D: 2, Values: []float32{1, 2}}); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("another width gives %v", err)
	}
}

func TestMLPRegression(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	x := Rows{N: 800, D: 2, Values: normal32(rng, 1600)}
	y := make([]float64, x.N)
	for i := range y {
		y[i] = 100 + 10*math.Abs(float64(x.Row(i)[0]))
	}
	cfg := DefaultMLP()
	cfg.LearningRate = 1e-2
	m, err := FitMLP(t.Context(), x, []Target{NewRegression("abs", y)}, nil, cfg, 2)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m[0].Scores(x)
	if err != nil {
		t.Fatal(err)
	}
	rest, total := 0.0, 0.0
	for i := range y {
		rest += (y[i] - s[i]) * (y[i] - s[i])
		total += (y[i] - 108) * (y[i] - 108)
	}
	if r2 := 1 - rest/total; r2 < 0.95 {
		t.Errorf("R² of |x| is %.3f, want 0.95", r2)
	}
}
