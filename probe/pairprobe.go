package probe

import (
	"context"
	"fmt"

	"loupe/vectors"
)

// PairProbe is CCS as a Function: a row holds a contrast pair, the statement put as true in its first half and as false in
// its second. The labels of the training rows decide nothing but which side means yes.
type PairProbe struct{ *CCS }

// Pairs joins the two sides into rows of twice the width.
func Pairs(yes, no Rows) (Rows, error) {
	if yes.N != no.N || yes.D != no.D {
		return Rows{}, fmt.Errorf("probe: pairs of %d x %d and %d x %d rows: %w", yes.N, yes.D, no.N, no.D, vectors.ErrShape)
	}
	out := Rows{N: yes.N, D: 2 * yes.D, Values: make([]float32, 0, 2*len(yes.Values))}
	for i := range yes.N {
		out.Values = append(append(out.Values, yes.Row(i)...), no.Row(i)...)
	}
	return out, nil
}

// FitPairProbe searches on all rows, labelled or not, and orients the probe by the labelled ones.
func FitPairProbe(ctx context.Context, x Rows, t Target, cfg CCSConfig, seed uint64) (PairProbe, error) {
	rows, err := classRows(x, t, 1)
	if err != nil {
		return PairProbe{}, fmt.Errorf("probe: CCS: %w", err)
	}
	if t.Task != Binary {
		return PairProbe{}, fmt.Errorf("probe: CCS: target %s is %s: %w; it needs a binary one", t.Name, t.Task, vectors.ErrArgument)
	}
	yes, no, err := halves(x)
	if err != nil {
		return PairProbe{}, err
	}
	c, err := FitCCS(ctx, yes, no, cfg, seed)
	if err != nil {
		return PairProbe{}, err
	}
	_, err = c.Orient(yes.Take(rows), no.Take(rows), t.Take(rows).Positive())
	return PairProbe{c}, err
}

func halves(x Rows) (yes, no Rows, err error) {
	if x.D%2 != 0 {
		return yes, no, fmt.Errorf("probe: CCS: rows of width %d do not hold pairs: %w; join the sides by Pairs", x.D, vectors.ErrShape)
	}
	first, second := upTo(x.D/2), upTo(x.D)[x.D/2:]
	return x.Columns(first), x.Columns(second), nil
}

// Outputs is 1.
func (p PairProbe) Outputs() int { return 1 }

// Scores returns CCS.Scores of the pairs.
func (p PairProbe) Scores(x Rows) ([]float64, error) {
	yes, no, err := halves(x)
	if err != nil {
		return nil, err
	}
	return p.CCS.Scores(yes, no)
}
