package itd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/stats"
	"loupe/probe"
)

// The gates that are compared.
const (
	byMax     = "largest token"
	byMean    = "mean of tokens"
	byPadded  = "mean with padding"
	published = "largest, applied to mean with padding"
	byProbe   = "linear probe"
)

// scored are the scores of one concept's texts by each gate.
type scored struct {
	fit, held map[string][]float64 // of the fitting prompts of the concept; of the held-out texts
	remain    map[string][]float64 // of what is kept while fitting
	concept   []bool               // of the held-out texts
}

// gates compares the statistics by which ItD's gate may open, and a plain linear probe. Thresholds are the published ones, a margin below the
// least score of a fitting prompt; the probe's lies as far above what is kept as it can.
func (u *subject) gates(ctx context.Context) error {
	var all []*scored
	for _, t := range u.tasks {
		s, err := u.score(ctx, t)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	table := report.Table{Caption: fmt.Sprintf("Gates: a threshold from the fitting prompts alone, rates on held-out texts of %d concepts", len(all)),
		Columns: []report.Column{{Name: "score"}, {Name: "TPR"}, {Name: "FPR"}, {Name: "AUROC", Doc: "mean over concepts"}}}
	for _, name := range []string{byMax, byMean, byPadded, published, byProbe} {
		var tpr, fpr erase.Share
		auc := 0.0
		for _, s := range all {
			calibrate := name
			apply := name
			if name == published {
				calibrate, apply = byMax, byPadded
			}
			gate := erase.Gate{Threshold: u.c.ITD.Margin * slices.Min(s.fit[calibrate])}
			if name == byProbe {
				scores := append(slices.Clone(s.fit[name]), s.remain[name]...)
				var err error
				if gate, err = erase.CalibrateGate(scores, marks(len(s.fit[name]), len(scores)), 0); err != nil {
					return err
				}
			}
			rates, err := gate.Rates(s.held[apply], s.concept, lab.Level)
			if err != nil {
				return err
			}
			tpr, fpr = erase.Share{Hits: tpr.Hits + rates.TPR.Hits, N: tpr.N + rates.TPR.N}, erase.Share{Hits: fpr.Hits + rates.FPR.Hits, N: fpr.N + rates.FPR.N}
			auc += rates.AUC.Value / float64(len(all))
		}
		row := []any{name}
		for k, share := range []erase.Share{tpr, fpr} {
			i, err := stats.Wilson(share.Hits, share.N, lab.Level)
			if err != nil {
				return err
			}
			row = append(row, lab.Cell(i))
			u.s.Interval("gate."+map[string]string{byMax: "max", byMean: "mean", byPadded: "padded", published: "published", byProbe: "probe"}[name]+[]string{".tpr", ".fpr"}[k], i)
		}
		table.Rows = append(table.Rows, append(row, auc))
	}
	u.s.Table("gates", table)
	return nil
}

// marks are true for the first of n.
func marks(first, n int) []bool {
	out := make([]bool, n)
	for i := range first {
		out[i] = true
	}
	return out
}

// score scores a concept's texts by every gate.
func (u *subject) score(ctx context.Context, t *method.Task) (*scored, error) {
	v, err := u.fit(ctx, t)
	if err != nil {
		return nil, err
	}
	hook := v.Hook.(*erase.ITD)
	out := &scored{fit: map[string][]float64{}, held: map[string][]float64{}, remain: map[string][]float64{}}
	with, without := heldOut(t)
	out.concept = marks(len(with), len(with)+len(without))
	held, err := u.e.StatesAt(ctx, nil, v.Layer, append(with, without...))
	if err != nil {
		return nil, err
	}
	fitting := method.Prompts(t.Erase)
	states, err := u.e.StatesAt(ctx, nil, v.Layer, append(append(slices.Clone(fitting), t.Preserved()...), t.Benign...))
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		to     map[string][]float64
		states []*encoder.State
	}{{out.fit, states[:len(fitting)]}, {out.held, held}} {
		for _, s := range part.states {
			d, err := hook.Deactivate(u.pad(s))
			if err != nil {
				return nil, err
			}
			for name, v := range map[string]float64{byMax: d.Score, byMean: d.MeanScore, byPadded: d.PaddedMean} {
				part.to[name] = append(part.to[name], v)
			}
		}
	}
	return out, u.probe(ctx, out, states, len(fitting), held)
}

