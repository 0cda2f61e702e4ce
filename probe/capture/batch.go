package capture

import (
	"fmt"
	"hash/fnv"
	"math"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
	"loupe/probe/store"
)

// inputs returns the batch as the model's input. Empty rows hold one padding token that counts as real, so that no
// attention is over nothing; nobody reads them.
func (x *batch) inputs(spec *model.Spec, columns []column, packed bool) model.Inputs {
	n := x.b * x.t
	in := model.Inputs{IDs: make([]int32, n), Mask: make([]int32, n), Types: make([]int32, n)}
	if spec.PadID > 0 && spec.PadID < spec.Vocab {
		for i := range in.IDs {
			in.IDs[i] = int32(spec.PadID)
		}
	}
	for row := range x.b {
		at := row * x.t
		if row >= len(x.seqs) {
			in.Mask[at] = 1
			continue
		}
		for i, c := range x.seqs[row].cells {
			in.IDs[at+i], in.Mask[at+i] = c.id, 1
			if !packed && spec.TypeVocab > 0 {
				in.Types[at+i] = c.segment
			}
		}
	}
	for _, c := range columns {
		if c.capture.Reduce == model.Gathered && in.Gather == nil {
			in.Gather = make([]int32, x.b*gathered)
			for row, s := range x.seqs {
				in.Gather[row*gathered+1] = int32(len(s.cells) - 1)
			}
		}
	}
	return in
}

// rows returns the token rows of the batch without their activations.
func (x *batch) rows(docs []store.Doc, special string) store.Rows {
	n := x.tokens()
	r := store.Rows{
		Doc: make([]int64, 0, n), Pos: make([]int32, 0, n), Seq: make([]int32, 0, n), Segment: make([]int32, 0, n), Token: make([]int32, 0, n),
		CharStart: make([]int32, 0, n), CharEnd: make([]int32, 0, n), Special: make([]bool, 0, n), Take: make([]int32, 0, n),
	}
	for row, s := range x.seqs {
		for pos, c := range s.cells {
			if c.special && special == Exclude {
				continue
			}
			r.Doc = append(r.Doc, docs[c.doc].ID)
			r.Pos = append(r.Pos, int32(pos))
			r.Seq = append(r.Seq, s.seq)
			r.Segment = append(r.Segment, c.segment)
			r.Token = append(r.Token, c.id)
			r.CharStart = append(r.CharStart, c.start)
			r.CharEnd = append(r.CharEnd, c.end)
			r.Special = append(r.Special, c.special)
			r.Take = append(r.Take, int32(row*x.t+pos))
		}
	}
	return r
}

// examples returns the example rows of the batch without their activations.
func (x *batch) examples(docs []store.Doc) store.Examples {
	var e store.Examples
	for _, s := range x.seqs {
		d := docs[s.cells[0].doc]
		e.Doc = append(e.Doc, d.ID)
		e.Pair = append(e.Pair, pairID(d))
	}
	return e
}

// pairID is a number that the documents of a pair share: a hash of the group and of the label "pair", which the text
// package gives to counterfactual pairs. It is 0 for documents without that label.
func pairID(d store.Doc) int64 {
	pair, ok := d.Labels["pair"]
	if !ok {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %q", d.Group, pair)
	return int64(h.Sum64() & math.MaxInt64)
}

// withViews calls use with the flat data of every capture, in their order. The views end when use returns. A tensor is
// locked while it is viewed: a capture that several columns read must be listed once.
func withViews(out *model.Outputs, captures []model.Capture, views [][]float32, use func([][]float32) error) error {
	if len(captures) == len(views) {
		return use(views)
	}
	c := captures[len(views)]
	t := out.Capture(c)
	if t == nil {
		return fmt.Errorf("capture: the model returned no value for site %s", c.Site)
	}
	var err error
	access := tensors.ConstFlatData(t, func(flat []float32) { err = withViews(out, captures, append(views, flat), use) })
	if access != nil {
		return fmt.Errorf("capture: read site %s: %w", c.Site, access)
	}
	return err
}

// exampleValues copies the values of the first n sequences [n, d] out of an output [b, d] or, where positions were
// gathered, [b, 2, d].
func exampleValues(c column, flat []float32, n int) []float32 {
	d := c.site.Dim()
	if c.capture.Reduce != model.Gathered {
		return flat[:n*d]
	}
	out := make([]float32, n*d)
	for i := range n {
		copy(out[i*d:(i+1)*d], flat[(i*gathered+c.at)*d:])
	}
	return out
}
