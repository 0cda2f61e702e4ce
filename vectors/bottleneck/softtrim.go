package bottleneck

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Trimmed is a class's vote and the weights of its concepts.
type Trimmed struct {
	Vote    float64
	Weights []float64 // sum to 1
	Kappa   float64   // how sharply concepts below the median are turned down
}

// The published constants: what counts as far from the median, and the bounds of kappa.
const (
	trimFar  = 2.5
	kappaLow = 0.1
	kappaTop = 4
)

// SoftTrim is the robust mean of one class's similarities s_j to its concepts (CGBC). With the median, the
// median absolute deviation MAD from it, and rho the share of concepts that lie more than 2.5 MAD away,
//
//	kappa = clamp(log((1-rho)/rho), 0.1, 4),   w_j = 1 / (1 + exp(-kappa (s_j - median) / MAD)),   vote = sum w s / sum w
//
// so that concepts that do not fit the text, which lie below the median, count little; fewer outliers make a sharper cut. Weights
// are one-sided: what lies above the median counts fully, an outlier there included. MAD 0 takes the limit, 0 below, 1/2 at and
// 1 above the median.
func SoftTrim(s []float64) (Trimmed, error) {
	if len(s) == 0 {
		return Trimmed{}, argument("no concept to aggregate")
	}
	for j, v := range s {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Trimmed{}, argument("similarity %d is %v", j, v)
		}
	}
	middle := median(s)
	away := make([]float64, len(s))
	for j, v := range s {
		away[j] = math.Abs(v - middle)
	}
	mad, far := median(away), 0.0
	for _, v := range away {
		if v > trimFar*mad {
			far++
		}
	}
	rho := far / float64(len(s))
	t := Trimmed{Weights: make([]float64, len(s)), Kappa: min(kappaTop, max(kappaLow, math.Log((1-rho)/rho)))}
	total := 0.0
	for j, v := range s {
		t.Weights[j] = 0.5
		if v != middle {
			t.Weights[j] = sigmoid(t.Kappa * (v - middle) / mad)
		}
		total += t.Weights[j]
	}
	for j, v := range s {
		t.Weights[j] /= total
		t.Vote += t.Weights[j] * v
	}
	return t, nil
}

// Vote returns the logits [n, k] of scores [n, m] by the concepts of each class: their mean, or their SoftTrim. of names the
// class of each concept. Scaling the scores, as published by a temperature, scales the logits and changes no decision.
func Vote(scores *mat.Dense, of []int, k int, trim bool) (*mat.Dense, error) {
	n, m, err := checkMatrix("scores", scores, 0)
	if err != nil {
		return nil, err
	}
	if err := checkLabels(m, of, k); err != nil {
		return nil, err
	}
	out := mat.NewDense(n, k, nil)
	for i := range n {
		groups := make([][]float64, k)
		for j, c := range of {
			groups[c] = append(groups[c], scores.At(i, j))
		}
		for c, s := range groups {
			if trim {
				t, err := SoftTrim(s)
				if err != nil {
					return nil, err
				}
				out.Set(i, c, t.Vote)
				continue
			}
			sum := 0.0
			for _, v := range s {
				sum += v
			}
			out.Set(i, c, sum/float64(len(s)))
		}
	}
	return out, nil
}

// median is the middle value, or the mean of the two.
func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}
