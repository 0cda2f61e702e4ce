package vectors

import (
	"context"

	"gonum.org/v1/gonum/mat"
)

// NMFExtractor finds non-negative concepts in non-negative activations, with non-negative codes, by HALS.
type NMFExtractor struct {
	Config HALSConfig
	// Signed takes activations of both signs: their positive and negative parts (SplitSigns) are factored side by side, and a
	// concept is the difference of its two halves.
	Signed bool
	// W is the start of the concepts, [r, d] or, Signed, [r, 2d]; nil draws one by the seed. Codes start at their best for it.
	W *mat.Dense
}

// Name is "nmf".
func (NMFExtractor) Name() string { return "nmf" }

// Extract is Extractor's.
func (x NMFExtractor) Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error) {
	n, d, err := checkExtract("NMF", a, r)
	if err != nil {
		return nil, err
	}
	whole := a
	if x.Signed {
		a = SplitSigns(a)
	}
	var u, w *mat.Dense
	if x.W == nil {
		if u, w, err = RandomFactors(a, r, seed); err != nil {
			return nil, err
		}
	} else {
		u, w = mat.NewDense(n, r, nil), x.W // the first sweep moves u from 0
	}
	f, err := HALS(ctx, a, u, w, x.Config)
	if err != nil {
		return nil, err
	}
	if x.Signed {
		plus, minus := f.W.Slice(0, r, 0, d), f.W.Slice(0, r, d, 2*d)
		f.W = mat.NewDense(r, d, nil)
		f.W.Sub(plus, minus)
	}
	return nonNegative(ctx, x.Name(), whole, f.W, d)
}

// nonNegative are concepts w with the codes that NNLS gives.
func nonNegative(ctx context.Context, method string, a, w *mat.Dense, d int) (*Concepts, error) {
	c := &Concepts{Method: method, W: w, Centre: make([]float64, d)}
	c.encode = func(ctx context.Context, a *mat.Dense) (*mat.Dense, error) { return NNLS(ctx, a, c.W) }
	c.jacobian = func(u []float64) (*mat.Dense, error) { return NNLSJacobian(u, c.W) }
	var err error
	c.U, err = c.encode(ctx, a)
	return c, err
}

// SplitSigns returns the positive parts and then the negative ones of activations a [n, d], as [n, 2d]: what NMF can take
// where a norm or GELU leaves both signs.
func SplitSigns(a *mat.Dense) *mat.Dense {
	n, d := a.Dims()
	out := mat.NewDense(n, 2*d, nil)
	for i := range n {
		row := out.RawRowView(i)
		for j, v := range a.RawRowView(i) {
			row[j], row[d+j] = max(v, 0), max(-v, 0)
		}
	}
	return out
}
