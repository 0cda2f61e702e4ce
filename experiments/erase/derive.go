package erase

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
	"loupe/vectors"
)

// The regularisers of RECE's derivation.
const (
	RegZero      = "regzero"      // reg |c'|²
	RegStandard  = "standardreg"  // reg |c' - previous|²
	RegSurrogate = "surrogatereg" // reg sum |W_cur (c' - c)|²
)

// Regularisers lists them.
func Regularisers() []string { return []string{RegZero, RegStandard, RegSurrogate} }

// Derivation are the settings of Derive.
type Derivation struct {
	Regulariser string  `json:"regulariser" doc:"what holds the derived embedding" enum:"regzero,standardreg,surrogatereg"`
	Reg         float64 `json:"reg" doc:"its weight"`
}

// Validate fails on an unknown regulariser and a weight that is no number from 0.
func (d Derivation) Validate() error {
	if !slices.Contains(Regularisers(), d.Regulariser) {
		return fmt.Errorf("erase: regulariser %q is unknown: %w; use one of %s", d.Regulariser, vectors.ErrArgument, strings.Join(Regularisers(), ", "))
	}
	return checkScale("reg", d.Reg)
}

// Gram is S = sum_i W_i'W_i [d, d] over matrices W_i [o_i, d]: all that RECE needs of them.
func Gram(w ...*mat.Dense) (*mat.SymDense, error) {
	if len(w) == 0 {
		return nil, fmt.Errorf("erase: Gram matrix of no K/V matrix: %w", vectors.ErrShape)
	}
	_, d, err := checkRows("K/V matrix 0", w[0], 0)
	if err != nil {
		return nil, err
	}
	s := mat.NewSymDense(d, nil)
	for i, m := range w {
		if _, _, err := checkRows(fmt.Sprintf("K/V matrix %d", i), m, d); err != nil {
			return nil, err
		}
		gemm.AddGram(s.RawSymmetric(), nil, m.RawMatrix())
	}
	return s, nil
}

// IdentityGram is S = I [d, d], for when no K/V matrix is at hand: RECE is then an approximation, exact only for matrices with
// orthonormal columns.
func IdentityGram(d int) *mat.SymDense {
	s := mat.NewSymDense(d, nil)
	for i := range d {
		s.SetSym(i, i, 1)
	}
	return s
}

// Derive is RECE's white-box attack: for each concept c [n, d], the embedding c' from which the matrices edited by m give what
// the original ones gave for c, by least squares over all matrices, of which only gram = sum W'W is needed. With G = E'S E:
//
//	regzero       (reg I + G) c' = E'S c
//	standardreg   (reg I + G) c' = E'S c + reg previous      (previous: the last c', at first c)
//	surrogatereg  (1 + reg) G c' = (E'S + reg G) c
//
// (Gong et al., arXiv:2407.12383, eq. 6, and the regularisers of its code.)
func Derive(m *Map, gram *mat.SymDense, c, previous *mat.Dense, cfg Derivation) (*mat.Dense, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := m.Width()
	n, _, err := checkRows("concepts", c, d)
	if err != nil {
		return nil, err
	}
	if err := checkGram(gram, d); err != nil {
		return nil, err
	}
	if rows, _, err := checkRows("previous embeddings", previous, d); err != nil || rows != n {
		return nil, fmt.Errorf("erase: %d previous embeddings for %d concepts: %w", rows, n, vectors.ErrShape)
	}
	a, rhs := m.system(gram, c)
	cure := "reg"
	switch cfg.Regulariser {
	case RegSurrogate:
		var more mat.Dense
		more.Mul(a, c.T())
		more.Scale(cfg.Reg, &more)
		rhs.Add(rhs, &more)
		a.ScaleSym(1+cfg.Reg, a)
		cure = "reg, with the regulariser regzero (surrogatereg adds nothing to the diagonal),"
	case RegStandard:
		var more mat.Dense
		more.Scale(cfg.Reg, previous.T())
		rhs.Add(rhs, &more)
		fallthrough
	case RegZero:
		for i := range d {
			a.SetSym(i, i, a.At(i, i)+cfg.Reg)
		}
	}
	out, err := solveSymmetric(a, rhs, cure)
	if err != nil {
		return nil, fmt.Errorf("deriving embeddings: %w", err)
	}
	return mat.DenseCopyOf(out.T()), nil
}

