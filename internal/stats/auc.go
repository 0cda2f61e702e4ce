package stats

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mathext"
)

// AUC returns the area under the ROC curve: the chance that a positive example scores above a negative one, ties counted
// half. scores and positive are [n]; it needs an example of each class.
func AUC(scores []float64, positive []bool) (float64, error) {
	pos, neg, err := classes(scores, positive, 1)
	if err != nil {
		return 0, err
	}
	rank, _ := ranks(append(pos[:len(pos):len(pos)], neg...))
	m := float64(len(pos))
	return (sum(rank[:len(pos)]) - m*(m+1)/2) / (m * float64(len(neg))), nil
}

// AUCDeLong returns the AUC with DeLong's normal interval, cut to [0, 1]. The variance is that of the placements (the
// share of the other class that each example beats), by midranks in n log n (Sun and Xu 2014):
//
//	SE² = S_pos / n_pos + S_neg / n_neg
//
// Its coverage falls a few per cent short above an AUC of 0.9 in classes of a few dozen; AUCNewcombe's does not. It needs two
// examples a class, and fails with ErrDegenerate where the classes are separated, since its variance is 0 there.
func AUCDeLong(scores []float64, positive []bool, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	pos, neg, err := classes(scores, positive, 2)
	if err != nil {
		return Interval{}, err
	}
	m, n := len(pos), len(neg)
	all, _ := ranks(append(pos[:m:m], neg...))
	within, _ := ranks(pos)
	placement := make([]float64, m)
	for i := range placement {
		placement[i] = (all[i] - within[i]) / float64(n)
	}
	auc := mean(placement)
	se2 := variance(placement, auc) / float64(m)
	within, _ = ranks(neg)
	placement = make([]float64, n)
	for j := range placement {
		placement[j] = 1 - (all[m+j]-within[j])/float64(m)
	}
	se2 += variance(placement, mean(placement)) / float64(n)
	if auc == 0 || auc == 1 || se2 == 0 {
		return Interval{}, fmt.Errorf("stats: DeLong's interval of an AUC of %v whose variance is 0: %w; use AUCNewcombe", auc, ErrDegenerate)
	}
	se := math.Sqrt(se2)
	half := mathext.NormalQuantile((1+level)/2) * se
	return Interval{Value: auc, SE: se, Low: max(0, auc-half), High: min(1, auc+half), Level: level, N: m + n}, nil
}

// AUCNewcombe returns the AUC with Newcombe's interval (method 5 of his part 2), which has the right width at 0 and 1 too.
// Its ends are the theta with |AUC - theta| = z sqrt(V(theta)), where V is the variance of Hanley and McNeil (1982) with
// both class sizes replaced by their mean N* in the bracket:
//
//	V(theta) = theta (1-theta) (1 + (N*-1) ((1-theta)/(2-theta) + theta/(1+theta))) / (m n)
func AUCNewcombe(scores []float64, positive []bool, level float64) (Interval, error) {
	if err := checkLevel(level); err != nil {
		return Interval{}, err
	}
	auc, err := AUC(scores, positive)
	if err != nil {
		return Interval{}, err
	}
	m := 0
	for _, p := range positive {
		if p {
			m++
		}
	}
	n := len(positive) - m
	z := mathext.NormalQuantile((1 + level) / 2)
	beyond := func(theta float64) bool { // whether theta is further off than z standard deviations
		v := theta * (1 - theta) * (1 + (float64(m+n)/2-1)*((1-theta)/(2-theta)+theta/(1+theta))) / (float64(m) * float64(n))
		return math.Abs(auc-theta) > z*math.Sqrt(v)
	}
	end := func(outside float64) float64 {
		inside := auc
		for range 80 {
			middle := (inside + outside) / 2
			if beyond(middle) {
				outside = middle
			} else {
				inside = middle
			}
		}
		return inside
	}
	return Interval{Value: auc, Low: end(0), High: end(1), Level: level, N: m + n}, nil
}

// AUCBootstrap returns the AUC with a bootstrap interval in which each class keeps its size. Where the classes are separated
// every replicate is the same; AUCNewcombe has an interval there.
func AUCBootstrap(ctx context.Context, scores []float64, positive []bool, cfg BootstrapConfig) (BootstrapResult, error) {
	if _, _, err := classes(scores, positive, 2); err != nil {
		return BootstrapResult{}, err
	}
	stratum := make([]int, len(positive))
	for i, p := range positive {
		if p {
			stratum[i] = 1
		}
	}
	return BootstrapStrata(ctx, stratum, drawnAUC(scores, positive), cfg)
}

// drawnAUC is the AUC of a resample. The scores are sorted once; a resample is then counted in one pass.
func drawnAUC(scores []float64, positive []bool) Statistic {
	order := ascending(scores)
	times := make([]int, len(scores))
	return func(index []int) float64 {
		clear(times)
		for _, i := range index {
			times[i]++
		}
		var wins2, seen, m int // wins2 counts pairs twice, so that ties stay whole numbers
		for from := 0; from < len(order); {
			var pos, neg int
			to := from
			for ; to < len(order) && scores[order[to]] == scores[order[from]]; to++ {
				if positive[order[to]] {
					pos += times[order[to]]
				} else {
					neg += times[order[to]]
				}
			}
			wins2 += pos * (2*seen + neg)
			seen += neg
			m += pos
			from = to
		}
		return float64(wins2) / (2 * float64(m) * float64(seen))
	}
}

func classes(scores []float64, positive []bool, least int) (pos, neg []float64, err error) {
	if err := checkLengths("scores", len(scores), "positive", len(positive)); err != nil {
		return nil, nil, err
	}
	if err := checkOrdered("scores", scores); err != nil {
		return nil, nil, err
	}
	for i, s := range scores {
		if positive[i] {
			pos = append(pos, s)
		} else {
			neg = append(neg, s)
		}
	}
	if err := checkCount("the positive class", len(pos), least); err != nil {
		return nil, nil, err
	}
	if err := checkCount("the negative class", len(neg), least); err != nil {
		return nil, nil, err
	}
	return pos, neg, nil
}
