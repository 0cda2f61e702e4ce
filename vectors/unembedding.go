package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Unembedding are a language model's output embeddings, one token a row [v, d]: the direction that raises its logit. In
// models with tied embeddings they are the input embeddings too.
func Unembedding(m *model.Model) (*mat.Dense, error) {
	if !m.Spec.Decoder {
		return nil, fmt.Errorf("vectors: a %s encoder has no unembedding: %w; use a decoder, or its embedding W_E", m.Spec.Family, ErrArgument)
	}
	name := "W_U"
	if m.Spec.Tied {
		name = "W_E"
	}
	return weight(m, name, m.Spec.Vocab, m.Spec.DModel)
}

// TokenDirection is the mean row of some tokens in an unembedding e [v, d], less that of others (none: nothing is taken away):
// "king" - "queen" moves the difference of their logits most, for a given length.
func TokenDirection(e *mat.Dense, positive, negative []int) ([]float64, error) {
	v, _, err := checkRows("unembedding", e)
	if err != nil {
		return nil, err
	}
	if len(positive) == 0 {
		return nil, fmt.Errorf("vectors: direction of no token: %w", ErrArgument)
	}
	direction, err := tokenMean(e, v, positive)
	if err != nil {
		return nil, err
	}
	if len(negative) > 0 {
		away, err := tokenMean(e, v, negative)
		if err != nil {
			return nil, err
		}
		floats.Sub(direction, away)
	}
	return direction, checkVector("token direction", direction, 0)
}

func tokenMean(e *mat.Dense, v int, tokens []int) ([]float64, error) {
	_, d := e.Dims()
	mean := make([]float64, d)
	for _, t := range tokens {
		if t < 0 || t >= v {
			return nil, fmt.Errorf("vectors: token %d is not among %d: %w; is it of another tokenizer?", t, v, ErrArgument)
		}
		floats.AddScaled(mean, 1/float64(len(tokens)), e.RawRowView(t))
	}
	return mean, nil
}

// LensOf is the logit lens of a language model: its own final norm and unembedding.
func LensOf(m *model.Model) (*Lens, error) {
	e, err := Unembedding(m)
	if err != nil {
		return nil, err
	}
	l := &Lens{Norm: NoNorm, Eps: m.Spec.NormEps, Unembed: mat.DenseCopyOf(e.T()), Softcap: m.Spec.LogitSoftcap}
	if !m.Spec.FinalNorm {
		return l, nil
	}
	gamma, err := weight(m, "ln_final.w", 1, m.Spec.DModel)
	if err != nil {
		return nil, err
	}
	l.Gamma = gamma.RawRowView(0)
	switch m.Spec.Norm {
	case model.LayerNorm:
		beta, err := weight(m, "ln_final.b", 1, m.Spec.DModel)
		if err != nil {
			return nil, err
		}
		l.Norm, l.Beta = LayerNorm, beta.RawRowView(0)
	case model.RMSNorm:
		l.Norm = RMSNorm
	case model.RMSNormOne:
		l.Norm = RMSNorm
		floats.AddConst(1, l.Gamma)
	default:
		return nil, fmt.Errorf("vectors: lens: norm %q: %w", m.Spec.Norm, ErrArgument)
	}
	return l, nil
}
