package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Attribution is how much each component of the residual stream adds to the logit of one target token a position.
type Attribution struct {
	Parts    *mat.Dense // [c, t]
	Constant []float64  // [t], what the norm's beta and the unembedding's bias add
	Logit    []float64  // [t], the logit itself
	Gap      float64    // the largest |sum of parts + constant - logit|
}

// sumTolerance is how far components may be from their sum, relative to it: float32 activations of a deep model.
const sumTolerance = 1e-3

// Attribute is direct logit attribution: the norm's scale is frozen at that of the residual stream [t, d], which makes the
// logit, before a soft cap, a sum over components, each [t, d]:
//
//	part[c, t] = centre(component_c) / scale * gamma . Unembed[:, target]
//
// Components must sum to the residual; otherwise a writer is missing and the error names the largest gap.
func (l *Lens) Attribute(residual *mat.Dense, components []*mat.Dense, targets []int) (*Attribution, error) {
	uncapped := *l
	uncapped.Softcap = 0
	logits, err := uncapped.Logits(residual)
	if err != nil {
		return nil, err
	}
	t, d := residual.Dims()
	if err := checkComponents(residual, components); err != nil {
		return nil, err
	}
	if len(targets) != t {
		return nil, fmt.Errorf("vectors: attribution: %d targets for %d positions: %w", len(targets), t, ErrShape)
	}
	a := &Attribution{Parts: mat.NewDense(len(components), t, nil), Constant: make([]float64, t), Logit: make([]float64, t)}
	row, column := make([]float64, d), make([]float64, d)
	for i, target := range targets {
		if _, v := l.Unembed.Dims(); target < 0 || target >= v {
			return nil, fmt.Errorf("vectors: attribution: target %d of position %d is not among %d tokens: %w", target, i, v, ErrArgument)
		}
		mat.Col(column, target, l.Unembed)
		if l.Norm == LayerNorm && l.Beta != nil {
			a.Constant[i] += floats.Dot(l.Beta, column)
		}
		if l.Bias != nil {
			a.Constant[i] += l.Bias[target]
		}
		a.Logit[i] = logits.At(i, target)
		scale, sum := l.scale(residual.RawRowView(i)), a.Constant[i]
		for c, component := range components {
			copy(row, component.RawRowView(i))
			l.scaleRow(row, scale)
			part := floats.Dot(row, column)
			a.Parts.Set(c, i, part)
			sum += part
		}
		a.Gap = max(a.Gap, math.Abs(sum-a.Logit[i]))
	}
	return a, nil
}

// checkComponents fails unless the components sum to the residual.
func checkComponents(residual *mat.Dense, components []*mat.Dense) error {
	t, d := residual.Dims()
	sum := mat.NewDense(t, d, nil)
	for c, component := range components {
		if n, w, err := checkRows(fmt.Sprintf("component %d", c), component); err != nil {
			return err
		} else if n != t || w != d {
			return fmt.Errorf("vectors: attribution: component %d is [%d, %d], the residual [%d, %d]: %w", c, n, w, t, d, ErrShape)
		}
		sum.Add(sum, component)
	}
	sum.Sub(residual, sum)
	if gap, norm := mat.Norm(sum, 2), mat.Norm(residual, 2); gap > sumTolerance*norm {
		return fmt.Errorf("vectors: attribution: components miss the residual by %.3g of its norm %.3g: %w; is the embedding, a bias or a layer left out?", gap, norm, ErrShape)
	}
	return nil
}
