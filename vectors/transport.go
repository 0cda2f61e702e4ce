package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Optimal transport between normal distributions of mean 0, given by their covariances.

// transportMap is the matrix A with A a A = b that moves N(0, a) to N(0, b) at least cost:
// a^-1/2 (a^1/2 b a^1/2)^1/2 a^-1/2.
func transportMap(a, b *mat.SymDense) (*mat.Dense, error) {
	root, inverse, err := rootsOf(a)
	if err != nil {
		return nil, err
	}
	inner, err := innerRoot(root, b)
	if err != nil {
		return nil, err
	}
	return sandwich(inverse, inner), nil
}

// midpoint is the covariance of the Wasserstein barycentre of two, with weights wa + wb = 1 (Bruinsma and Arpino, On
// Gaussian Wasserstein barycenters): wa² a + wb² b + wa wb ((ab)^1/2 + ((ab)^1/2)').
func midpoint(a, b *mat.SymDense, wa, wb float64) (*mat.SymDense, error) {
	root, inverse, err := rootsOf(a)
	if err != nil {
		return nil, err
	}
	inner, err := innerRoot(root, b)
	if err != nil {
		return nil, err
	}
	var half, product mat.Dense
	half.Mul(root, inner)
	product.Mul(&half, inverse)
	out := symmetrised(&product) // half of the sum of the product and its transpose
	out.ScaleSym(2*wa*wb, out)
	var part mat.SymDense
	part.ScaleSym(wa*wa, a)
	out.AddSym(out, &part)
	part.ScaleSym(wb*wb, b)
	out.AddSym(out, &part)
	return out, nil
}

// barycentre is the Wasserstein barycentre of covariances with weights that sum to 1, by the fixed-point iteration
// S <- T S T with T = S^-1/2 (sum_i w_i (S^1/2 K_i S^1/2)^1/2) S^-1/2 (arXiv:1511.05355, equation 7), from their mean until
// the objective no longer falls (at most 100 steps).
func barycentre(ctx context.Context, ks []*mat.SymDense, weights []float64) (*mat.SymDense, error) {
	mean := mat.NewSymDense(ks[0].SymmetricDim(), nil)
	for i, k := range ks {
		var part mat.SymDense
		part.ScaleSym(weights[i], k)
		mean.AddSym(mean, &part)
	}
	total := mat.Trace(mean)
	s, loss := mean, math.Inf(1)
	for range 100 {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: barycentre: %w", err)
		}
		root, inverse, err := rootsOf(s)
		if err != nil {
			return nil, err
		}
		inner := mat.NewDense(s.SymmetricDim(), s.SymmetricDim(), nil)
		for i, k := range ks {
			r, err := innerRoot(root, k)
			if err != nil {
				return nil, err
			}
			r.Scale(weights[i], r)
			inner.Add(inner, r)
		}
		now := mat.Trace(s) + total - 2*mat.Trace(inner) // equation 15
		if loss-now < epsilon {
			break
		}
		loss = now
		t := sandwich(inverse, inner)
		s = symmetrised(sandwich(t, s))
	}
	return s, nil
}

// rootsOf is the square root of a covariance and its pseudo-inverse.
func rootsOf(a *mat.SymDense) (root, inverse *mat.Dense, err error) {
	e, err := eigen(a)
	if err != nil {
		return nil, nil, err
	}
	_, inverse = e.roots()
	return e.sqrt(), inverse, nil
}

// innerRoot is (root b root)^1/2.
func innerRoot(root *mat.Dense, b *mat.SymDense) (*mat.Dense, error) {
	e, err := eigen(symmetrised(sandwich(root, b)))
	if err != nil {
		return nil, err
	}
	return e.sqrt(), nil
}

// sandwich is a b a.
func sandwich(a *mat.Dense, b mat.Matrix) *mat.Dense {
	var half, out mat.Dense
	half.Mul(a, b)
	out.Mul(&half, a)
	return &out
}
