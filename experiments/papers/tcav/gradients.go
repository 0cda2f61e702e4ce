package tcav

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/token"
)

// lossGradients differentiates the loss of a class, minus head . embedding, with respect to a vector that is added at every
// token of a site: one row a text [n, d] at each site.
func lossGradients(ctx context.Context, l *lab.Lab, texts []string, sites []model.Site, head []float64) ([]*mat.Dense, error) {
	const batch = 16
	var encoded []token.Encoding
	seq := 0
	for i, t := range texts {
		e, err := l.Tokenizer.Encode(t, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		encoded, seq = append(encoded, e), max(seq, (e.Len()+7)/8*8)
	}
	program, err := l.Engine.Compile(l.Model.Spec, model.Plan{Batch: batch, Seq: seq, Objective: model.SiteDot(l.Model.Spec, model.Site{Kind: model.Sentence}, batch, seq), GradSites: sites})
	if err != nil {
		return nil, err
	}
	weights := make([]float32, 0, batch*len(head))
	for range batch {
		for _, w := range head {
			weights = append(weights, float32(-w))
		}
	}
	d := l.Model.Spec.DModel
	out := make([]*mat.Dense, len(sites))
	for i := range out {
		out[i] = mat.NewDense(len(texts), d, nil)
	}
	for lo := 0; lo < len(texts); lo += batch {
		part := encoded[lo:min(lo+batch, len(texts))]
		in := lab.Pack(part, batch, seq)
		in.Objective = map[string]*tensors.Tensor{"weights": tensors.FromFlatDataAndDimensions(weights, batch, len(head))}
		if err := gradientBatch(ctx, l, program, in, part, sites, seq, func(site, r int, gradient []float32) {
			for j, g := range gradient {
				out[site].RawRowView(lo + r)[j%d] += float64(g)
			}
		}); err != nil {
			return nil, err
		}
	}
	for i, m := range out {
		if floats.Norm(m.RawMatrix().Data, 2) == 0 {
			return nil, fmt.Errorf("no gradient reaches %s", sites[i])
		}
	}
	return out, nil
}

// gradientBatch hands each text's gradient [tokens, d] at each site to f.
func gradientBatch(ctx context.Context, l *lab.Lab, p *model.Program, in model.Inputs, part []token.Encoding, sites []model.Site, seq int, f func(site, r int, gradient []float32)) (err error) {
	out, err := p.Run(ctx, l.Model.Params, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Free(), in.Objective["weights"].FinalizeAll()) }()
	d := l.Model.Spec.DModel
	for i, s := range sites {
		values, err := tensors.CopyFlatData[float32](out.Grad(s))
		if err != nil {
			return err
		}
		for r, e := range part {
			f(i, r, values[r*seq*d:(r*seq+e.Len())*d])
		}
	}
	return nil
}
