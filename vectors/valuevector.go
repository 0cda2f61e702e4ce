package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// ValueVectors are what the neurons of a layer's MLP write into the residual stream, one a row [f, d]: the rows of W_out, the
// columns of the published down_proj. An MLP's output is sum_j m_j v_j with m_j the activations of hook_post (Geva et al.,
// arXiv:2203.14680); ConceptVectors (arXiv:2406.11614) finds concepts among them.
func ValueVectors(m *model.Model, layer int) (*mat.Dense, error) {
	if layer < 0 || layer >= m.Spec.Layers {
		return nil, fmt.Errorf("vectors: value vectors of layer %d of %d: %w", layer, m.Spec.Layers, ErrArgument)
	}
	out, err := weight(m, valueName(layer), m.Spec.DModel, m.Spec.DMLP)
	if err != nil {
		return nil, err
	}
	return mat.DenseCopyOf(out.T()), nil
}

func valueName(layer int) string { return fmt.Sprintf("blocks.%d.W_out", layer) }

// weight is a parameter of a model as a matrix [rows, columns].
func weight(m *model.Model, name string, rows, columns int) (*mat.Dense, error) {
	values, err := m.Params.Values(name)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	return mat.NewDense(rows, columns, float64s(values)), nil
}
