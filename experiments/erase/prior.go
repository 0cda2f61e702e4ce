package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
	"loupe/probe/store"
	"loupe/vectors"
)

// Prior is the second moment of embeddings of ordinary text: what a closed form keeps of everything that it does not name.
type Prior struct {
	Sum   *mat.SymDense // sum of e e' [d, d], not centred
	Count int           // embeddings in the sum
}

// PriorFromRows sums over rows x [n, d].
func PriorFromRows(x *mat.Dense) (*Prior, error) {
	n, d, err := checkRows("rows of the prior", x, 0)
	if err != nil {
		return nil, err
	}
	p := &Prior{Sum: mat.NewSymDense(d, nil), Count: n}
	gemm.AddGram(p.Sum.RawSymmetric(), nil, x.RawMatrix())
	return p, nil
}

// PriorFromStore takes a site's moments, as Store.Moments gives them; the store must have kept cross moments.
func PriorFromStore(m *store.Moments) (*Prior, error) {
	if m.Count < 1 {
		return nil, fmt.Errorf("erase: prior: the store's moments count no row: %w", vectors.ErrArgument)
	}
	second, err := m.SecondMoment()
	if err != nil {
		return nil, fmt.Errorf("erase: prior: %w", err)
	}
	d := len(m.Mean)
	p := &Prior{Sum: mat.NewSymDense(d, nil), Count: int(m.Count)}
	for i := range d {
		for j := i; j < d; j++ {
			p.Sum.SetSym(i, j, second[i*d+j]*float64(m.Count))
		}
	}
	return p, p.check(d)
}

// scaled is scale E[e e'], nil for no prior.
func (p *Prior) scaled(scale float64) *mat.SymDense {
	if p == nil || scale == 0 {
		return nil
	}
	var out mat.SymDense
	out.ScaleSym(scale/float64(p.Count), p.Sum)
	return &out
}

func (p *Prior) check(d int) error {
	if p == nil {
		return nil
	}
	if p.Sum == nil || p.Sum.SymmetricDim() != d || p.Count < 1 {
		return fmt.Errorf("erase: prior of %d rows does not have the width %d of the concepts: %w", p.Count, d, vectors.ErrShape)
	}
	for i := range d {
		if err := checkFinite(fmt.Sprintf("prior, row %d", i), mat.Row(nil, i, p.Sum)); err != nil {
			return err
		}
	}
	return nil
}
