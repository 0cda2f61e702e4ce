package encoder

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/probe/token"
)

// Soft is a text whose word embeddings are given.
type Soft struct {
	token.Encoding
	Embeds *mat.Dense // [T, d], a row for each token, special ones too
}

// WordEmbeddings are the rows [n, d] of the original embedding table, as the first block would read them but for positions, types
// and norm.
func (e *Encoder) WordEmbeddings(ids []int32) (*mat.Dense, error) {
	if e.words == nil {
		var err error
		if e.words, err = e.Model.Params.Values("W_E"); err != nil {
			return nil, fmt.Errorf("encoder: %w", err)
		}
	}
	d := e.Width()
	scale := 1.0
	if s := e.Model.Spec.EmbedScale; s != 0 {
		scale = float64(float32(s))
	}
	out := mat.NewDense(len(ids), d, nil)
	for i, id := range ids {
		if id < 0 || int(id) >= e.Model.Spec.Vocab {
			return nil, fmt.Errorf("encoder: token id %d is outside the vocabulary of %d", id, e.Model.Spec.Vocab)
		}
		row := out.RawRowView(i)
		for j, v := range e.words[int(id)*d : (int(id)+1)*d] {
			row[j] = float64(v) * scale
		}
	}
	return out, nil
}

// Soften gives a text its own word embeddings.
func (e *Encoder) Soften(text token.Encoding) (*Soft, error) {
	x, err := e.WordEmbeddings(text.IDs)
	return &Soft{Encoding: text, Embeds: x}, err
}

// Insert puts tokens in front of position at: 1 is behind the start token. They count as words.
func Insert(text token.Encoding, at int, ids []int32) token.Encoding {
	n := len(ids)
	out := token.Encoding{IDs: slices.Insert(slices.Clone(text.IDs), at, ids...), Tokens: slices.Insert(slices.Clone(text.Tokens), at, make([]string, n)...)}
	out.Offsets = slices.Insert(slices.Clone(text.Offsets), at, make([][2]int, n)...)
	out.Special = slices.Insert(slices.Clone(text.Special), at, make([]bool, n)...)
	types := make([]int32, n)
	if at < len(text.TypeIDs) {
		for i := range types {
			types[i] = text.TypeIDs[at]
		}
	}
	out.TypeIDs = slices.Insert(slices.Clone(text.TypeIDs), at, types...)
	return out
}

// EncodingStates returns the final states of texts that are given as tokens.
func (e *Encoder) EncodingStates(ctx context.Context, v *Variant, texts []token.Encoding) ([]*State, error) {
	items := make([]item, len(texts))
	for i, t := range texts {
		if err := e.checkLength(t.Len()); err != nil {
			return nil, err
		}
		items[i] = item{at: i, text: t}
	}
	if len(items) == 0 {
		return nil, errors.New("encoder: no text to read")
	}
	return e.run(ctx, v, items, fromIDs)
}

// SoftStates returns the final states of texts that are given as word embeddings.
func (e *Encoder) SoftStates(ctx context.Context, v *Variant, soft []*Soft) ([]*State, error) {
	items, err := e.softItems(soft)
	if err != nil {
		return nil, err
	}
	return e.run(ctx, v, items, fromWords)
}

func (e *Encoder) softItems(soft []*Soft) ([]item, error) {
	if len(soft) == 0 {
		return nil, errors.New("encoder: no text to read")
	}
	items := make([]item, len(soft))
	for i, s := range soft {
		if err := e.checkLength(s.Len()); err != nil {
			return nil, err
		}
		items[i] = item{at: i, text: s.Encoding, input: s.Embeds}
	}
	return items, nil
}

func (e *Encoder) checkLength(n int) error {
	if limit := e.limit(); n < 1 || limit > 0 && n > limit {
		return fmt.Errorf("encoder: %d tokens, model %s reads 1 to %d: %w", n, e.Model.Name, limit, ErrTooLong)
	}
	return nil
}

