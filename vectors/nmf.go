package vectors

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// nmfEpsilon keeps the denominators of NMF's updates above 0.
const nmfEpsilon = 1e-10

// Factors is a non-negative factorisation a ~ U W of activations into r concepts.
type Factors struct {
	U      *mat.Dense // [n, r], how much of each concept a row holds
	W      *mat.Dense // [r, d], the concepts
	Errors []float64  // |a - U W|_F after each update
}

// NMF minimises |a - U W|_F for a, U, W >= 0 by multiplicative updates (Lee and Seung 2000) from u0 [n, r] and w0 [r, d]:
//
//	U <- U * (a W') / (U W W' + eps),  then  W <- W * (U' a) / (U' U W + eps),  eps = 1e-10
//
// The error never rises. An entry that is 0 stays 0, so starts should be positive. Activations of a layer norm or GELU
// have both signs: split them into positive and negative parts, or use activations after a ReLU or an SAE.
func NMF(ctx context.Context, a, u0, w0 *mat.Dense, updates int) (*Factors, error) {
	if err := checkFactors(a, u0, w0, updates); err != nil {
		return nil, err
	}
	f := &Factors{U: mat.DenseCopyOf(u0), W: mat.DenseCopyOf(w0), Errors: make([]float64, 0, updates)}
	var up, gram, down, residual mat.Dense
	for range updates {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: NMF: %w", err)
		}
		up.Mul(a, f.W.T())
		gram.Mul(f.W, f.W.T())
		down.Mul(f.U, &gram)
		multiply(f.U, &up, &down)
		up.Reset()
		down.Reset()
		up.Mul(f.U.T(), a)
		gram.Mul(f.U.T(), f.U)
		down.Mul(&gram, f.W)
		multiply(f.W, &up, &down)
		up.Reset()
		down.Reset()
		residual.Mul(f.U, f.W)
		residual.Sub(a, &residual)
		f.Errors = append(f.Errors, mat.Norm(&residual, 2))
	}
	return f, nil
}

// RandomFactors draws a positive start for NMF of a: uniform in [0.1, 1), scaled so that U W has a's mean.
func RandomFactors(a *mat.Dense, r int, seed uint64) (u, w *mat.Dense, err error) {
	n, d, err := checkRows("a", a)
	if err != nil {
		return nil, nil, err
	}
	if r < 1 {
		return nil, nil, fmt.Errorf("vectors: NMF of %d concepts: %w", r, ErrArgument)
	}
	rng := rand.New(rand.NewPCG(seed, 0x6e6d667374617274)) // "nmfstart"
	draw := func(rows, columns int) *mat.Dense {
		m := mat.NewDense(rows, columns, nil)
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = 0.1 + 0.9*rng.Float64()
		}
		return m
	}
	u, w = draw(n, r), draw(r, d)
	w.Scale(mat.Sum(a)/float64(n*d)/(0.55*0.55*float64(r)), w)
	return u, w, nil
}

func checkFactors(a, u, w *mat.Dense, updates int) error {
	n, d, err := checkNonNegative("a", a)
	if err != nil {
		return err
	}
	nu, r, err := checkNonNegative("u0", u)
	if err != nil {
		return err
	}
	rw, dw, err := checkNonNegative("w0", w)
	if err != nil {
		return err
	}
	if nu != n || rw != r || dw != d {
		return fmt.Errorf("vectors: NMF of a [%d, %d] from u0 [%d, %d] and w0 [%d, %d]: %w", n, d, nu, r, rw, dw, ErrShape)
	}
	if updates < 1 {
		return fmt.Errorf("vectors: NMF: %d updates: %w", updates, ErrArgument)
	}
	return nil
}

func checkNonNegative(what string, a *mat.Dense) (n, d int, err error) {
	n, d, err = checkRows(what, a)
	if err != nil {
		return 0, 0, err
	}
	for i := range n {
		for j, v := range a.RawRowView(i) {
			if v < 0 {
				return 0, 0, fmt.Errorf("vectors: NMF: %s[%d, %d] is %v: %w; split activations by sign or take them after a ReLU", what, i, j, v, ErrArgument)
			}
		}
	}
	return n, d, nil
}

// multiply sets m to m * up / (down + eps), entry by entry.
func multiply(m, up, down *mat.Dense) {
	n, _ := m.Dims()
	for i := range n {
		row, u, l := m.RawRowView(i), up.RawRowView(i), down.RawRowView(i)
		for j := range row {
			row[j] *= u[j] / (l[j] + nmfEpsilon)
		}
	}
}
