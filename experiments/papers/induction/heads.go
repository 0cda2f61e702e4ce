package induction

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/sae"
)

// repeated is rows of random tokens that are said twice.
type repeated struct {
	rows, half int
	ids        []int32 // [rows, 2 half]
}

// repeat draws tokens, all of a row different, from the middle of the vocabulary, where no special ones are.
func repeat(r *rand.Rand, rows, half, vocab int) *repeated {
	out := &repeated{rows: rows, half: half}
	for range rows {
		seen, first := map[int32]bool{}, []int32(nil)
		for len(first) < half {
			if id := int32(vocab/10 + r.IntN(vocab*8/10)); !seen[id] {
				seen[id] = true
				first = append(first, id)
			}
		}
		out.ids = append(append(out.ids, first...), first...)
	}
	return out
}

// prefixScores is each head's prefix-matching score in every row, [layers*heads][rows]: the mean attention, over the positions of
// the repetition, to the token after the one that stood there the first time (Olsson et al., arXiv:2209.11895).
func prefixScores(ctx context.Context, l *lab.Lab, x *repeated) ([][]float64, error) {
	spec, seq := l.Model.Spec, 2*x.half
	plan := model.Plan{Batch: x.rows, Seq: seq}
	for layer := range spec.Layers {
		plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.Pattern, Layer: layer}})
	}
	program, err := l.Engine.Compile(spec, plan)
	if err != nil {
		return nil, err
	}
	result, err := program.Run(ctx, l.Model.Params, model.Inputs{IDs: x.ids})
	if err != nil {
		return nil, err
	}
	out := make([][]float64, spec.Layers*spec.Heads)
	for layer := range spec.Layers {
		pattern, err := tensors.CopyFlatData[float32](result.Site(model.Site{Kind: model.Pattern, Layer: layer})) // [b,h,t,s]
		if err != nil {
			return nil, err
		}
		for h := range spec.Heads {
			score := make([]float64, x.rows)
			for r := range score {
				for at := x.half; at < seq; at++ {
					score[r] += float64(pattern[((r*spec.Heads+h)*seq+at)*seq+at-x.half+1]) / float64(x.half)
				}
			}
			out[layer*spec.Heads+h] = score
		}
	}
	return out, result.Free()
}

// ablator measures the loss on the repetition with heads cut; one program serves every set of heads.
type ablator struct {
	lab     *lab.Lab
	x       *repeated
	program *model.Program
	means   *tensors.Tensor // [layers,b,t,h,k]: each head's mean output over rows and positions
}

func newAblator(ctx context.Context, l *lab.Lab, x *repeated) (*ablator, error) {
	spec, seq := l.Model.Spec, 2*x.half
	a := &ablator{lab: l, x: x}
	plan := model.Plan{Batch: x.rows, Seq: seq}
	for layer := range spec.Layers {
		plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.Z, Layer: layer}})
	}
	program, err := l.Engine.Compile(spec, plan)
	if err != nil {
		return nil, err
	}
	result, err := program.Run(ctx, l.Model.Params, model.Inputs{IDs: x.ids})
	if err != nil {
		return nil, err
	}
	var means []float32
	for layer := range spec.Layers {
		z, err := tensors.CopyFlatData[float32](result.Site(model.Site{Kind: model.Z, Layer: layer}))
		if err != nil {
			return nil, err
		}
		places := x.rows * seq
		width := len(z) / places
		sums := make([]float64, width)
		for i, v := range z {
			sums[i%width] += float64(v) / float64(places)
		}
		for range places {
			for _, v := range sums {
				means = append(means, float32(v))
			}
		}
	}
	if err := result.Free(); err != nil {
		return nil, err
	}
	dims := append([]int{spec.Layers}, spec.Dims(model.Z, x.rows, seq)...)
	a.means = tensors.FromFlatDataAndDimensions(means, dims...)
	a.program, err = l.Engine.Compile(spec, model.Plan{Batch: x.rows, Seq: seq, Logits: model.LogitsAll, Edits: []model.Edit{{Site: model.Z, Replace: true, SourcePerLayer: true}}})
	return a, err
}

// loss is the mean loss in nats of each row's repetition, its first token left out, with heads (layer*heads+head) cut.
func (a *ablator) loss(ctx context.Context, heads []int, zero bool) ([]float64, error) {
	spec, seq := a.lab.Model.Spec, 2*a.x.half
	where := make([]float32, spec.Layers*a.x.rows*seq*spec.Heads)
	for _, head := range heads {
		layer, h := head/spec.Heads, head%spec.Heads
		for place := range a.x.rows * seq {
			where[(layer*a.x.rows*seq+place)*spec.Heads+h] = 1
		}
	}
	values := map[string]*tensors.Tensor{"where": tensors.FromFlatDataAndDimensions(where, spec.Layers, a.x.rows, seq, spec.Heads)}
	if !zero {
		values["source"] = a.means
	}
	result, err := a.program.Run(ctx, a.lab.Model.Params, model.Inputs{IDs: a.x.ids, Edits: []map[string]*tensors.Tensor{values}})
	if err != nil {
		return nil, fmt.Errorf("%d heads cut: %w", len(heads), err)
	}
	logits, err := tensors.CopyFlatData[float32](result.Logits())
	if err != nil {
		return nil, err
	}
	out := make([]float64, a.x.rows)
	for r := range out {
		for at := a.x.half; at < seq-1; at++ {
			i := r*seq + at
			out[r] += sae.CrossEntropy(logits[i*spec.Vocab:(i+1)*spec.Vocab], a.x.ids[i+1]) / float64(a.x.half-1)
		}
	}
	return out, result.Free()
}
