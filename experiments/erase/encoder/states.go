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

// batchRows is the number of texts that run together, and seqStep what lengths are rounded up to: programs are few.
const (
	batchRows = 16
	seqStep   = 8
)

// States returns the final states of texts.
func (e *Encoder) States(ctx context.Context, v *Variant, texts []string) ([]*State, error) {
	items, err := e.items(texts)
	if err != nil {
		return nil, err
	}
	return e.run(ctx, v, items, fromIDs)
}

// StatesAt returns the states of texts after so many blocks, before the variant's hook acts.
func (e *Encoder) StatesAt(ctx context.Context, v *Variant, layer int, texts []string) ([]*State, error) {
	site, err := e.Site(layer)
	if err != nil {
		return nil, err
	}
	items, err := e.items(texts)
	if err != nil {
		return nil, err
	}
	out := make([]*State, len(items))
	err = e.grouped(ctx, v, items, func(p *model.Params, part []item) error {
		return e.forward(ctx, p, part, fromIDs, []model.Site{site}, func(it item, x []*mat.Dense) error {
			out[it.at] = &State{Encoding: it.text, X: x[0]}
			return nil
		})
	})
	return out, err
}

// Embed returns one embedding a text [n, d]. Those of the original encoder are kept, for the fits of a study ask for the same
// prompts again and again.
func (e *Encoder) Embed(ctx context.Context, v *Variant, texts []string) (*mat.Dense, error) {
	if v != nil {
		states, err := e.States(ctx, v, texts)
		if err != nil {
			return nil, err
		}
		return e.Rows(states)
	}
	var missing []string
	for _, t := range texts {
		if _, in := e.kept[t]; !in {
			missing = append(missing, t)
		}
	}
	if len(missing) > 0 {
		states, err := e.States(ctx, nil, missing)
		if err != nil {
			return nil, err
		}
		if e.kept == nil {
			e.kept = make(map[string][]float64)
		}
		for i, s := range states {
			if e.kept[missing[i]], err = e.Pooled(s); err != nil {
				return nil, fmt.Errorf("encoder: %q: %w", missing[i], err)
			}
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("encoder: no text to embed")
	}
	out := mat.NewDense(len(texts), e.Width(), nil)
	for i, t := range texts {
		out.SetRow(i, e.kept[t])
	}
	return out, nil
}

// Rows are the embeddings [n, d] of states.
func (e *Encoder) Rows(states []*State) (*mat.Dense, error) {
	if len(states) == 0 {
		return nil, errors.New("encoder: no text to embed")
	}
	out := mat.NewDense(len(states), e.Width(), nil)
	for i, s := range states {
		row, err := e.Pooled(s)
		if err != nil {
			return nil, fmt.Errorf("encoder: text %d: %w", i, err)
		}
		out.SetRow(i, row)
	}
	return out, nil
}

// item is a text on its way through the encoder.
type item struct {
	at    int // in the caller's order
	text  token.Encoding
	input *mat.Dense // word embeddings or states of a layer [T, d]; nil: the ids
}

func (e *Encoder) items(texts []string) ([]item, error) {
	if len(texts) == 0 {
		return nil, errors.New("encoder: no text to read")
	}
	out := make([]item, len(texts))
	for i, s := range texts {
		t, err := e.Tokens(s)
		if err != nil {
			return nil, err
		}
		out[i] = item{at: i, text: t}
	}
	return out, nil
}

// fromIDs and fromWords start a pass at the ids or at given word embeddings; a number from 1 on at the states before that block.
const (
	fromIDs   = -1
	fromWords = 0
)

// run returns the final states of items that start at ids or word embeddings.
func (e *Encoder) run(ctx context.Context, v *Variant, items []item, from int) ([]*State, error) {
	layer, hooked, err := e.hookAt(v)
	if err != nil {
		return nil, err
	}
	sites := []model.Site{{Kind: model.LastHidden}}
	if hooked && layer < e.Layers() {
		sites = append(sites, model.Site{Kind: model.ResidPre, Layer: layer})
	}
	out := make([]*State, len(items))
	err = e.grouped(ctx, v, items, func(p *model.Params, part []item) error {
		var again []item // texts that the hook changed between two layers
		err := e.forward(ctx, p, part, from, sites, func(it item, x []*mat.Dense) error {
			s := &State{Encoding: it.text, X: x[0]}
			out[it.at] = s
			if !hooked {
				return nil
			}
			if layer == e.Layers() {
				return v.apply(s)
			}
			inner := &State{Encoding: it.text, X: x[1]}
			if err := v.apply(inner); err != nil {
				return err
			}
			if s.Acted = inner.Acted; s.Acted {
				again = append(again, item{at: it.at, text: it.text, input: inner.X})
			}
			return nil
		})
		if err != nil || len(again) == 0 {
			return err
		}
		return e.forward(ctx, p, again, layer, sites[:1], func(it item, x []*mat.Dense) error {
			out[it.at].X = x[0]
			return nil
		})
	})
	return out, err
}

// grouped hands items to f with their weights: all at once, or one by one where the weights depend on the text. Texts that keep the
// shared weights go together, in batches as without a variant, so that they keep their bits too.
func (e *Encoder) grouped(ctx context.Context, v *Variant, items []item, f func(p *model.Params, part []item) error) error {
	shared := e.params(v)
	if v == nil || v.PerText == nil {
		return f(shared, items)
	}
	var same []item
	for i := range items {
		p, err := v.PerText(ctx, items[i].text)
		if err != nil {
			return fmt.Errorf("encoder: variant %s: %w", v.Name, err)
		}
		if p == shared {
			same = append(same, items[i])
			continue
		}
		if err := errors.Join(f(p, items[i:i+1]), p.FreeUnshared(shared)); err != nil {
			return err
		}
	}
	if len(same) == 0 {
		return nil
	}
	return f(shared, same)
}

// bucket is a padded length.
func (e *Encoder) bucket(n int) int {
	seq := (n + seqStep - 1) / seqStep * seqStep
	if limit := e.limit(); limit > 0 {
		seq = min(seq, limit)
	}
	return seq
}

// batches calls f for items of one padded length, up to batchRows at a time; batch is 1 for a single item.
func (e *Encoder) batches(items []item, f func(part []item, batch, seq int) error) error {
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, func(a, b item) int { return e.bucket(a.text.Len()) - e.bucket(b.text.Len()) })
	for lo := 0; lo < len(sorted); {
		seq := e.bucket(sorted[lo].text.Len())
		hi := lo + 1
		for hi < len(sorted) && hi-lo < batchRows && e.bucket(sorted[hi].text.Len()) == seq {
			hi++
		}
		batch := batchRows
		if len(items) == 1 {
			batch = 1
		}
		if err := f(sorted[lo:hi], batch, seq); err != nil {
			return err
		}
		lo = hi
	}
	return nil
}

