package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// Reduction says how a text's tokens become one row.
type Reduction string

// The reductions: the mean over the tokens that are not special, or the last of them.
const (
	MeanToken Reduction = "mean"
	LastToken Reduction = "last"
)

// ReadOptions say how texts are read.
type ReadOptions struct {
	Batch int                                         // texts that run together; 0: 32
	Edit  func(batch, seq int) (*vectors.Edit, error) // what is done to the model meanwhile; nil: nothing
	// Skip leaves so many of the first tokens out of what Read gives: in many decoders they take the attention sink, with
	// norms of a hundred times the others', so that a mean over all tokens tells little but how many there are.
	Skip int
}

// TextRows is a text with what the model has at its tokens.
type TextRows struct {
	token.Encoding
	// Rows are the sites' values: [tokens, d], or [1, d] at a site that has one value a text.
	Rows []*mat.Dense
}

// Read runs texts through the model and returns at each site one row a text [n, d]. All texts share one padded length, so
// that one program serves them: it is for short texts, and for a corpus there is Capture.
func (l *Lab) Read(ctx context.Context, texts []string, sites []model.Site, reduce Reduction, opt ReadOptions) ([]*mat.Dense, error) {
	out := make([]*mat.Dense, len(sites))
	err := l.EachText(ctx, texts, sites, opt, func(i int, t TextRows) error {
		for s, rows := range t.Rows {
			_, d := rows.Dims()
			if out[s] == nil {
				out[s] = mat.NewDense(len(texts), d, nil)
			}
			left := slices.Clone(t.Special)
			for at := range min(opt.Skip, len(left)) {
				left[at] = true
			}
			if err := reduceRows(out[s].RawRowView(i), rows, left, reduce); err != nil {
				return fmt.Errorf("lab: text %d: %w", i, err)
			}
		}
		return nil
	})
	return out, err
}

// EachText runs texts through the model and hands each, in order, with its sites to f.
func (l *Lab) EachText(ctx context.Context, texts []string, sites []model.Site, opt ReadOptions, f func(i int, t TextRows) error) (err error) {
	encoded, seq, err := l.encode(texts)
	if err != nil {
		return err
	}
	batch := opt.Batch
	if batch == 0 {
		batch = 32
	}
	plan := model.Plan{Batch: batch, Seq: seq}
	for _, s := range sites {
		plan.Captures = append(plan.Captures, model.Capture{Site: s})
	}
	var edits []map[string]*tensors.Tensor
	if opt.Edit != nil {
		made, err := opt.Edit(batch, seq)
		if err != nil {
			return err
		}
		plan.Edits, edits = []model.Edit{made.Class}, []map[string]*tensors.Tensor{made.Values}
	}
	program, err := l.Engine.Compile(l.Model.Spec, plan)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	for lo := 0; lo < len(texts); lo += batch {
		part := encoded[lo:min(lo+batch, len(texts))]
		in := Pack(part, batch, seq)
		in.Edits = edits
		if err := l.readBatch(ctx, program, in, part, sites, seq, func(r int, t TextRows) error { return f(lo+r, t) }); err != nil {
			return err
		}
	}
	return nil
}

// encode tokenises texts and returns their padded length.
func (l *Lab) encode(texts []string) ([]token.Encoding, int, error) {
	if len(texts) == 0 {
		return nil, 0, errors.New("lab: there is no text to read")
	}
	var out []token.Encoding
	longest := 0
	for i, t := range texts {
		e, err := l.Tokenizer.Encode(t, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, 0, fmt.Errorf("lab: text %d: %w", i, err)
		}
		if e.Len() == 0 {
			return nil, 0, fmt.Errorf("lab: text %d has no tokens", i)
		}
		out, longest = append(out, e), max(longest, e.Len())
	}
	limit := l.Model.Spec.MaxPos
	if limit > 0 && longest > limit {
		return nil, 0, fmt.Errorf("lab: a text has %d tokens; model %s reads %d", longest, l.Model.Name, limit)
	}
	seq := (longest + 7) / 8 * 8
	if limit > 0 {
		seq = min(seq, limit)
	}
	return out, seq, nil
}

// Pack pads encodings to [batch, seq]; rows beyond the last repeat it.
func Pack(part []token.Encoding, batch, seq int) model.Inputs {
	in := model.Inputs{IDs: make([]int32, batch*seq), Mask: make([]int32, batch*seq), Types: make([]int32, batch*seq)}
	for r := range batch {
		e := part[min(r, len(part)-1)]
		for i, id := range e.IDs {
			in.IDs[r*seq+i], in.Mask[r*seq+i], in.Types[r*seq+i] = id, 1, e.TypeIDs[i]
		}
	}
	return in
}

func (l *Lab) readBatch(ctx context.Context, p *model.Program, in model.Inputs, part []token.Encoding, sites []model.Site, seq int, f func(r int, t TextRows) error) (err error) {
	out, err := p.Run(ctx, l.Model.Params, in)
	if err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	values, widths, tokens := make([][]float32, len(sites)), make([]int, len(sites)), make([]bool, len(sites))
	for s, site := range sites {
		if values[s], err = tensors.CopyFlatData[float32](out.Site(site)); err != nil {
			return fmt.Errorf("lab: site %s: %w", site, err)
		}
		tokens[s] = strings.Contains(site.Kind.Axes(), "t")
		widths[s] = len(values[s]) / (len(in.IDs) / seq)
		if tokens[s] {
			widths[s] /= seq
		}
	}
	for r, e := range part {
		t := TextRows{Encoding: e}
		for s, d := range widths {
			n, at := 1, r*d
			if tokens[s] {
				n, at = e.Len(), r*seq*d
			}
			rows := mat.NewDense(n, d, nil)
			for i, v := range values[s][at : at+n*d] {
				rows.RawMatrix().Data[i] = float64(v)
			}
			t.Rows = append(t.Rows, rows)
		}
		if err := f(r, t); err != nil {
			return err
		}
	}
	return nil
}

// reduceRows writes one row for a text's tokens.
func reduceRows(dst []float64, rows *mat.Dense, special []bool, reduce Reduction) error {
	n, _ := rows.Dims()
	if n == 1 && len(special) != 1 {
		copy(dst, rows.RawRowView(0))
		return nil
	}
	var plain []int
	for i, s := range special {
		if !s {
			plain = append(plain, i)
		}
	}
	if len(plain) == 0 {
		return errors.New("it has no tokens but special ones and those that are skipped")
	}
	switch reduce {
	case LastToken:
		plain = plain[len(plain)-1:]
	case MeanToken:
	default:
		return fmt.Errorf("reduction is %q; it is mean or last", reduce)
	}
	for _, i := range plain {
		for j, v := range rows.RawRowView(i) {
			dst[j] += v / float64(len(plain))
		}
	}
	return nil
}
