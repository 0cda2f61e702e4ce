package erase

import (
	"fmt"

	"loupe/internal/stats"
	"loupe/vectors"
)

// Share is a number of hits among n.
type Share struct {
	Hits int `json:"hits"`
	N    int `json:"n"`
}

func (s *Share) add(hit bool) {
	s.N++
	if hit {
		s.Hits++
	}
}

// Rate is Hits / N; an error where there is nothing to count.
func (s Share) Rate() (float64, error) {
	if s.N == 0 {
		return 0, fmt.Errorf("erase: a share of nothing: %w; give texts of this kind", vectors.ErrArgument)
	}
	return float64(s.Hits) / float64(s.N), nil
}

// Interval is Wilson's interval of the rate.
func (s Share) Interval(level float64) (stats.Interval, error) {
	return stats.Wilson(s.Hits, s.N, level)
}

// Accuracies say what an eraser removed and what it harmed.
type Accuracies struct {
	Erased   Share `json:"acc_e"` // texts of erased concepts that are still recognised; low is good
	Specific Share `json:"acc_s"` // texts of other concepts that are still recognised; high is good
	General  Share `json:"acc_g"` // of Erased, those that name the concept by a synonym or describe it; low is good
}

// Judge counts predictions against labels; synonym says which texts do not use the concept's own name (nil: none).
func Judge(predictions, labels, erased []int, synonym []bool) (Accuracies, error) {
	if len(labels) == 0 || len(predictions) != len(labels) || synonym != nil && len(synonym) != len(labels) {
		return Accuracies{}, fmt.Errorf("erase: %d predictions, %d labels, %d marks of synonyms: %w", len(predictions), len(labels), len(synonym), vectors.ErrShape)
	}
	gone := make(map[int]bool)
	for _, c := range erased {
		gone[c] = true
	}
	var a Accuracies
	for i, y := range labels {
		hit := predictions[i] == y
		switch {
		case !gone[y]:
			a.Specific.add(hit)
		default:
			a.Erased.add(hit)
			if synonym != nil && synonym[i] {
				a.General.add(hit)
			}
		}
	}
	return a, nil
}

// Harmonic is MACE's mean: of 1 - Acc_e, Acc_s and 1 - Acc_g, or of the first two where there are no synonyms.
func (a Accuracies) Harmonic() (float64, error) {
	if a.General.N == 0 {
		return a.HarmonicOfTwo()
	}
	g, err := a.General.Rate()
	if err != nil {
		return 0, err
	}
	e, s, err := a.rates()
	return harmonic(1-e, s, 1-g), err
}

// HarmonicOfTwo is the mean of 1 - Acc_e and Acc_s, as for people.
func (a Accuracies) HarmonicOfTwo() (float64, error) {
	e, s, err := a.rates()
	return harmonic(1-e, s), err
}

func (a Accuracies) rates() (e, s float64, err error) {
	if e, err = a.Erased.Rate(); err != nil {
		return 0, 0, fmt.Errorf("erased concepts: %w", err)
	}
	if s, err = a.Specific.Rate(); err != nil {
		return 0, 0, fmt.Errorf("other concepts: %w", err)
	}
	return e, s, nil
}

// harmonic is 0 where a term is.
func harmonic(v ...float64) float64 {
	sum := 0.0
	for _, x := range v {
		if x <= 0 {
			return 0
		}
		sum += 1 / x
	}
	return float64(len(v)) / sum
}

// GridScores are UnlearnCanvas's scores of one erased concept on a grid of two domains, such as styles x objects.
type GridScores struct {
	Unlearning  Share `json:"ua"`  // texts of the target that are not recognised
	InDomain    Share `json:"ira"` // texts of other concepts of its domain that are
	CrossDomain Share `json:"cra"` // texts of the other domain that are
}

// Average is AA, the mean of the three rates.
func (g GridScores) Average() (float64, error) {
	sum := 0.0
	for _, s := range []Share{g.Unlearning, g.InDomain, g.CrossDomain} {
		r, err := s.Rate()
		if err != nil {
			return 0, err
		}
		sum += r / 3
	}
	return sum, nil
}

// Grid counts predictions against labels for an erased target; domain gives each class's domain [k] (Zhang et al., arXiv:2402.11846).
func Grid(predictions, labels []int, target int, domain []int) (GridScores, error) {
	if len(labels) == 0 || len(predictions) != len(labels) || target < 0 || target >= len(domain) {
		return GridScores{}, fmt.Errorf("erase: %d predictions, %d labels, target %d of %d classes: %w", len(predictions), len(labels), target, len(domain), vectors.ErrShape)
	}
	var g GridScores
	for i, y := range labels {
		if y < 0 || y >= len(domain) {
			return GridScores{}, fmt.Errorf("erase: label %d of %d classes: %w", y, len(domain), vectors.ErrClasses)
		}
		hit := predictions[i] == y
		switch {
		case y == target:
			g.Unlearning.add(!hit)
		case domain[y] == domain[target]:
			g.InDomain.add(hit)
		default:
			g.CrossDomain.add(hit)
		}
	}
	return g, nil
}
