package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// AttentionValue is what the last position reads from each token of a prompt through attention alone.
type AttentionValue struct {
	// Direct [l*h, t] is A[last, s] v_s W_O . direction for each head (row layer*heads + head) and token s: what the head moves
	// from s straight into the target's logit, with the final norm's scale frozen.
	Direct *mat.Dense
	// Norm [l*h, t] is the length |A[last, s] v_s W_O| (Kobayashi et al., arXiv:2004.10102): how much is moved, wherever it goes.
	Norm *mat.Dense
	// Scores [t] sums Direct over heads.
	Scores []float64
	// Attention is the whole direct effect of attention on the target: the sum of the scores and of the output biases.
	Attention float64
	// Gap is |Attention - what the attention outputs themselves add to the target|; rounding.
	Gap float64
}

// AttendValues computes attention x value of a prompt for a target. Models that normalise a sub-layer's output before adding it
// are refused: there a token's part is not linear in the pattern.
func AttendValues(ctx context.Context, e *model.Engine, m *model.Model, ids []int32, target PromptTarget) (*AttentionValue, error) {
	s := m.Spec
	if err := target.check(s, ids); err != nil {
		return nil, err
	}
	if s.Place != model.PreNorm {
		return nil, fmt.Errorf("vectors: attention x value in a model with %s norms: %w; a norm after attention mixes its tokens", s.Place, ErrArgument)
	}
	lens, err := LensOf(m)
	if err != nil {
		return nil, err
	}
	last := model.Site{Kind: model.ResidPost, Layer: s.Layers - 1}
	plan := model.Plan{Batch: 1, Seq: len(ids), Captures: []model.Capture{{Site: last}}}
	for l := range s.Layers {
		for _, k := range []model.Kind{model.Pattern, model.V, model.AttnOut} {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: k, Layer: l}})
		}
	}
	program, err := e.Compile(s, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: attention x value: %w", err)
	}
	n := len(ids)
	a := &AttentionValue{Direct: mat.NewDense(s.Layers*s.Heads, n, nil), Norm: mat.NewDense(s.Layers*s.Heads, n, nil), Scores: make([]float64, n)}
	err = readFlat(ctx, program, m, model.Inputs{IDs: ids}, func(out *model.Outputs) error {
		residual, err := siteValues(out, last)
		if err != nil {
			return err
		}
		direction := lens.direction(residual[(n-1)*s.DModel:], int(target.Token))
		if target.Against >= 0 {
			floats.Sub(direction, lens.direction(residual[(n-1)*s.DModel:], int(target.Against)))
		}
		whole := 0.0
		for l := range s.Layers {
			if err := a.layer(out, m, l, n, direction); err != nil {
				return err
			}
			attn, err := siteValues(out, model.Site{Kind: model.AttnOut, Layer: l})
			if err != nil {
				return err
			}
			whole += floats.Dot(direction, attn[(n-1)*s.DModel:])
		}
		a.Attention += floats.Sum(a.Scores)
		a.Gap = math.Abs(a.Attention - whole)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("vectors: attention x value: %w", err)
	}
	return a, nil
}

// layer adds one layer's heads; n is the number of tokens.
func (a *AttentionValue) layer(out *model.Outputs, m *model.Model, l, n int, direction []float64) error {
	s := m.Spec
	pattern, err := siteValues(out, model.Site{Kind: model.Pattern, Layer: l})
	if err != nil {
		return err
	}
	values, err := siteValues(out, model.Site{Kind: model.V, Layer: l})
	if err != nil {
		return err
	}
	output, err := weight(m, fmt.Sprintf("blocks.%d.W_O", l), s.DModel, s.Heads*s.DHead)
	if err != nil {
		return err
	}
	if s.OBias {
		bias, err := weight(m, fmt.Sprintf("blocks.%d.b_O", l), 1, s.DModel)
		if err != nil {
			return err
		}
		a.Attention += floats.Dot(direction, bias.RawRowView(0))
	}
	group := s.Heads / s.KVHeads
	for h := range s.Heads {
		head := output.Slice(0, s.DModel, h*s.DHead, (h+1)*s.DHead).(*mat.Dense) // [d, e]
		for t := range n {
			w := pattern[(h*n+n-1)*n+t]
			v := mat.NewVecDense(s.DHead, values[(t*s.KVHeads+h/group)*s.DHead:][:s.DHead])
			var moved mat.VecDense
			moved.MulVec(head, v)
			row := moved.RawVector().Data
			part := w * floats.Dot(direction, row)
			a.Direct.Set(l*s.Heads+h, t, part)
			a.Norm.Set(l*s.Heads+h, t, w*floats.Norm(row, 2))
			a.Scores[t] += part
		}
	}
	return nil
}

// direction is what a residual stream's components are multiplied with to give their part of a token's logit, the norm's scale
// frozen at that of residual [d]: centre(x) / scale * gamma . Unembed[:, token].
func (l *Lens) direction(residual []float64, token int) []float64 {
	out := mat.Col(nil, token, l.Unembed)
	if l.Norm != NoNorm && l.Gamma != nil {
		floats.Mul(out, l.Gamma)
	}
	if l.Norm == LayerNorm { // centring is symmetric
		floats.AddConst(-floats.Sum(out)/float64(len(out)), out)
	}
	floats.Scale(1/l.scale(residual), out)
	return out
}
