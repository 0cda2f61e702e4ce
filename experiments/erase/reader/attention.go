package reader

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/probe/model"
	"loupe/vectors"
)

// Attention reads the states as heads of cross-attention do, the queries of the image being drawn from N(0, Sigma²):
//
//	R(h)_q = concat_n softmax(q_n (h K_n')' / sqrt w) h V_n'
//
// A reading has one row a query, whatever the length of the text, so that readings of different texts can be subtracted.
type Attention struct {
	WK, WV []*mat.Dense // K_n, V_n [w, d] of each head
	M      int          // queries of a head
	Sigma  float64
	k, v   *tensors.Tensor // [n, w, d]
}

// NewAttention checks the heads' matrices [w, d].
func NewAttention(keys, values []*mat.Dense, queries int, sigma float64) (*Attention, error) {
	if len(keys) == 0 || len(keys) != len(values) {
		return nil, fmt.Errorf("erase/reader: %d key and %d value matrices: %w; give both of each head", len(keys), len(values), vectors.ErrShape)
	}
	if queries < 1 || !(sigma > 0) || math.IsInf(sigma, 0) {
		return nil, fmt.Errorf("erase/reader: %d queries of standard deviation %v: %w; both must be positive", queries, sigma, vectors.ErrArgument)
	}
	w, d, err := checkMatrix("W_K", keys[0], 0)
	if err != nil {
		return nil, err
	}
	for i := range keys {
		for what, x := range map[string]*mat.Dense{"W_K": keys[i], "W_V": values[i]} {
			n, _, err := checkMatrix(fmt.Sprintf("%s of head %d", what, i), x, d)
			if err != nil {
				return nil, err
			}
			if n != w {
				return nil, fmt.Errorf("erase/reader: %s of head %d has %d rows, the first head's keys %d: %w", what, i, n, w, vectors.ErrShape)
			}
		}
	}
	r := &Attention{WK: keys, WV: values, M: queries, Sigma: sigma}
	r.k, r.v = r.stacked(keys), r.stacked(values)
	return r, nil
}

// DrawAttention draws heads of width w, entries N(0, 1/d), for encoders that no denoiser is at hand for.
func DrawAttention(heads, w, d, queries int, sigma float64, seed uint64) (*Attention, error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	keys, values := make([]*mat.Dense, heads), make([]*mat.Dense, heads)
	for i := range heads {
		keys[i] = draw(w, d, 1/math.Sqrt(float64(d)), rng)
		values[i] = draw(w, d, 1/math.Sqrt(float64(d)), rng)
	}
	return NewAttention(keys, values, queries, sigma)
}

// dims returns heads, their width and that of a state.
func (r *Attention) dims() (n, w, d int) {
	w, d = r.WK[0].Dims()
	return len(r.WK), w, d
}

// stacked are the matrices of all heads as a tensor [n, w, d].
func (r *Attention) stacked(list []*mat.Dense) *tensors.Tensor {
	n, w, d := r.dims()
	all := mat.NewDense(n*w, d, nil)
	for i, m := range list {
		all.Slice(i*w, (i+1)*w, 0, d).(*mat.Dense).Copy(m)
	}
	return tensor(all, n, w, d)
}

// Name implements Reader.
func (r *Attention) Name() string { return "attention" }

// OutDim implements Reader: n w.
func (r *Attention) OutDim() int { n, w, _ := r.dims(); return n * w }

// Rows implements Reader: m.
func (r *Attention) Rows(int) int { return r.M }

// Inputs implements Reader.
func (r *Attention) Inputs() []model.Input {
	n, w, d := r.dims()
	return []model.Input{
		{Name: "reader.K", DType: dtypes.Float32, Dims: []int{n, w, d}}, {Name: "reader.V", DType: dtypes.Float32, Dims: []int{n, w, d}},
		{Name: "reader.q", DType: dtypes.Float32, Dims: []int{n, r.M, w}},
	}
}

// Queries implements Reader: [n m, w], those of one head after the other.
func (r *Attention) Queries(seed uint64) *mat.Dense {
	n, w, _ := r.dims()
	return draw(n*r.M, w, r.Sigma, rand.New(rand.NewPCG(seed, 4)))
}

// checkQueries checks queries [n m, w].
func (r *Attention) checkQueries(queries *mat.Dense) error {
	n, w, _ := r.dims()
	rows, _, err := checkMatrix("queries", queries, w)
	if err == nil && rows != n*r.M {
		err = fmt.Errorf("erase/reader: %d queries for %d heads of %d: %w", rows, n, r.M, vectors.ErrShape)
	}
	return err
}

// Values implements Reader.
func (r *Attention) Values(queries *mat.Dense) (map[string]*tensors.Tensor, error) {
	if err := r.checkQueries(queries); err != nil {
		return nil, err
	}
	n, w, _ := r.dims()
	return map[string]*tensors.Tensor{"reader.K": r.k, "reader.V": r.v, "reader.q": tensor(queries, n, r.M, w)}, nil
}

// ReadGraph implements Reader.
func (r *Attention) ReadGraph(h, mask *graph.Node, input func(string) *graph.Node) (out, counts *graph.Node) {
	return attentionGraph(h, mask, input("reader.K"), input("reader.V"), input("reader.q"))
}

// Read implements Reader, by erase.ReadAttention.
func (r *Attention) Read(h, queries *mat.Dense) (*mat.Dense, error) {
	if err := r.checkQueries(queries); err != nil {
		return nil, err
	}
	n, w, _ := r.dims()
	out := mat.NewDense(r.M, n*w, nil)
	for i := range n {
		head, err := erase.ReadAttention(h, r.WK[i], r.WV[i], queries.Slice(i*r.M, (i+1)*r.M, 0, w).(*mat.Dense))
		if err != nil {
			return nil, err
		}
		out.Slice(0, r.M, i*w, (i+1)*w).(*mat.Dense).Copy(head)
	}
	return out, nil
}
