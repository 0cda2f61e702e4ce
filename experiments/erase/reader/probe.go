package reader

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/vectors"
)

// Probe reads logits of k linear concept probes: R(h) = W h + b of each token's or the pooled state.
type Probe struct {
	Weights *mat.Dense // [k, d]
	Bias    []float64  // [k]
	Pooling Pooling
	w, b    *tensors.Tensor
}

// NewProbe checks weights [k, d] and biases [k].
func NewProbe(pooling Pooling, weights *mat.Dense, bias []float64) (*Probe, error) {
	if err := pooling.check(); err != nil {
		return nil, err
	}
	k, d, err := checkMatrix("the probes' weights", weights, 0)
	if err != nil {
		return nil, err
	}
	if len(bias) != k {
		return nil, fmt.Errorf("erase/reader: %d biases of %d probes: %w", len(bias), k, vectors.ErrShape)
	}
	if _, _, err := checkMatrix("the probes' biases", mat.NewDense(1, k, bias), k); err != nil {
		return nil, err
	}
	return &Probe{Weights: weights, Bias: bias, Pooling: pooling, w: tensor(weights, k, d), b: tensor(mat.NewDense(1, k, bias), k)}, nil
}

// Name implements Reader.
func (r *Probe) Name() string { return "probe:" + string(r.Pooling) }

// OutDim implements Reader: k.
func (r *Probe) OutDim() int { return len(r.Bias) }

// Rows implements Reader.
func (r *Probe) Rows(t int) int { return r.Pooling.rows(t) }

// Inputs implements Reader.
func (r *Probe) Inputs() []model.Input {
	k, d := r.Weights.Dims()
	return []model.Input{{Name: "reader.W", DType: dtypes.Float32, Dims: []int{k, d}}, {Name: "reader.b", DType: dtypes.Float32, Dims: []int{k}}}
}

// Values implements Reader.
func (r *Probe) Values(queries *mat.Dense) (map[string]*tensors.Tensor, error) {
	return map[string]*tensors.Tensor{"reader.W": r.w, "reader.b": r.b}, noQueries(r, queries)
}

// Queries implements Reader: none.
func (r *Probe) Queries(uint64) *mat.Dense { return nil }

// ReadGraph implements Reader.
func (r *Probe) ReadGraph(h, mask *graph.Node, input func(string) *graph.Node) (out, counts *graph.Node) {
	out, counts = linearGraph(r.Pooling, h, mask, input("reader.W"))
	return graph.Add(out, graph.ExpandAxes(input("reader.b"), 0, 1)), counts
}

// Read implements Reader.
func (r *Probe) Read(h, queries *mat.Dense) (*mat.Dense, error) {
	if err := noQueries(r, queries); err != nil {
		return nil, err
	}
	_, d := r.Weights.Dims()
	if _, _, err := checkMatrix("states", h, d); err != nil {
		return nil, err
	}
	var out mat.Dense
	out.Mul(r.Pooling.of(h), r.Weights.T())
	rows, _ := out.Dims()
	for i := range rows {
		floats.Add(out.RawRowView(i), r.Bias)
	}
	return &out, nil
}
