package stats

import (
	"fmt"
	"math"
)

// Holm returns p-values adjusted by Holm's step-down method: rejecting those at or below alpha keeps the chance of any
// false rejection at alpha, whatever the dependence between the tests. With p ascending,
// adjusted_i = min(1, max_{j<=i} (m-j+1) p_j).
func Holm(p []float64) ([]float64, error) {
	if err := checkProbabilities(p); err != nil {
		return nil, err
	}
	m, order, adjusted := len(p), ascending(p), make([]float64, len(p))
	largest := 0.0
	for k, i := range order {
		largest = max(largest, float64(m-k)*p[i])
		adjusted[i] = min(1, largest)
	}
	return adjusted, nil
}

// BenjaminiHochberg returns p-values adjusted by the step-up method that keeps the expected share of false rejections
// (FDR) at alpha for independent or positively dependent tests. With p ascending, adjusted_i = min(1, min_{j>=i} (m/j) p_j).
func BenjaminiHochberg(p []float64) ([]float64, error) {
	return stepUp(p, func(int) float64 { return 1 })
}

// BenjaminiYekutieli is BenjaminiHochberg times sum_{i=1..m} 1/i, which holds the FDR under any dependence.
func BenjaminiYekutieli(p []float64) ([]float64, error) {
	return stepUp(p, func(m int) float64 {
		harmonic := 0.0
		for i := m; i >= 1; i-- {
			harmonic += 1 / float64(i)
		}
		return harmonic
	})
}

func stepUp(p []float64, factor func(m int) float64) ([]float64, error) {
	if err := checkProbabilities(p); err != nil {
		return nil, err
	}
	m, order, adjusted := len(p), ascending(p), make([]float64, len(p))
	c, smallest := factor(len(p)), 1.0
	for k := m - 1; k >= 0; k-- {
		i := order[k]
		smallest = min(smallest, c*float64(m)/float64(k+1)*p[i])
		adjusted[i] = smallest
	}
	return adjusted, nil
}

func checkProbabilities(p []float64) error {
	if err := checkCount("the list of p-values", len(p), 1); err != nil {
		return err
	}
	for i, v := range p {
		if math.IsNaN(v) {
			return notFinite("p", i, v)
		}
		if v < 0 || v > 1 {
			return fmt.Errorf("stats: p[%d] is %v: %w; a p-value lies in [0, 1]", i, v, ErrArgument)
		}
	}
	return nil
}