// system is E'S E [d, d] and E'S c' [d, n]. With P = S L, E = I + L R' and H = P + R (L'P) / 2 they are S + H R' + R H' and S c' + R (P'c'):
// products with d x r matrices alone.
func (m *Map) system(gram *mat.SymDense, c *mat.Dense) (*mat.SymDense, *mat.Dense) {
	d, r := m.Left.Dims()
	n, _ := c.Dims()
	s := mat.DenseCopyOf(gram)
	h, inner := mat.NewDense(d, r, nil), mat.NewDense(r, r, nil)
	gemm.AddTransMul(h.RawMatrix(), s.RawMatrix(), m.Left.RawMatrix()) // P
	gemm.AddTransMul(inner.RawMatrix(), m.Left.RawMatrix(), h.RawMatrix())
	read := mat.NewDense(n, r, nil) // c P
	gemm.AddMulTrans(read.RawMatrix(), c.RawMatrix(), mat.DenseCopyOf(h.T()).RawMatrix())
	inner.Scale(0.5, inner)
	gemm.AddMulTrans(h.RawMatrix(), m.Right.RawMatrix(), mat.DenseCopyOf(inner.T()).RawMatrix())
	half := mat.NewDense(d, d, nil)
	gemm.AddMulTrans(half.RawMatrix(), h.RawMatrix(), m.Right.RawMatrix())
	a := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			a.SetSym(i, j, s.At(i, j)+half.At(i, j)+half.At(j, i))
		}
	}
	rhs := mat.NewDense(n, d, nil)
	gemm.AddMulTrans(rhs.RawMatrix(), c.RawMatrix(), s.RawMatrix())
	gemm.AddMulTrans(rhs.RawMatrix(), read.RawMatrix(), m.Right.RawMatrix())
	return a, mat.DenseCopyOf(rhs.T())
}

// RecoveryError is sqrt(sum_i |W_i E x - W_i c|² / sum_i |W_i c|²) for inputs x [n, d] to the matrices edited by m: 0 where they
// bring back what the concepts c [n, d] gave.
func RecoveryError(m *Map, gram *mat.SymDense, x, c *mat.Dense) (float64, error) {
	d := m.Width()
	n, _, err := checkRows("inputs", x, d)
	if err != nil {
		return 0, err
	}
	if rows, _, err := checkRows("concepts", c, d); err != nil || rows != n {
		return 0, fmt.Errorf("erase: %d inputs for %d concepts: %w", n, rows, vectors.ErrShape)
	}
	if err := checkGram(gram, d); err != nil {
		return 0, err
	}
	gap := addThin(x, m.Right, m.Left)
	gap.Sub(gap, c)
	was := quadratic(gram, c)
	if was <= 0 {
		return 0, fmt.Errorf("erase: the matrices give 0 for every concept: %w; there is nothing to recover", ErrSingular)
	}
	return math.Sqrt(max(quadratic(gram, gap), 0) / was), nil
}

// quadratic is the sum of x's over the rows of x.
func quadratic(s *mat.SymDense, x *mat.Dense) float64 {
	n, d := x.Dims()
	y := mat.NewDense(n, d, nil)
	gemm.AddMulTrans(y.RawMatrix(), x.RawMatrix(), mat.DenseCopyOf(s).RawMatrix())
	return floats.Dot(y.RawMatrix().Data, mat.DenseCopyOf(x).RawMatrix().Data)
}

func checkGram(gram *mat.SymDense, d int) error {
	if gram == nil || gram.SymmetricDim() != d {
		return fmt.Errorf("erase: the Gram matrix of the K/V matrices does not have the embeddings' width %d: %w", d, vectors.ErrShape)
	}
	for i := range d {
		if err := checkFinite(fmt.Sprintf("Gram matrix, row %d", i), mat.Row(nil, i, gram)); err != nil {
			return err
		}
	}
	return nil
}
