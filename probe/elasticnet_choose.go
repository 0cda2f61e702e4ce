package probe

import (
	"context"
	"math"

	"gonum.org/v1/gonum/stat"
)

// FitElasticNet chooses a point of the elastic-net path by cross-validation: the largest penalty whose mean held-out
// loss is within one standard error of the least (Hastie, Tibshirani and Friedman, The Elements of Statistical
// Learning, 2009, section 7.10). Rows of one group stay in one fold. With MaxNonzero the path's last point is taken.
func FitElasticNet(ctx context.Context, x Rows, t Target, group []int, cfg ElasticNetConfig, seed uint64) (PathPoint, error) {
	path, err := ElasticNet(ctx, x, t, cfg)
	if err != nil {
		return PathPoint{}, err
	}
	if cfg.MaxNonzero > 0 {
		return path[len(path)-1], nil
	}
	const most = 5
	groups := len(gathered(pick(orEach(group, x.N), t.Labelled())))
	folds, err := Folds(t, group, min(most, groups), seed)
	if err != nil {
		return PathPoint{}, err
	}
	losses := make([][]float64, len(path)) // [point][fold]
	for _, fold := range folds {
		train := without(t.Labelled(), fold)
		points, err := ElasticNet(ctx, x.Take(train), t.Take(train), cfg)
		if err != nil {
			return PathPoint{}, err
		}
		test, want := x.Take(fold), t.Take(fold)
		for i, p := range path {
			scores, err := nearest(points, p.Lambda).Scores(test)
			if err != nil {
				return PathPoint{}, err
			}
			losses[i] = append(losses[i], meanLoss(want, scores))
		}
	}
	best, limit := math.Inf(1), math.Inf(1)
	for _, l := range losses {
		if m := stat.Mean(l, nil); m < best {
			best, limit = m, m+stat.StdErr(stat.StdDev(l, nil), float64(len(l)))
		}
	}
	for i, l := range losses {
		if stat.Mean(l, nil) <= limit {
			return path[i], nil
		}
	}
	return path[len(path)-1], nil
}

func orEach(group []int, n int) []int {
	if group == nil {
		return upTo(n)
	}
	return group
}

// nearest is the point of a path whose penalty is nearest on the log scale: folds have paths of their own.
func nearest(path []PathPoint, lambda float64) PathPoint {
	best, least := 0, math.Inf(1)
	for i, p := range path {
		if d := math.Abs(math.Log(p.Lambda / lambda)); d < least {
			best, least = i, d
		}
	}
	return path[best]
}

// meanLoss is the mean logistic loss of a binary target, or half the mean squared error of a regression.
func meanLoss(t Target, scores []float64) float64 {
	total := 0.0
	for i, s := range scores {
		if t.Task == Regression {
			total += (t.Value[i] - s) * (t.Value[i] - s) / 2
			continue
		}
		if t.Class[i] == 1 {
			s = -s
		}
		total += max(s, 0) + math.Log1p(math.Exp(-math.Abs(s)))
	}
	return total / float64(len(scores))
}
