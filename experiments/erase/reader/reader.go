package reader

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/probe/model"
	"loupe/vectors"
)

// Reader is a frozen function of a text's states. Its weights are run-time tensors, so that one program serves all readers of one
// kind and shape.
type Reader interface {
	// Name identifies the graph among those whose Inputs are the same.
	Name() string
	// OutDim is o, the entries of a row of a reading.
	OutDim() int
	// Rows is r, the rows of a reading of a text of t positions.
	Rows(t int) int
	// Inputs are the reader's run-time tensors: weights and queries.
	Inputs() []model.Input
	// Values gives them; queries are those of Queries, nil for readers without any.
	Values(queries *mat.Dense) (map[string]*tensors.Tensor, error)
	// Queries draws what plays the role of the noisy image, by seed; nil for readers that have no such thing.
	Queries(seed uint64) *mat.Dense
	// ReadGraph reads states h [b, t, d] with mask [b, t] of the real tokens: the readings [b, r, o] and which of their rows
	// count, 1 or 0 [b, r].
	ReadGraph(h, mask *graph.Node, input func(name string) *graph.Node) (out, counts *graph.Node)
	// Read reads one text's states [t, d], without padding, on the host: [r, o].
	Read(h, queries *mat.Dense) (*mat.Dense, error)
}

// Pooling says which of a text's states a pooled reader reads: their mean (erase.SelectMean), the first (erase.SelectCLS) or the last
// (erase.SelectEOS). "" reads each token.
type Pooling string

// check fails on a pooling that has no graph.
func (p Pooling) check() error {
	switch p {
	case "", erase.SelectMean, erase.SelectCLS, erase.SelectEOS:
		return nil
	}
	return fmt.Errorf("erase/reader: pooling %q: %w; use %s, %s, %s or \"\" for every token", p, vectors.ErrArgument, erase.SelectMean, erase.SelectCLS, erase.SelectEOS)
}

// rows is the number of rows that are read of t.
func (p Pooling) rows(t int) int {
	if p == "" {
		return t
	}
	return 1
}

// of returns the rows of h that are read.
func (p Pooling) of(h *mat.Dense) *mat.Dense {
	t, d := h.Dims()
	switch p {
	case "":
		return h
	case erase.SelectCLS:
		return h.Slice(0, 1, 0, d).(*mat.Dense)
	case erase.SelectEOS:
		return h.Slice(t-1, t, 0, d).(*mat.Dense)
	}
	mean := mat.NewDense(1, d, nil)
	for i := range t {
		floats.AddScaled(mean.RawRowView(0), 1/float64(t), h.RawRowView(i))
	}
	return mean
}

// checkMatrix checks a matrix of finite values; cols > 0 is the width that it needs.
func checkMatrix(what string, x *mat.Dense, cols int) (n, width int, err error) {
	if x == nil || x.IsEmpty() {
		return 0, 0, fmt.Errorf("erase/reader: %s: empty: %w", what, vectors.ErrShape)
	}
	n, width = x.Dims()
	if cols > 0 && width != cols {
		return 0, 0, fmt.Errorf("erase/reader: %s has width %d and needs %d: %w; is it of another encoder?", what, width, cols, vectors.ErrShape)
	}
	for i := range n {
		for j, v := range x.RawRowView(i) {
			if v-v != 0 {
				return 0, 0, fmt.Errorf("erase/reader: %s, row %d, entry %d is %v: %w", what, i, j, v, vectors.ErrNotFinite)
			}
		}
	}
	return n, width, nil
}

// noQueries fails where queries are given to a reader that has none.
func noQueries(r Reader, queries *mat.Dense) error {
	if queries != nil {
		return fmt.Errorf("erase/reader: queries for the reader %s, which has none: %w", r.Name(), vectors.ErrArgument)
	}
	return nil
}

// draw fills a matrix from a normal distribution of mean 0.
func draw(rows, cols int, sigma float64, rng *rand.Rand) *mat.Dense {
	x := mat.NewDense(rows, cols, nil)
	for i := range rows {
		for j := range cols {
			x.Set(i, j, sigma*rng.NormFloat64())
		}
	}
	return x
}

// tensor copies a matrix to a float32 tensor of the given shape.
func tensor(x *mat.Dense, dims ...int) *tensors.Tensor {
	rows, cols := x.Dims()
	flat := make([]float32, 0, rows*cols)
	for i := range rows {
		for _, v := range x.RawRowView(i) {
			flat = append(flat, float32(v))
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, dims...)
}
