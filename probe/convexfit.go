package probe

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
)

// linearFit is the problem
//
//	min over W, b of  0.5 sum_cj (s_j W_cj)² + C sum_i loss_i(W x_i + b)
//
// and its solution. The biases are not penalised.
type linearFit struct {
	head
	name    string
	c       float64
	penalty []float64 // s [d]; nil for ones
	rows    int       // labelled ones
	zero    float64   // sum of the losses at W = 0 and the best b: how large the objective is

	weights   []float64 // [columns, d]
	bias      []float64 // [columns]
	objective float64
	steps     int
	evals     int
}

// coordinates are those of the search: W = diag(width) V and b = biasWidth v - W mean, in which the Hessian is near the
// identity if columns are uncorrelated. The same for all fits of a batch but for scale.
type coordinates struct {
	mean      []float64 // [d]
	width     []float64 // [d]
	biasWidth float64
}

// curvature bounds the second derivative of the logistic loss, and of the softmax's along a class.
const curvature = 0.25

func newCoordinates(f *linearFit, mean, deviation []float64) coordinates {
	k := coordinates{mean: mean, width: make([]float64, len(mean)), biasWidth: 1 / math.Sqrt(curvature*f.c*float64(f.rows))}
	for j, s := range deviation {
		p := 1.0
		if f.penalty != nil {
			p = f.penalty[j] * f.penalty[j]
		}
		if h := curvature*f.c*float64(f.rows)*s*s + p; h > 0 {
			k.width[j] = 1 / math.Sqrt(h)
		}
	}
	return k
}

// weights turns a point v [columns (d+1)] of the search into weights and biases.
func (k coordinates) weights(v, w, b []float64) {
	d := len(k.mean)
	for c := range b {
		vc, wc := v[c*(d+1):(c+1)*(d+1)], w[c*d:(c+1)*d]
		floats.MulTo(wc, vc[:d], k.width)
		b[c] = k.biasWidth*vc[d] - floats.Dot(wc, k.mean)
	}
}

// gradient turns the derivatives by weights and biases into that by the point.
func (k coordinates) gradient(w, b, v []float64) {
	d := len(k.mean)
	for c, gb := range b {
		wc, vc := w[c*d:(c+1)*d], v[c*(d+1):(c+1)*(d+1)]
		for j := range wc {
			vc[j] = k.width[j] * (wc[j] - gb*k.mean[j])
		}
		vc[d] = k.biasWidth * gb
	}
}

// sampleRows is how many rows the coordinates of the search are taken from.
const sampleRows = 1024

// fitTogether solves fits that share the rows x.
func fitTogether(ctx context.Context, x Rows, fits []*linearFit, tolerance float64) error {
	var sample []int
	for i := range min(x.N, sampleRows) {
		sample = append(sample, i*x.N/min(x.N, sampleRows))
	}
	mean, deviation := x.spread(sample)
	functions := make([]*convex, len(fits))
	frames := make([]coordinates, len(fits))
	place := map[*convex]int{}
	for i, f := range fits {
		functions[i] = &convex{name: f.name, dim: f.columns() * (x.D + 1), scale: f.c * f.zero}
		f.weights, f.bias = make([]float64, f.columns()*x.D), make([]float64, f.columns())
		frames[i] = newCoordinates(f, mean, deviation)
		place[functions[i]] = i
	}
	p := newPass(x)
	var w, b []float32
	var loss, grad, gradBias []float64
	err := minimiseTogether(ctx, functions, tolerance, func(ready []*convex) {
		var heads []head
		w, b = w[:0], b[:0]
		for _, g := range ready {
			f := fits[place[g]]
			frames[place[g]].weights(g.at, f.weights, f.bias)
			heads = append(heads, f.head)
			w, b = appendFloat32(w, f.weights), appendFloat32(b, f.bias)
		}
		loss, grad, gradBias = zeros(loss, len(heads)), zeros(grad, len(w)), zeros(gradBias, len(b))
		p.run(heads, w, b, loss, grad, gradBias)
		at := 0
		for h, g := range ready {
			f := fits[place[g]]
			n := f.columns()
			gw, gb := grad[at*x.D:(at+n)*x.D], gradBias[at:at+n]
			g.value = f.objectiveOf(loss[h], gw, gb)
			frames[place[g]].gradient(gw, gb, g.grad)
			at += n
		}
	})
	if err != nil {
		return err
	}
	for i, f := range fits {
		frames[i].weights(functions[i].x, f.weights, f.bias)
		f.objective, f.steps, f.evals = functions[i].value, functions[i].steps, functions[i].evals
		if !floats.HasNaN(f.weights) {
			continue
		}
		return fmt.Errorf("probe: %s: weights are not finite", f.name)
	}
	return nil
}

// objectiveOf returns the objective at f.weights from the sum of the losses, and turns the sums of the losses'
// derivatives into the objective's.
func (f *linearFit) objectiveOf(loss float64, gradWeights, gradBias []float64) float64 {
	floats.Scale(f.c, gradWeights)
	floats.Scale(f.c, gradBias)
	d := len(f.weights) / f.columns()
	norm := 0.0
	for i, w := range f.weights {
		s := 1.0
		if f.penalty != nil {
			s = f.penalty[i%d] * f.penalty[i%d]
		}
		norm += s * w * w
		gradWeights[i] += s * w
	}
	return norm/2 + f.c*loss
}

func appendFloat32(dst []float32, src []float64) []float32 {
	for _, v := range src {
		dst = append(dst, float32(v))
	}
	return dst
}
