package stats

import (
	"math"
	"slices"
)

// sum adds pairwise: eight running sums below 129 terms, halves above, so that the rounding error grows with the
// logarithm of the length. It is the order in which NumPy adds a contiguous float64 row, bit for bit; a bootstrap
// replicate that is a permutation of the sample can tie with the estimate only if both are added alike.
func sum(x []float64) float64 {
	n := len(x)
	if n > 128 {
		half := n / 2
		half -= half % 8
		return sum(x[:half]) + sum(x[half:])
	}
	total, done := 0.0, 0
	if n >= 8 {
		var r [8]float64
		for ; done+8 <= n; done += 8 {
			for k := range r {
				r[k] += x[done+k]
			}
		}
		total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
	}
	for _, v := range x[done:] {
		total += v
	}
	return total
}

func mean(x []float64) float64 { return sum(x) / float64(len(x)) }

// variance is the unbiased sample variance about the given mean, in two passes.
func variance(x []float64, mean float64) float64 {
	squares := make([]float64, len(x))
	for i, v := range x {
		squares[i] = (v - mean) * (v - mean)
	}
	return sum(squares) / float64(len(x)-1)
}

// quantile interpolates linearly between the order statistics (definition 7 of Hyndman and Fan); sorted ascends.
func quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := min(int(at), len(sorted)-1)
	j := min(i+1, len(sorted)-1)
	return sorted[i] + (at-float64(i))*(sorted[j]-sorted[i])
}

// ranks returns average ranks from 1 and the sizes of the groups of equal values, in ascending order of value.
func ranks(x []float64) (rank []float64, ties []int) {
	order := ascending(x)
	rank = make([]float64, len(x))
	for from := 0; from < len(x); {
		to := from + 1
		for to < len(x) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			rank[i] = float64(from+1+to) / 2
		}
		ties = append(ties, to-from)
		from = to
	}
	return rank, ties
}

// ascending returns the indices that sort x, equal values in their original order.
func ascending(x []float64) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case x[i] < x[j]:
			return -1
		case x[i] > x[j]:
			return 1
		}
		return 0
	})
	return order
}

// normalSF is P(Z > z) for a standard normal Z, exact in the tail where 1 - CDF would cancel.
func normalSF(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }
