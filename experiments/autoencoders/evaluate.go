package autoencoders

import (
	"context"
	"fmt"

	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
)

// Evaluation is what a dictionary does to the held-out rows, special tokens left out.
type Evaluation struct {
	Name    string          `json:"name"`
	Method  string          `json:"method"`
	Seed    uint64          `json:"seed"`
	Result  sae.Result      `json:"result"`
	Density []float64       `json:"density"` // share of rows on which each latent is active
	Texts   *sae.TextErrors `json:"texts"`
}

// evaluator reads the held-out rows in the order of the store.
type evaluator struct {
	*experiment
	st   *store.Store
	rows []int64
	doc  []int64 // of each row
	d    int
	mean []float64
}

func (x *experiment) evaluator(ctx context.Context, st *store.Store) (*evaluator, error) {
	info, err := st.Site(x.cfg.Site)
	if err != nil {
		return nil, err
	}
	set, err := st.Select(ctx, store.Select{Split: text.HeldOut, ExcludeSpecial: true, FromPos: int32(x.cfg.Text.FromPos)})
	if err != nil {
		return nil, err
	}
	e := &evaluator{experiment: x, st: st, rows: set.Append(nil, 0, int(set.Len())), d: info.Dim()}
	if len(e.rows) == 0 {
		return nil, fmt.Errorf("autoencoders: store %s has no held-out rows; raise text.corpus.held_out", st.Dir())
	}
	meta, err := st.TokenRows(e.rows)
	if err != nil {
		return nil, err
	}
	for _, m := range meta {
		e.doc = append(e.doc, m.Doc)
	}
	e.mean = make([]float64, e.d)
	err = e.each(ctx, func(_ []int64, v []float32) error {
		for i, value := range v {
			e.mean[i%e.d] += float64(value) / float64(len(e.rows))
		}
		return nil
	})
	return e, err
}

// each hands out the held-out rows, [n, d], with the document of each, in pieces of up to 2,048.
func (e *evaluator) each(ctx context.Context, use func(doc []int64, x []float32) error) error {
	const piece = 2048
	x := make([]float32, piece*e.d)
	for lo := 0; lo < len(e.rows); lo += piece {
		if err := ctx.Err(); err != nil {
			return err
		}
		hi := min(lo+piece, len(e.rows))
		part := x[:(hi-lo)*e.d]
		if err := e.st.Gather(part, e.cfg.Site, e.rows[lo:hi]); err != nil {
			return err
		}
		if err := use(e.doc[lo:hi], part); err != nil {
			return err
		}
	}
	return nil
}

// evaluate measures a dictionary; a finished one is read back.
func (e *evaluator) evaluate(ctx context.Context, d dictionary) (*Evaluation, error) {
	return lab.Step(e.Dir, "evaluate-"+d.name, func() (*Evaluation, error) {
		dict, free, err := d.open()
		if err != nil {
			return nil, err
		}
		defer free()
		m, t := sae.NewMetrics(e.d, d.width), sae.NewTextErrors(e.mean)
		bar := e.Progress("evaluate "+d.name, "rows", int64(len(e.rows)))
		defer bar.Done()
		err = e.each(ctx, func(doc []int64, x []float32) error {
			lat, y, err := dict.Reconstruct(ctx, x)
			if err != nil {
				return err
			}
			bar.Add(int64(len(doc)))
			if err := m.Add(x, y, lat); err != nil {
				return err
			}
			return t.Add(doc, x, y, lat)
		})
		if err != nil {
			return nil, err
		}
		r := m.Result()
		return &Evaluation{Name: d.name, Method: d.method, Seed: d.seed, Result: r, Density: r.Density, Texts: t}, nil
	})
}
