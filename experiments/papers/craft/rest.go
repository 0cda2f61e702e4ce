package craft

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/probe/model"
)

// variants is how many variants of a text run together.
const variants = 16

// rest is the score of a text by the rest of the model: how far the sentence embedding goes along a direction. The special tokens
// keep their activations.
type rest struct {
	lab       *lab.Lab
	layer     int
	seq       int
	edges     [2][]float64
	direction []float64
}

// Values implements [vectors.TextScore].
func (r rest) Values(ctx context.Context, a []*mat.Dense) ([]float64, error) {
	out := make([]float64, 0, len(a))
	err := r.run(ctx, a, false, func(_ int, embedding []float32, _ []float32) {
		sum := 0.0
		for j, v := range embedding {
			sum += float64(v) * r.direction[j]
		}
		out = append(out, sum)
	})
	return out, err
}

// Gradients implements [vectors.TextScore].
func (r rest) Gradients(ctx context.Context, a []*mat.Dense) ([]*mat.Dense, error) {
	var out []*mat.Dense
	err := r.run(ctx, a, true, func(i int, _ []float32, gradient []float32) {
		t, d := a[i].Dims()
		g := mat.NewDense(t, d, nil)
		from := 0
		if r.edges[0] != nil {
			from = 1
		}
		for at := range t {
			for j := range d {
				g.Set(at, j, float64(gradient[(from+at)*d+j]))
			}
		}
		out = append(out, g)
	})
	return out, err
}

// run runs the rest of the model on variants, and hands each variant's embedding and gradient to f, in order.
func (r rest) run(ctx context.Context, a []*mat.Dense, gradient bool, f func(i int, embedding, gradient []float32)) (err error) {
	spec, site, input := r.lab.Model.Spec, model.Site{Kind: model.Sentence}, model.Site{Kind: model.ResidPre, Layer: r.layer}
	plan := model.Plan{Batch: variants, Seq: r.seq, From: r.layer, Captures: []model.Capture{{Site: site}}}
	if gradient {
		plan.Objective, plan.GradSites = model.SiteDot(spec, site, variants, r.seq), []model.Site{input}
	}
	program, err := r.lab.Engine.Compile(spec, plan)
	if err != nil {
		return err
	}
	for lo := 0; lo < len(a); lo += variants {
		if err := r.batch(ctx, program, a[lo:min(lo+variants, len(a))], gradient, input, func(i int, e, g []float32) { f(lo+i, e, g) }); err != nil {
			return err
		}
	}
	return nil
}

func (r rest) batch(ctx context.Context, program *model.Program, a []*mat.Dense, gradient bool, input model.Site, f func(i int, embedding, gradient []float32)) (err error) {
	d, w := r.lab.Model.Spec.DModel, len(r.direction)
	x, mask := make([]float32, variants*r.seq*d), make([]int32, variants*r.seq)
	for b := range variants {
		v := a[min(b, len(a)-1)]
		at := 0
		put := func(row []float64) {
			for j, e := range row {
				x[(b*r.seq+at)*d+j] = float32(e)
			}
			mask[b*r.seq+at] = 1
			at++
		}
		if r.edges[0] != nil {
			put(r.edges[0])
		}
		tokens, _ := v.Dims()
		if tokens+2 > r.seq {
			return fmt.Errorf("a text of %d tokens in a program for %d", tokens, r.seq)
		}
		for t := range tokens {
			put(v.RawRowView(t))
		}
		if r.edges[1] != nil {
			put(r.edges[1])
		}
	}
	in := model.Inputs{Input: tensors.FromFlatDataAndDimensions(x, variants, r.seq, d), Mask: mask}
	defer func() { err = errors.Join(err, in.Input.FinalizeAll()) }()
	if gradient {
		weights := make([]float32, 0, variants*w)
		for range variants {
			for _, v := range r.direction {
				weights = append(weights, float32(v))
			}
		}
		t := tensors.FromFlatDataAndDimensions(weights, variants, w)
		defer func() { err = errors.Join(err, t.FinalizeAll()) }()
		in.Objective = map[string]*tensors.Tensor{"weights": t}
	}
	out, err := program.Run(ctx, r.lab.Model.Params, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	embedding, err := tensors.CopyFlatData[float32](out.Site(model.Site{Kind: model.Sentence}))
	if err != nil {
		return err
	}
	var slope []float32
	if gradient {
		if slope, err = tensors.CopyFlatData[float32](out.Grad(input)); err != nil {
			return err
		}
	}
	for i := range a {
		var g []float32
		if gradient {
			g = slope[i*r.seq*d : (i+1)*r.seq*d]
		}
		f(i, embedding[i*w:(i+1)*w], g)
	}
	return nil
}

// direction is the difference of the mean embeddings of training texts with and without a topic, of norm 1.
func (u *subject) direction(topic int) []float64 {
	_, w := u.train.embedding.Dims()
	sums, count := [2][]float64{make([]float64, w), make([]float64, w)}, [2]float64{}
	for i, topics := range u.train.topics {
		has := 0
		for _, k := range topics {
			if k == topic {
				has = 1
			}
		}
		floats.Add(sums[has], u.train.embedding.RawRowView(i))
		count[has]++
	}
	floats.Scale(1/max(count[0], 1), sums[0])
	floats.Scale(1/max(count[1], 1), sums[1])
	floats.Sub(sums[1], sums[0])
	floats.Scale(1/floats.Norm(sums[1], 2), sums[1])
	return sums[1]
}