// pad repeats the last token, as the states of padding would stand there.
func (u *subject) pad(s *encoder.State) erase.Text {
	n, d := s.X.Dims()
	if n >= u.c.Padded {
		return s.Text()
	}
	x := mat.NewDense(u.c.Padded, d, nil)
	for i := range u.c.Padded {
		x.SetRow(i, s.X.RawRowView(min(i, n-1)))
	}
	return erase.Text{X: x, Length: n}
}

// probe scores by a logistic probe of the mean state, fitted on the texts that the gate was calibrated on.
func (u *subject) probe(ctx context.Context, out *scored, states []*encoder.State, with int, held []*encoder.State) error {
	rows := func(list []*encoder.State) (probe.Rows, error) {
		m := mat.NewDense(len(list), u.e.Width(), nil)
		for i, s := range list {
			n, d := s.X.Dims()
			for t := range n {
				for j := range d {
					m.Set(i, j, m.At(i, j)+s.X.At(t, j)/float64(n))
				}
			}
		}
		return probe.RowsOf(m)
	}
	x, err := rows(states)
	if err != nil {
		return err
	}
	fitted, err := probe.Logistic(ctx, x, []probe.Target{probe.NewBinary("concept", marks(with, len(states)))}, probe.DefaultLogistic())
	if err != nil {
		return err
	}
	scores, err := fitted[0].Scores(x)
	if err != nil {
		return err
	}
	out.fit[byProbe], out.remain[byProbe] = scores[:with], scores[with:]
	if x, err = rows(held); err != nil {
		return err
	}
	out.held[byProbe], err = fitted[0].Scores(x)
	return err
}

func (u *subject) fit(ctx context.Context, t *method.Task) (*encoder.Variant, error) {
	m, err := method.Find("itd")
	if err != nil {
		return nil, err
	}
	return m.Fit(ctx, u.e, t, &u.c.ITD)
}

// speed times the encoder on texts that are not erased and on texts that are, without and with the hook, in turns, and the hook alone.
func (u *subject) speed(ctx context.Context) error {
	t := u.tasks[0]
	v, err := u.fit(ctx, t)
	if err != nil {
		return err
	}
	with, without := heldOut(t)
	with = slices.Concat(with, with, with, with)
	table := report.Table{Caption: fmt.Sprintf("Seconds for 64 texts, medians of %d rounds in turns", u.c.Rounds),
		Columns: []report.Column{{Name: "texts"}, {Name: "encoder"}, {Name: "with the hook"}, {Name: "hook alone"}, {Name: "hook / encoder"}}}
	for _, set := range []struct {
		name  string
		texts []string
	}{{"benign", without[:min(64, len(without))]}, {"concept", slices.Repeat(with, 4)[:64]}} {
		states, err := u.e.StatesAt(ctx, nil, v.Layer, set.texts)
		if err != nil {
			return err
		}
		var seconds [3][]float64
		for range u.c.Rounds + 1 { // the first is not counted
			for k, do := range []func() error{
				func() error { _, err := u.e.States(ctx, nil, set.texts); return err },
				func() error { _, err := u.e.States(ctx, v, set.texts); return err },
				func() error {
					for _, s := range states {
						if _, _, err := v.Hook.Apply(s.Text()); err != nil {
							return err
						}
					}
					return nil
				},
			} {
				start := time.Now()
				if err := do(); err != nil {
					return err
				}
				seconds[k] = append(seconds[k], time.Since(start).Seconds())
			}
		}
		var median [3]float64
		for k := range seconds {
			median[k] = middle(seconds[k][1:])
		}
		table.Rows = append(table.Rows, []any{set.name, median[0], median[1], median[2], median[2] / median[0]})
		u.s.Value("speed."+set.name, median[2]/median[0])
		u.s.Value("speed."+set.name+"_all", median[1]/median[0])
	}
	u.s.Table("speed", table)
	return nil
}

func middle(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
