package reader

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Loss is one text's part of Regress on the host, for a weight of 1: the mean over rows of |R(h)_r - target_r|².
func Loss(r Reader, h, queries, target *mat.Dense) (float64, error) {
	out, err := r.Read(h, queries)
	if err != nil {
		return 0, err
	}
	rows, o := out.Dims()
	if n, _, err := checkMatrix("target", target, o); err != nil || n != rows {
		return 0, fmt.Errorf("erase/reader: target of %d rows for a reading of [%d, %d]: %w", n, rows, o, vectors.ErrShape)
	}
	out.Sub(out, target)
	norm := mat.Norm(out, 2)
	return norm * norm / float64(rows), nil
}

// Targets are the run-time tensors of Regress for a batch of texts padded to seq positions: targets [r, o] of each, a row of a text's
// own length each for readers that read token by token. Missing texts at the end of the batch have weight 0.
func Targets(r Reader, queries *mat.Dense, targets []*mat.Dense, weights []float64, batch, seq int) (map[string]*tensors.Tensor, error) {
	rows, o := r.Rows(seq), r.OutDim()
	if len(targets) != len(weights) || len(targets) > batch {
		return nil, fmt.Errorf("erase/reader: %d targets and %d weights for a batch of %d: %w", len(targets), len(weights), batch, vectors.ErrShape)
	}
	values, err := r.Values(queries)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*tensors.Tensor, len(values)+2)
	for name, v := range values {
		out[name] = v
	}
	target, weight := make([]float32, batch*rows*o), make([]float32, batch)
	for i, x := range targets {
		n, _, err := checkMatrix(fmt.Sprintf("target %d", i), x, o)
		if err != nil {
			return nil, err
		}
		if n > rows {
			return nil, fmt.Errorf("erase/reader: target %d has %d rows, a reading %d: %w", i, n, rows, vectors.ErrShape)
		}
		for k := range n {
			for j, v := range x.RawRowView(k) {
				target[(i*rows+k)*o+j] = float32(v)
			}
		}
		weight[i] = float32(weights[i])
	}
	out["target"], out["weight"] = tensors.FromFlatDataAndDimensions(target, batch, rows, o), tensors.FromFlatDataAndDimensions(weight, batch)
	return out, nil
}