// Gradient returns, for each text, a loss of its final states and the loss's gradient [T, d] with respect to its word embeddings.
// loss gives the value and the gradient [T, d] with respect to the states, and is called once a text, in any order. A hook takes
// part by its pullback; whether it acts is held fixed.
func (e *Encoder) Gradient(ctx context.Context, v *Variant, soft []*Soft, loss func(i int, s *State) (float64, *mat.Dense, error)) ([]float64, []*mat.Dense, error) {
	items, err := e.softItems(soft)
	if err != nil {
		return nil, nil, err
	}
	layer, hooked, err := e.hookAt(v)
	if err != nil {
		return nil, nil, err
	}
	losses, grads := make([]float64, len(soft)), make([]*mat.Dense, len(soft))
	err = e.grouped(ctx, v, items, func(p *model.Params, part []item) error {
		inner := hooked && layer < e.Layers()
		sites := []model.Site{{Kind: model.LastHidden}}
		if inner {
			sites = append(sites, model.Site{Kind: model.ResidPre, Layer: layer})
		}
		at := make(map[int]*State)  // states that the hook read
		end := make(map[int]*State) // final states
		var again []item
		err := e.forward(ctx, p, part, fromWords, sites, func(it item, x []*mat.Dense) error {
			s := &State{Encoding: it.text, X: x[0]}
			end[it.at] = s
			switch {
			case inner:
				at[it.at] = &State{Encoding: it.text, X: x[1]}
				edited := &State{Encoding: it.text, X: x[1]}
				if err := v.apply(edited); err != nil {
					return err
				}
				if s.Acted = edited.Acted; s.Acted {
					again = append(again, item{at: it.at, text: it.text, input: edited.X})
				}
			case hooked:
				at[it.at] = &State{Encoding: it.text, X: x[0]}
				return v.apply(s)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(again) > 0 {
			err := e.forward(ctx, p, again, layer, sites[:1], func(it item, x []*mat.Dense) error {
				end[it.at].X = x[0]
				return nil
			})
			if err != nil {
				return err
			}
		}
		upstream := make(map[int]*mat.Dense)
		for _, it := range part {
			var g *mat.Dense
			if losses[it.at], g, err = loss(it.at, end[it.at]); err != nil {
				return err
			}
			upstream[it.at] = g
		}
		// back to the hook, through it, and on to the words
		last, first := sites[0], make(map[model.Site][]item)
		if len(again) > 0 {
			err := e.backward(ctx, p, again, layer, last, upstream, func(it item, g *mat.Dense) { upstream[it.at] = g })
			if err != nil {
				return err
			}
		}
		for _, it := range part {
			if !hooked || !end[it.at].Acted {
				first[last] = append(first[last], it)
				continue
			}
			g, err := v.Hook.Pullback(at[it.at].Text(), upstream[it.at])
			if err != nil {
				return fmt.Errorf("encoder: variant %s: %w", v.Name, err)
			}
			upstream[it.at] = g
			site := last
			if inner {
				site = sites[1]
			}
			first[site] = append(first[site], it)
		}
		for _, site := range sites {
			if len(first[site]) == 0 {
				continue
			}
			if err := e.backward(ctx, p, first[site], fromWords, site, upstream, func(it item, g *mat.Dense) { grads[it.at] = g }); err != nil {
				return err
			}
		}
		return nil
	})
	return losses, grads, err
}

// backward takes gradients [T, d] with respect to a site back to where items start, word embeddings or the states before a block.
func (e *Encoder) backward(ctx context.Context, p *model.Params, items []item, from int, site model.Site, upstream map[int]*mat.Dense, f func(it item, g *mat.Dense)) error {
	start := model.Site{Kind: model.Embed}
	if from > 0 {
		start = model.Site{Kind: model.ResidPre, Layer: from}
	}
	return e.batches(items, func(part []item, batch, seq int) error {
		plan := e.plan(batch, seq, from)
		plan.Objective, plan.GradSites = model.SiteDot(e.Model.Spec, site, batch, seq), []model.Site{start}
		program, err := e.Engine.Compile(e.Model.Spec, plan)
		if err != nil {
			return fmt.Errorf("encoder: %w", err)
		}
		in, free, err := e.inputs(part, batch, seq, from)
		if err != nil {
			return err
		}
		d := e.Width()
		weights := make([]float32, batch*seq*d)
		for r, it := range part {
			g := upstream[it.at]
			if rows, c := g.Dims(); rows != it.text.Len() || c != d {
				return errors.Join(fmt.Errorf("encoder: gradient [%d, %d] for a text of %d tokens and width %d", rows, c, it.text.Len(), d), free())
			}
			for i, w := range g.RawMatrix().Data {
				weights[r*seq*d+i] = float32(w)
			}
		}
		given := tensors.FromFlatDataAndDimensions(weights, batch, seq, d)
		in.Objective = map[string]*tensors.Tensor{"weights": given}
		out, err := program.Run(ctx, p, in)
		if err != nil {
			return errors.Join(fmt.Errorf("encoder: %w", err), free(), given.FinalizeAll())
		}
		values, err := tensors.CopyFlatData[float32](out.Grad(start))
		if err == nil {
			for r, it := range part {
				f(it, rowsOf(values, r, seq, it.text.Len(), d))
			}
		}
		return errors.Join(err, out.Free(), free(), given.FinalizeAll())
	})
}
