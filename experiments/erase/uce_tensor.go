package erase

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TensorEdit is a matrix edited by UCETensor.
type TensorEdit struct {
	Weights *mat.Dense // W' [o, d]
	Targets *mat.Dense // v [n, o]
}

// UCETensor is UCE with the values of its technique "tensor": the anchor's output without its part along the concept's,
//
//	v_i = W g_i - <u, W g_i> u,   u = W c_i / |W c_i|
//
// which depends on W [o, d], so that W' is no W E and each matrix is edited by itself.
func UCETensor(w *mat.Dense, r Request, cfg UCEConfig) (*TensorEdit, error) {
	r, s, err := uceSystem(r, cfg)
	if err != nil {
		return nil, err
	}
	n, d := r.Concepts.Dims()
	if _, _, err := checkRows("K/V matrix", w, d); err != nil {
		return nil, err
	}
	right, err := s.readers()
	if err != nil {
		return nil, err
	}
	from, v := times(r.Concepts, w), times(r.Anchors, w)
	for i := range n {
		u := from.RawRowView(i)
		norm := floats.Norm(u, 2)
		if norm == 0 {
			return nil, fmt.Errorf("erase: concept %d: the K/V matrix gives 0, which has no direction: %w; leave this matrix as it is", i, ErrSingular)
		}
		along := floats.Dot(u, v.RawRowView(i)) / (norm * norm)
		floats.AddScaled(v.RawRowView(i), -along, u)
	}
	var gap, out mat.Dense
	gap.Sub(v, from)
	out.Mul(gap.T(), right.T())
	out.Add(&out, w)
	return &TensorEdit{Weights: &out, Targets: v}, nil
}
