package method

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/probe/train"
)

// lesson is a text whose reading is drawn to a target.
type lesson struct {
	text   token.Encoding
	embeds *mat.Dense // word embeddings [T, d] in place of the ids; nil: the ids
	target *mat.Dense // [r, o]
	weight float64    // negative: driven away
	place  []int      // the row of the empty text's reading that is taken from each of this one's rows; for guided teachers
}

// teacher trains some of an encoder's weights on lessons, by reader.Regress.
type teacher struct {
	*train.Trainer
	e          *encoder.Encoder
	reader     reader.Reader
	site       model.Site // whose states are read
	guided     bool       // by reader.Guided: the first lesson is the empty text
	batch, seq int
}

// newTeacher trains the named weights on texts of up to longest tokens, batch at a time.
func newTeacher(e *encoder.Encoder, r reader.Reader, names []string, longest, batch int, cfg train.Config) (*teacher, error) {
	t, err := train.New(e.Engine, e.Model, names, cfg)
	if err != nil {
		return nil, err
	}
	return &teacher{Trainer: t, e: e, reader: r, site: model.Site{Kind: model.LastHidden}, batch: batch, seq: (longest + 7) / 8 * 8}, nil
}

func (t *teacher) objective() *model.Objective {
	if t.guided {
		return reader.Guided(t.reader, t.site, t.batch, t.seq)
	}
	return reader.RegressAt(t.reader, t.site, t.batch, t.seq)
}

// inputs are the plan and inputs of up to a batch of lessons, all from ids or all from word embeddings.
func (t *teacher) inputs(lessons []lesson, queries *mat.Dense) (model.Plan, model.Inputs, error) {
	n, seq := t.batch, t.seq
	plan := model.Plan{Batch: n, Seq: seq, Embeds: lessons[0].embeds != nil, Storage: t.e.Model.Params.Storage(), Objective: t.objective()}
	if t.site.Kind.InBlock() {
		plan.To = t.site.Layer + 1
	}
	in := model.Inputs{IDs: make([]int32, n*seq), Mask: make([]int32, n*seq), Types: make([]int32, n*seq)}
	d := t.e.Width()
	var given []float32
	if plan.Embeds {
		given = make([]float32, n*seq*d)
	}
	targets, weights := make([]*mat.Dense, len(lessons)), make([]float64, len(lessons))
	for r := range n {
		l := lessons[min(r, len(lessons)-1)]
		if l.text.Len() > seq || (l.embeds != nil) != plan.Embeds {
			return plan, in, fmt.Errorf("method: a lesson of %d tokens in a batch of %d positions, from word embeddings %v", l.text.Len(), seq, l.embeds != nil)
		}
		for p, id := range l.text.IDs {
			in.IDs[r*seq+p], in.Mask[r*seq+p], in.Types[r*seq+p] = id, 1, l.text.TypeIDs[p]
		}
		if plan.Embeds {
			for i, v := range l.embeds.RawMatrix().Data {
				given[r*seq*d+i] = float32(v)
			}
		}
		if r < len(lessons) {
			targets[r], weights[r] = l.target, l.weight
		}
	}
	if plan.Embeds {
		in.Input = tensors.FromFlatDataAndDimensions(given, n, seq, d)
	}
	var err error
	if in.Objective, err = reader.Targets(t.reader, queries, targets, weights, n, seq); err != nil || !t.guided {
		return plan, in, err
	}
	rows := t.reader.Rows(seq)
	place := make([]float32, n*rows*rows)
	for i, l := range lessons {
		for k, at := range l.place {
			place[(i*rows+k)*rows+at] = 1
		}
	}
	in.Objective["place"] = tensors.FromFlatDataAndDimensions(place, n, rows, rows)
	return plan, in, nil
}

// gradients returns the sum of the lessons' losses and its gradients, whatever their number.
func (t *teacher) gradients(ctx context.Context, lessons []lesson, queries *mat.Dense) (float64, train.Gradients, error) {
	var total train.Gradients
	loss := 0.0
	for part := range slices.Chunk(lessons, t.batch) {
		plan, in, err := t.inputs(part, queries)
		if err != nil {
			return 0, nil, err
		}
		value, g, err := t.Gradients(ctx, plan, in)
		if err != nil {
			return 0, nil, err
		}
		loss += value
		if total == nil {
			total = g
		} else if err := total.Add(g, 1); err != nil {
			return 0, nil, err
		}
	}
	return loss, total, nil
}

// learn makes one step on the sum of the lessons' losses and returns that sum before it.
func (t *teacher) learn(ctx context.Context, lessons []lesson, queries *mat.Dense) (float64, error) {
	if len(lessons) == 0 {
		return 0, errors.New("method: no text to train on")
	}
	if len(lessons) <= t.batch {
		plan, in, err := t.inputs(lessons, queries)
		if err != nil {
			return 0, err
		}
		return t.Step(ctx, plan, in)
	}
	loss, g, err := t.gradients(ctx, lessons, queries)
	if err != nil {
		return 0, err
	}
	return loss, t.Apply(g)
}

// variant is the encoder with the trained weights.
func (t *teacher) variant(name string, notes map[string]any) *encoder.Variant {
	return &encoder.Variant{Name: name, Params: t.Params(), Notes: notes}
}

// deck deals indices below n in random order, all of them before any comes again.
type deck struct {
	rng  *rand.Rand
	n    int
	left []int
}

func newDeck(n int, seed int64) *deck {
	return &deck{rng: rand.New(rand.NewPCG(uint64(seed), 0x6465636b)), n: n} // "deck"
}

func (d *deck) deal(k int) []int {
	out := make([]int, 0, k)
	for len(out) < min(k, d.n) {
		if len(d.left) == 0 {
			d.left = d.rng.Perm(d.n)
		}
		if i := d.left[0]; !slices.Contains(out, i) {
			out = append(out, i)
		}
		d.left = d.left[1:]
	}
	return out
}

// aligned gives each token of a text its place in another: what both begin and end with meets itself, the tokens between are spread
// over those between, and where there are none they all meet what follows, as the words of a text meet the padding of an empty one.
func aligned(from, to token.Encoding) []int {
	n, m := from.Len(), to.Len()
	head := 0
	for head < min(n, m) && from.IDs[head] == to.IDs[head] {
		head++
	}
	tail := 0
	for tail < min(n, m)-head && from.IDs[n-1-tail] == to.IDs[m-1-tail] {
		tail++
	}
	out := make([]int, n)
	inner, theirs := n-head-tail, m-head-tail
	for i := range out {
		switch {
		case i < head:
			out[i] = i
		case i >= n-tail:
			out[i] = m - n + i
		case theirs == 0:
			out[i] = min(head, m-1)
		default:
			out[i] = head + (i-head)*theirs/inner
		}
	}
	return out
}

// tokenwise tells whether a reading has a row for each token.
func tokenwise(r reader.Reader) bool { return r.Rows(2) == 2 && r.Rows(3) == 3 }

// placed are the rows of another text's reading at the places of this one's tokens; readings that do not go token by token stay.
func placed(r reader.Reader, from, to token.Encoding, reading *mat.Dense) *mat.Dense {
	if !tokenwise(r) {
		return reading
	}
	_, o := reading.Dims()
	out := mat.NewDense(from.Len(), o, nil)
	for i, k := range aligned(from, to) {
		out.SetRow(i, reading.RawRowView(k))
	}
	return out
}