// forward runs items from a start and hands each with its values at sites to f.
func (e *Encoder) forward(ctx context.Context, p *model.Params, items []item, from int, sites []model.Site, f func(it item, x []*mat.Dense) error) error {
	return e.batches(items, func(part []item, batch, seq int) error {
		plan := e.plan(batch, seq, from)
		for _, s := range sites {
			plan.Captures = append(plan.Captures, model.Capture{Site: s})
		}
		program, err := e.Engine.Compile(e.Model.Spec, plan)
		if err != nil {
			return fmt.Errorf("encoder: %w", err)
		}
		in, free, err := e.inputs(part, batch, seq, from)
		if err != nil {
			return err
		}
		out, err := program.Run(ctx, p, in)
		if err != nil {
			return errors.Join(fmt.Errorf("encoder: %w", err), free())
		}
		err = func() error {
			values := make([][]float32, len(sites))
			for i, s := range sites {
				if values[i], err = tensors.CopyFlatData[float32](out.Site(s)); err != nil {
					return fmt.Errorf("encoder: site %s: %w", s, err)
				}
			}
			for r, it := range part {
				x := make([]*mat.Dense, len(sites))
				for i := range sites {
					x[i] = rowsOf(values[i], r, seq, it.text.Len(), e.Width())
				}
				if err := f(it, x); err != nil {
					return err
				}
			}
			return nil
		}()
		return errors.Join(err, out.Free(), free())
	})
}

func (e *Encoder) plan(batch, seq, from int) model.Plan {
	p := model.Plan{Batch: batch, Seq: seq, Storage: e.Model.Params.Storage()}
	switch {
	case from == fromWords:
		p.Embeds = true
	case from > 0:
		p.From = from
	}
	return p
}

// inputs pads items to [batch, seq]; rows beyond the last repeat it.
func (e *Encoder) inputs(part []item, batch, seq, from int) (in model.Inputs, free func() error, err error) {
	in = model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq), Types: make([]int32, batch*seq)}
	d := e.Width()
	var given []float32
	if from != fromIDs {
		given = make([]float32, batch*seq*d)
	}
	for r := range batch {
		it := part[min(r, len(part)-1)]
		for t, id := range it.text.IDs {
			in.IDs[r*seq+t], in.Mask[r*seq+t], in.Types[r*seq+t] = id, 1, it.text.TypeIDs[t]
		}
		if given == nil {
			continue
		}
		if rows, c := it.input.Dims(); rows != it.text.Len() || c != d {
			return in, nil, fmt.Errorf("encoder: states [%d, %d] for a text of %d tokens and width %d", rows, c, it.text.Len(), d)
		}
		for i, v := range it.input.RawMatrix().Data {
			given[r*seq*d+i] = float32(v)
		}
	}
	if given == nil {
		return in, func() error { return nil }, nil
	}
	in.Input = tensors.FromFlatDataAndDimensions(given, batch, seq, d)
	return in, in.Input.FinalizeAll, nil
}

// rowsOf are the first n tokens of row r of values [b, seq, d].
func rowsOf(values []float32, r, seq, n, d int) *mat.Dense {
	out := mat.NewDense(n, d, nil)
	to := out.RawMatrix().Data
	for i, v := range values[r*seq*d : r*seq*d+n*d] {
		to[i] = float64(v)
	}
	return out
}
