package vectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// TokenRows are the activations of every token of some texts at some sites.
type TokenRows struct {
	Sites []*mat.Dense // by site [n, d]
	Text  []int        // [n], the text of each row
}

// ReadTokens returns the activations of texts at some sites of shape [b,t,width], one row a token. Texts run in batches of the
// given size at one sequence length.
func ReadTokens(ctx context.Context, e *model.Engine, m *model.Model, texts [][]int32, sites []model.Site, batch int) (*TokenRows, error) {
	longest, total := 0, 0
	for i, ids := range texts {
		if len(ids) == 0 {
			return nil, fmt.Errorf("vectors: read: text %d has no token: %w", i, ErrArgument)
		}
		longest, total = max(longest, len(ids)), total+len(ids)
	}
	if total == 0 || len(sites) == 0 || batch < 1 {
		return nil, fmt.Errorf("vectors: read %d sites of %d texts in batches of %d: %w", len(sites), len(texts), batch, ErrArgument)
	}
	plan := model.Plan{Batch: batch, Seq: paddedLength(m.Spec, longest), Gather: 1}
	out := &TokenRows{}
	for _, s := range sites {
		if len(s.Kind.Axes()) != 3 || s.Kind.Axes()[:2] != "bt" {
			return nil, fmt.Errorf("vectors: read: %s has no row for each token: %w", s, ErrArgument)
		}
		plan.Captures = append(plan.Captures, model.Capture{Site: s})
		plan.To = max(plan.To, s.Layer+1)
		if !s.Kind.InBlock() {
			plan.To = m.Spec.Layers
		}
		out.Sites = append(out.Sites, mat.NewDense(total, m.Spec.Width(s.Kind, plan.Seq), nil))
	}
	program, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: read: %w", err)
	}
	for lo := 0; lo < len(texts); lo += batch {
		part := texts[lo:min(lo+batch, len(texts))]
		if err := out.read(ctx, program, m, plan, part, lo); err != nil {
			return nil, fmt.Errorf("vectors: read: %w", err)
		}
	}
	return out, nil
}

// read appends the rows of a batch, whose first text is number lo.
func (r *TokenRows) read(ctx context.Context, p *model.Program, m *model.Model, plan model.Plan, part [][]int32, lo int) (err error) {
	got, err := p.Run(ctx, m.Params, rightPadded(part, plan.Batch, plan.Seq))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, got.Free()) }()
	from := len(r.Text)
	for i, c := range plan.Captures {
		flat, err := tensors.CopyFlatData[float32](got.Capture(c))
		if err != nil {
			return err
		}
		_, d := r.Sites[i].Dims()
		row := from
		for b, ids := range part {
			for t := range ids {
				r.Sites[i].SetRow(row, float64s(flat[(b*plan.Seq+t)*d:][:d]))
				row++
			}
		}
	}
	for b, ids := range part {
		for range ids {
			r.Text = append(r.Text, lo+b)
		}
	}
	return nil
}
