package vectors

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestClassifiersHand: the points -1 (class 0) and 1 (class 1) have b = 0; logistic w solves w = 2C/(1+exp(w)), squared
// hinge w = 4C/(1+4C).
func TestClassifiersHand(t *testing.T) {
	x, y := rows([]float64{-1}, []float64{1}), []int{0, 1}
	for _, c := range []float64{0.01, 0.25, 3, 1000} {
		logistic := ok(Logistic(t.Context(), x, y, c))(t)
		w := logistic.Weights[0]
		closeTo(t, "logistic", []float64{w, logistic.Bias}, []float64{2 * c / (1 + math.Exp(w)), 0}, 1e-12)
		closeTo(t, "objective", []float64{logistic.Objective}, []float64{0.5*w*w + 2*c*math.Log1p(math.Exp(-w))}, 1e-12)
		hinge := ok(SquaredHinge(t.Context(), x, y, c))(t)
		closeTo(t, "squared hinge", []float64{hinge.Weights[0], hinge.Bias}, []float64{4 * c / (1 + 4*c), 0}, 1e-12)
	}
}

// TestGradients holds gradients and Hessians of the objectives against central differences.
func TestGradients(t *testing.T) {
	x, y, _ := planted(1, 40, 4, 2, 1)
	sign := make([]float64, len(y))
	for i := range y {
		sign[i] = float64(2*y[i] - 1)
	}
	x3, y3, _ := planted(2, 40, 3, 3, 1)
	for name, o := range map[string]objective{
		"logistic":      &margin{z: withOnes(x), sign: sign, c: 0.7, loss: logLoss},
		"squared hinge": &margin{z: withOnes(x), sign: sign, c: 0.7, loss: squaredHingeLoss},
		"multinomial":   &softmaxLoss{z: withOnes(x3), y: y3, k: 3, c: 0.7},
	} {
		t.Run(name, func(t *testing.T) {
			d := o.dim()
			w, grad, hess := flat(normalRows(3, 1, d)), make([]float64, d), mat.NewSymDense(d, nil)
			o.eval(w, grad, hess)
			up, down := make([]float64, d), make([]float64, d)
			for j := range d {
				const h = 1e-5
				moved := slices.Clone(w)
				moved[j] += h
				above := o.eval(moved, up, nil)
				moved[j] -= 2 * h
				below := o.eval(moved, down, nil)
				closeTo(t, "gradient", grad[j:j+1], []float64{(above - below) / (2 * h)}, 1e-7)
				floats.Sub(up, down)
				floats.Scale(1/(2*h), up)
				closeTo(t, "Hessian", mat.Row(nil, j, hess), up, 1e-6)
			}
		})
	}
}

// TestNewtonAndLBFGS end at one optimum.
func TestNewtonAndLBFGS(t *testing.T) {
	x, y, _ := planted(8, 300, 10, 4, 1)
	o := &softmaxLoss{z: withOnes(x), y: y, k: 4, c: 0.5}
	a, fa, err := newton(t.Context(), "newton", o)
	if err != nil {
		t.Fatal(err)
	}
	b, fb, err := lbfgs(t.Context(), "lbfgs", o)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "parameters", b, a, 1e-6)
	closeTo(t, "objective", []float64{fb}, []float64{fa}, 1e-12)
	grad := make([]float64, o.dim())
	o.eval(a, grad, nil)
	if g := largest(grad); g > 1e-11 {
		t.Errorf("Newton ends with gradient %.3g", g)
	}
}

// TestMultinomialOfTwo: with two classes the difference of the weights is the logistic solution at twice C.
func TestMultinomialOfTwo(t *testing.T) {
	x, y, _ := planted(4, 120, 5, 2, 1)
	soft, plain := ok(Multinomial(t.Context(), x, y, 0.3))(t), ok(Logistic(t.Context(), x, y, 0.6))(t)
	diff := floats.SubTo(make([]float64, 5), soft.Weights.RawRowView(1), soft.Weights.RawRowView(0))
	closeTo(t, "weights", diff, plain.Weights, 1e-10)
	closeTo(t, "bias", []float64{soft.Bias[1] - soft.Bias[0], soft.Bias[0] + soft.Bias[1]}, []float64{plain.Bias, 0}, 1e-10)
	if a, b := ok(soft.Accuracy(x, y))(t), ok(plain.Accuracy(x, y))(t); a != b {
		t.Errorf("accuracies %v and %v", a, b)
	}
}

// TestSeparable: a separated problem at a large C still ends at its optimum.
func TestSeparable(t *testing.T) {
	x, y, _ := planted(6, 60, 3, 2, 40)
	for name, fit := range map[string]func() (Fit, error){
		"logistic": func() (Fit, error) { return Logistic(t.Context(), x, y, 1e6) },
		"hinge":    func() (Fit, error) { return SquaredHinge(t.Context(), x, y, 1e6) },
	} {
		if a := ok(ok(fit())(t).Accuracy(x, y))(t); a != 1 {
			t.Errorf("%s: accuracy %v", name, a)
		}
	}
}

// TestCAVGate: a planted concept passes, shuffled labels pass about as rarely as the level says.
func TestCAVGate(t *testing.T) {
	x, y, direction := planted(3, 200, 8, 2, 3)
	cav := ok(FitCAV(t.Context(), x, y, DefaultCAV()))(t)
	if !cav.Separates || ok(Cosine(cav.Weights, direction))(t) < 0.3 {
		t.Errorf("planted concept: %+v", cav)
	}
	if again := ok(FitCAV(t.Context(), x, y, DefaultCAV()))(t); again.HeldOut != cav.HeldOut || !slices.Equal(again.Weights, cav.Weights) {
		t.Error("the same seed gave another vector")
	}
	passed := 0
	const tries = 60
	for i := range tries {
		noise := normalRows(uint64(100+i), 90, 8)
		labels := make([]int, 90)
		for j := range labels {
			labels[j] = j % 2
		}
		if ok(FitCAV(t.Context(), noise, labels, DefaultCAV()))(t).Separates {
			passed++
		}
	}
	if passed > 6 { // expected about 1.5 of 60 at a one-sided 2.5 %
		t.Errorf("%d of %d vectors of pure noise pass the gate", passed, tries)
	}
}
