package erase

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
	"loupe/vectors"
)

// Gate lets an edit act only where a text's score reaches a threshold.
type Gate struct {
	Threshold float64 `json:"threshold"`
}

// Open tells whether the edit acts on a text of this score.
func (g Gate) Open(score float64) bool { return score >= g.Threshold }

// ROCPoint is a threshold with the rates of texts whose score reaches it.
type ROCPoint struct {
	Threshold float64 `json:"threshold"`
	TPR       float64 `json:"tpr"`
	FPR       float64 `json:"fpr"`
}

// ROC lists a point for each distinct score, largest first; concept says which texts hold the concept. Both kinds are needed.
func ROC(scores []float64, concept []bool) ([]ROCPoint, error) {
	order, positive, err := checkScores(scores, concept)
	if err != nil {
		return nil, err
	}
	var out []ROCPoint
	var hits, alarms int
	for k, i := range order {
		if concept[i] {
			hits++
		} else {
			alarms++
		}
		if k+1 == len(order) || scores[order[k+1]] != scores[i] {
			out = append(out, ROCPoint{scores[i], float64(hits) / float64(positive), float64(alarms) / float64(len(scores)-positive)})
		}
	}
	return out, nil
}

// CalibrateGate returns the gate that opens for most texts with the concept while it opens for at most maxFPR of the others, as
// far above the others' scores as that allows. Its rates are to be had from texts that it was not calibrated on: Gate.Rates.
func CalibrateGate(scores []float64, concept []bool, maxFPR float64) (Gate, error) {
	if !(maxFPR >= 0 && maxFPR < 1) {
		return Gate{}, fmt.Errorf("erase: max FPR is %v: %w; use a number from 0, below 1", maxFPR, vectors.ErrArgument)
	}
	curve, err := ROC(scores, concept)
	if err != nil {
		return Gate{}, err
	}
	best := ROCPoint{Threshold: math.Inf(1)}
	for _, p := range curve {
		if p.FPR <= maxFPR && p.TPR > best.TPR {
			best = p
		}
	}
	if best.TPR == 0 {
		return Gate{}, fmt.Errorf("erase: no threshold opens for a text with the concept and for at most %v of the others: %w; use a better score or a larger FPR", maxFPR, vectors.ErrArgument)
	}
	return Gate{best.Threshold}, nil
}

// GateRates are a gate's rates with intervals.
type GateRates struct {
	TPR Share          `json:"tpr"` // texts with the concept for which it opens
	FPR Share          `json:"fpr"` // others for which it does
	AUC stats.Interval `json:"auc"` // of the score, by Newcombe
}

// Rates counts over texts; level is that of the AUC's interval.
func (g Gate) Rates(scores []float64, concept []bool, level float64) (GateRates, error) {
	if _, _, err := checkScores(scores, concept); err != nil {
		return GateRates{}, err
	}
	var r GateRates
	for i, s := range scores {
		if concept[i] {
			r.TPR.add(g.Open(s))
		} else {
			r.FPR.add(g.Open(s))
		}
	}
	var err error
	if r.AUC, err = stats.AUCNewcombe(scores, concept, level); err != nil {
		return GateRates{}, fmt.Errorf("erase: gate: %w", err)
	}
	return r, nil
}

// Identical is the share of texts whose states [T, d] are the same bits before and after an edit.
func Identical(before, after []*mat.Dense) (Share, error) {
	if len(before) == 0 || len(before) != len(after) {
		return Share{}, fmt.Errorf("erase: %d texts before, %d after: %w", len(before), len(after), vectors.ErrShape)
	}
	var s Share
	for i := range before {
		s.add(slices.EqualFunc(flat(before[i]), flat(after[i]), func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }))
	}
	return s, nil
}

// checkScores returns the texts by falling score and how many hold the concept.
func checkScores(scores []float64, concept []bool) (order []int, positive int, err error) {
	if len(scores) != len(concept) {
		return nil, 0, fmt.Errorf("erase: %d scores for %d texts: %w", len(scores), len(concept), vectors.ErrShape)
	}
	if err := checkFinite("scores", scores); err != nil {
		return nil, 0, err
	}
	for i, c := range concept {
		order = append(order, i)
		if c {
			positive++
		}
	}
	if positive == 0 || positive == len(scores) {
		return nil, 0, fmt.Errorf("erase: %d of %d texts hold the concept: %w; give some of both kinds", positive, len(scores), vectors.ErrClasses)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
	return order, positive, nil
}
