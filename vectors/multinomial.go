package vectors

import (
	"context"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Softmax is a fitted multinomial classifier: class c has logit Weights[c] . x + Bias[c].
type Softmax struct {
	Weights   *mat.Dense // [k, d]
	Bias      []float64  // [k], summing to 0
	Objective float64
}

// Multinomial is the exact minimum of 0.5 |W|² + C sum_i -log softmax(W x_i + b)[y_i]; intercepts are not penalised and sum
// to 0, which fixes what the softmax leaves open.
func Multinomial(ctx context.Context, x *mat.Dense, y []int, c float64) (*Softmax, error) {
	_, d, counts, err := checkClasses(x, y, 0, 1)
	if err != nil {
		return nil, err
	}
	const what = "multinomial regression"
	if err := checkPenalty(what, c); err != nil {
		return nil, err
	}
	k := len(counts)
	w, f, err := minimise(ctx, what, &softmaxLoss{z: withOnes(x), y: y, k: k, c: c})
	if err != nil {
		return nil, err
	}
	s := &Softmax{Weights: mat.NewDense(k, d, nil), Bias: make([]float64, k), Objective: f}
	for class := range k {
		row := w[class*(d+1) : (class+1)*(d+1)]
		copy(s.Weights.RawRowView(class), row)
		s.Bias[class] = row[d]
	}
	return s, nil
}

// Probabilities returns the class probabilities [n, k] of the rows of x [n, d].
func (s *Softmax) Probabilities(x *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if _, width := s.Weights.Dims(); width != d {
		return nil, checkWidth("weights", width, d)
	}
	var out mat.Dense
	out.Mul(x, s.Weights.T())
	for i := range n {
		row := out.RawRowView(i)
		floats.Add(row, s.Bias)
		norm := floats.LogSumExp(row)
		for c := range row {
			row[c] = math.Exp(row[c] - norm)
		}
	}
	return &out, nil
}

// softmaxLoss is Multinomial's objective plus half the squared sum of intercepts, which is 0 at the minimum. Parameters
// are [k, d+1], class by class.
type softmaxLoss struct {
	z *mat.Dense // [n, d+1]
	y []int
	k int
	c float64
}

func (o *softmaxLoss) dim() int { _, d := o.z.Dims(); return o.k * d }

func (o *softmaxLoss) eval(w, grad []float64, hess *mat.SymDense) float64 {
	_, d := o.z.Dims()
	weights, g := mat.NewDense(o.k, d, w), mat.NewDense(o.k, d, grad)
	var p mat.Dense // logits, then probabilities, then residuals [n, k]
	p.Mul(o.z, weights.T())
	total := 0.0
	for i, label := range o.y {
		row := p.RawRowView(i)
		norm := floats.LogSumExp(row)
		total += norm - row[label]
		for c := range row {
			row[c] = math.Exp(row[c] - norm)
		}
	}
	if hess != nil {
		o.curvature(&p, hess)
	}
	for i, label := range o.y {
		p.RawRowView(i)[label]--
	}
	p.Scale(o.c, &p)
	g.Mul(p.T(), o.z)
	penalty, biases := 0.0, 0.0
	for c := range o.k {
		row := weights.RawRowView(c)
		penalty += floats.Dot(row[:d-1], row[:d-1])
		biases += row[d-1]
		floats.Add(g.RawRowView(c)[:d-1], row[:d-1])
	}
	for c := range o.k {
		g.RawRowView(c)[d-1] += biases
	}
	return 0.5*penalty + 0.5*biases*biases + o.c*total
}

// curvature fills the Hessian from probabilities p [n, k]: block (a, b) is C z' diag(p_a (1[a=b] - p_b)) z.
func (o *softmaxLoss) curvature(p *mat.Dense, hess *mat.SymDense) {
	n, d := o.z.Dims()
	hess.Zero()
	scaled := mat.NewDense(n, d, nil)
	var block mat.Dense
	for a := range o.k {
		for b := a; b < o.k; b++ {
			for i := range n {
				weight := -o.c * p.At(i, a) * p.At(i, b)
				if a == b {
					weight += o.c * p.At(i, a)
				}
				floats.ScaleTo(scaled.RawRowView(i), weight, o.z.RawRowView(i))
			}
			block.Mul(o.z.T(), scaled)
			for r := range d {
				for s := range d {
					if a*d+r <= b*d+s {
						hess.SetSym(a*d+r, b*d+s, block.At(r, s))
					}
				}
			}
		}
	}
	for a := range o.k {
		for j := range d - 1 {
			hess.SetSym(a*d+j, a*d+j, hess.At(a*d+j, a*d+j)+1)
		}
		for b := a; b < o.k; b++ {
			r, s := a*d+d-1, b*d+d-1
			hess.SetSym(r, s, hess.At(r, s)+1)
		}
	}
}

// Accuracy is the share of rows of x [n, d] whose class y has the largest logit, the first of equal ones.
func (s *Softmax) Accuracy(x *mat.Dense, y []int) (float64, error) {
	p, err := s.Probabilities(x)
	if err != nil {
		return 0, err
	}
	n, k := p.Dims()
	if _, err := checkLabels(n, y, k, 0); err != nil {
		return 0, err
	}
	right := 0
	for i, label := range y {
		if floats.MaxIdx(p.RawRowView(i)) == label {
			right++
		}
	}
	return float64(right) / float64(n), nil
}
