package planted

import (
	"context"
	"fmt"
	"slices"

	"loupe/internal/report"
	"loupe/internal/study"
	"loupe/sae"
)

// agreement is how alike the dictionaries of two seeds are.
type agreement struct {
	A, B   int // seeds
	Cosine float64
	Shared float64 // share of the rows with a cosine of at least the limit
}

// stability compares the dictionaries that an architecture finds from different starts on different rows, pair by pair.
func (x *experiment) stability(ctx context.Context) error {
	c := x.cfg.Stability
	if len(c.Of) == 0 {
		return nil
	}
	t := report.Table{
		Caption: fmt.Sprintf("Dictionaries of %d seeds at F = %d: mean over rows of the cosine with the nearest row of the other seed, by pair", c.Seeds, c.Width),
		Columns: []report.Column{{Name: "architecture"}, {Name: "lowest pair"}, {Name: "mean"}, {Name: "highest pair"}, {Name: fmt.Sprintf("rows with %g", x.cfg.Cosine)}},
	}
	for _, label := range c.Of {
		pairs, err := study.Step(x.Session, "stability-"+label, func() ([]agreement, error) { return x.pairs(ctx, label) })
		if err != nil {
			return err
		}
		var cosines []float64
		var mean, shared float64
		for _, p := range pairs {
			cosines = append(cosines, p.Cosine)
			mean += p.Cosine / float64(len(pairs))
			shared += p.Shared / float64(len(pairs))
		}
		low, high := slices.Min(cosines), slices.Max(cosines)
		t.Rows = append(t.Rows, []any{label, low, mean, high, shared})
		x.Value("stability."+label+".lowest", low)
		x.Value("stability."+label+".mean", mean)
		x.Value("stability."+label+".highest", high)
	}
	x.Table("stability", t)
	return nil
}

// pairs trains an architecture from every seed and compares all pairs.
func (x *experiment) pairs(ctx context.Context, label string) ([]agreement, error) {
	a, err := x.cfg.called(label)
	if err != nil {
		return nil, err
	}
	var dictionaries [][]float32
	for seed := range x.cfg.Stability.Seeds {
		name := x.Dir().File(folder(label, x.cfg.Stability.Width, int64(seed)))
		s, err := sae.Load(name)
		if err != nil { // not trained yet
			rows, err := x.cfg.rows(int64(seed))
			if err != nil {
				return nil, err
			}
			if _, s, err = x.cfg.train(ctx, x.Backend(), a, x.cfg.Stability.Width, int64(seed), rows); err != nil {
				return nil, fmt.Errorf("%s, seed %d: %w", label, seed, err)
			}
			if err := s.Save(name, nil); err != nil {
				return nil, err
			}
		}
		dictionaries = append(dictionaries, s.WDec)
	}
	var out []agreement
	for i, p := range dictionaries {
		for j, q := range dictionaries[:i] {
			m, err := sae.MeasureStability(ctx, p, q, x.cfg.Data.Dim, x.cfg.Cosine)
			if err != nil {
				return nil, err
			}
			out = append(out, agreement{j, i, m.MeanMaxCosine, m.Shared})
		}
	}
	return out, nil
}
