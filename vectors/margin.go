package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Fit is a fitted linear classifier with the value of the objective that it minimises.
type Fit struct {
	Linear
	Objective float64 `json:"objective"`
}

// margin is the objective 0.5 |w|² + C sum_i loss(s_i (w.x_i + b)) with s = +1 for class 1 and -1 for class 0; the
// intercept b, the last parameter, is not penalised.
type margin struct {
	z    *mat.Dense // [n, d+1], x and a column of ones
	sign []float64
	c    float64
	loss func(m float64) (value, slope, curvature float64)
}

func (o *margin) dim() int { _, d := o.z.Dims(); return d }

func (o *margin) eval(w, grad []float64, hess *mat.SymDense) float64 {
	n, d := o.z.Dims()
	m := mat.NewVecDense(n, nil)
	m.MulVec(o.z, mat.NewVecDense(d, w))
	margins := m.RawVector().Data
	total := 0.0
	curvature := make([]float64, n)
	for i, s := range o.sign {
		value, slope, curve := o.loss(s * margins[i])
		total += value
		margins[i], curvature[i] = o.c*s*slope, o.c*curve
	}
	g := mat.NewVecDense(d, grad)
	g.MulVec(o.z.T(), m)
	penalised := w[:d-1]
	floats.Add(grad[:d-1], penalised)
	if hess != nil {
		weightedGram(hess, o.z, curvature)
		for j := range d - 1 {
			hess.SetSym(j, j, hess.At(j, j)+1)
		}
	}
	return 0.5*floats.Dot(penalised, penalised) + o.c*total
}

// weightedGram sets sum to z' diag(weight) z; rows of weight 0 cost nothing.
func weightedGram(sum *mat.SymDense, z *mat.Dense, weight []float64) {
	n, d := z.Dims()
	sum.Zero()
	part := mat.NewDense(min(n, chunk), d, nil)
	at := 0
	flush := func() {
		if at > 0 {
			addGram(sum, part.Slice(0, at, 0, d).(*mat.Dense))
		}
		at = 0
	}
	for i := range n {
		if weight[i] == 0 {
			continue
		}
		floats.ScaleTo(part.RawRowView(at), math.Sqrt(weight[i]), z.RawRowView(i))
		if at++; at == min(n, chunk) {
			flush()
		}
	}
	flush()
}

// fitMargin minimises a margin loss for labels 0 and 1.
func fitMargin(ctx context.Context, what string, x *mat.Dense, y []int, c float64, loss func(float64) (float64, float64, float64)) (Fit, error) {
	_, d, _, err := checkBinary(x, y)
	if err != nil {
		return Fit{}, err
	}
	if err := checkPenalty(what, c); err != nil {
		return Fit{}, err
	}
	o := &margin{z: withOnes(x), sign: signs(y), c: c, loss: loss}
	w, f, err := minimise(ctx, what, o)
	if err != nil {
		return Fit{}, err
	}
	return Fit{Linear: Linear{Weights: w[:d:d], Bias: w[d]}, Objective: f}, nil
}

func checkPenalty(what string, c float64) error {
	if !(c > 0) || math.IsInf(c, 0) {
		return fmt.Errorf("vectors: %s: C is %v: %w; it is the weight of the loss against the penalty, above 0", what, c, ErrArgument)
	}
	return nil
}

// withOnes is x with a last column of ones.
func withOnes(x *mat.Dense) *mat.Dense {
	n, d := x.Dims()
	z := mat.NewDense(n, d+1, nil)
	for i := range n {
		row := z.RawRowView(i)
		copy(row, x.RawRowView(i))
		row[d] = 1
	}
	return z
}

// signs are +1 for class 1 and -1 for class 0.
func signs(y []int) []float64 {
	out := make([]float64, len(y))
	for i, label := range y {
		out[i] = float64(2*label - 1)
	}
	return out
}
