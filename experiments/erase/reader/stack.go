package reader

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Stack reads the states as the key and value matrices of a denoiser do: all W_i h, one behind the other.
type Stack struct {
	Weights *mat.Dense // W_i [o_i, d] one below the other: [o, d]
	Names   []string   // of the matrices; nil for drawn ones
	Pooling Pooling
	device  *tensors.Tensor
}

// NewStack stacks matrices [o_i, d].
func NewStack(pooling Pooling, matrices ...*mat.Dense) (*Stack, error) {
	if err := pooling.check(); err != nil {
		return nil, err
	}
	width, rows := 0, 0
	for _, m := range matrices {
		n, d, err := checkMatrix("a matrix of the stack", m, width)
		if err != nil {
			return nil, err
		}
		width, rows = d, rows+n
	}
	if rows == 0 {
		_, _, err := checkMatrix("the stack", nil, 0)
		return nil, err
	}
	all := mat.NewDense(rows, width, nil)
	at := 0
	for _, m := range matrices {
		n, _ := m.Dims()
		all.Slice(at, at+n, 0, width).(*mat.Dense).Copy(m)
		at += n
	}
	return &Stack{Weights: all, Pooling: pooling, device: tensor(all, rows, width)}, nil
}

// DrawStack draws matrices of o outputs in all, entries N(0, 1/d), for encoders that no denoiser is at hand for.
func DrawStack(pooling Pooling, o, d int, seed uint64) (*Stack, error) {
	return NewStack(pooling, draw(o, d, 1/math.Sqrt(float64(d)), rand.New(rand.NewPCG(seed, 2))))
}

// Name implements Reader.
func (r *Stack) Name() string { return "stack:" + string(r.Pooling) }

// OutDim implements Reader.
func (r *Stack) OutDim() int { n, _ := r.Weights.Dims(); return n }

// Rows implements Reader.
func (r *Stack) Rows(t int) int { return r.Pooling.rows(t) }

// Inputs implements Reader.
func (r *Stack) Inputs() []model.Input {
	o, d := r.Weights.Dims()
	return []model.Input{{Name: "reader.W", DType: dtypes.Float32, Dims: []int{o, d}}}
}

// Values implements Reader.
func (r *Stack) Values(queries *mat.Dense) (map[string]*tensors.Tensor, error) {
	return map[string]*tensors.Tensor{"reader.W": r.device}, noQueries(r, queries)
}

// Queries implements Reader: none.
func (r *Stack) Queries(uint64) *mat.Dense { return nil }

// ReadGraph implements Reader.
func (r *Stack) ReadGraph(h, mask *graph.Node, input func(string) *graph.Node) (out, counts *graph.Node) {
	return linearGraph(r.Pooling, h, mask, input("reader.W"))
}

// Read implements Reader.
func (r *Stack) Read(h, queries *mat.Dense) (*mat.Dense, error) {
	if err := noQueries(r, queries); err != nil {
		return nil, err
	}
	_, d := r.Weights.Dims()
	if _, _, err := checkMatrix("states", h, d); err != nil {
		return nil, err
	}
	var out mat.Dense
	out.Mul(r.Pooling.of(h), r.Weights.T())
	return &out, nil
}
