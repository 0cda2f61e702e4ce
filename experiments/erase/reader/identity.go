package reader

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Identity reads the states themselves: R(h) = h, or their pooled state.
type Identity struct {
	Width   int // d
	Pooling Pooling
}

// NewIdentity reads states of width d.
func NewIdentity(d int, pooling Pooling) (*Identity, error) {
	return &Identity{Width: d, Pooling: pooling}, pooling.check()
}

// Name implements Reader.
func (r *Identity) Name() string { return "identity:" + string(r.Pooling) }

// OutDim implements Reader.
func (r *Identity) OutDim() int { return r.Width }

// Rows implements Reader.
func (r *Identity) Rows(t int) int { return r.Pooling.rows(t) }

// Inputs implements Reader: none.
func (r *Identity) Inputs() []model.Input { return nil }

// Values implements Reader.
func (r *Identity) Values(queries *mat.Dense) (map[string]*tensors.Tensor, error) {
	return nil, noQueries(r, queries)
}

// Queries implements Reader: none.
func (r *Identity) Queries(uint64) *mat.Dense { return nil }

// ReadGraph implements Reader.
func (r *Identity) ReadGraph(h, mask *graph.Node, _ func(string) *graph.Node) (out, counts *graph.Node) {
	return poolGraph(r.Pooling, h, mask)
}

// Read implements Reader.
func (r *Identity) Read(h, queries *mat.Dense) (*mat.Dense, error) {
	if err := noQueries(r, queries); err != nil {
		return nil, err
	}
	if _, _, err := checkMatrix("states", h, r.Width); err != nil {
		return nil, err
	}
	return mat.DenseCopyOf(r.Pooling.of(h)), nil
}
