package probe

import (
	"context"
	"math"
)

// CrossValidation is what a method gets right on rows that its probes were not fitted on.
type CrossValidation struct {
	Metrics           // accuracy over all rows; AUC the mean over folds, whose scores have scales of their own
	Scores  []float64 // [labelled rows, outputs], each by the probe of the other folds
}

// CrossValidate fits a probe to each target without each fold in turn and scores the fold. Rows of one group stay in one
// fold, so that held-out means held out; intervals resample groups. All folds of all targets are fitted together.
func CrossValidate(ctx context.Context, m Method, x Rows, targets []Target, group []int, folds int, cfg IntervalConfig, seed uint64) ([]CrossValidation, error) {
	group = orEach(group, x.N)
	var parts [][][]int // [target][fold] rows
	var train []Target
	for _, t := range targets {
		if err := t.Check(x.N, 2); err != nil {
			return nil, err
		}
		fold, err := Folds(t, group, folds, seed)
		if err != nil {
			return nil, err
		}
		parts = append(parts, fold)
		for _, f := range fold {
			train = append(train, masked(t, f))
		}
	}
	fits, err := m.Fit(ctx, x, train, group, seed)
	if err != nil {
		return nil, err
	}
	out := make([]CrossValidation, len(targets))
	for i, t := range targets {
		k := t.Outputs()
		all, part := make([]float64, x.N*k), make([]int, x.N)
		for f, rows := range parts[i] {
			scores, err := fits[i*folds+f].Scores(x.Take(rows))
			if err != nil {
				return nil, err
			}
			for j, r := range rows {
				copy(all[r*k:(r+1)*k], scores[j*k:(j+1)*k])
				part[r] = f
			}
		}
		rows := t.Labelled()
		for _, r := range rows {
			out[i].Scores = append(out[i].Scores, all[r*k:(r+1)*k]...)
		}
		out[i].Metrics, err = evaluate(ctx, t.Take(rows), out[i].Scores, pick(group, rows), pick(part, rows), cfg, seed)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// masked is the target without labels on the given rows.
func masked(t Target, rows []int) Target {
	out := t
	if t.Task == Regression {
		out.Value = append([]float64(nil), t.Value...)
	} else {
		out.Class = append([]int(nil), t.Class...)
	}
	for _, r := range rows {
		if t.Task == Regression {
			out.Value[r] = math.NaN()
		} else {
			out.Class[r] = Unlabelled
		}
	}
	return out
}
