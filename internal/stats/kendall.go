package stats

import (
	"cmp"
	"math"
	"slices"
)

// KendallTauB returns Kendall's rank correlation of x[n] and y[n], n >= 3, corrected for ties:
//
//	tau_b = (C - D) / sqrt((T - T_x) (T - T_y))
//
// with C concordant and D discordant pairs out of T = n(n-1)/2, and T_x, T_y pairs tied in x, in y. Discordant pairs are
// counted by merge sort (Knight 1966), O(n log n). It fails with ErrDegenerate when x or y is constant.
func KendallTauB(x, y []float64) (float64, error) {
	if err := checkPaired(x, y, checkOrdered); err != nil {
		return 0, err
	}
	type pair struct{ x, y float64 }
	pairs := make([]pair, len(x))
	for i := range x {
		pairs[i] = pair{x[i], y[i]}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.x, b.x), cmp.Compare(a.y, b.y)) })
	var tiedX, tiedBoth int
	for i, runX, runBoth := 1, 0, 0; i < len(pairs); i++ {
		if pairs[i].x != pairs[i-1].x {
			runX, runBoth = 0, 0
			continue
		}
		runX++
		tiedX += runX
		if pairs[i].y != pairs[i-1].y {
			runBoth = 0
			continue
		}
		runBoth++
		tiedBoth += runBoth
	}
	ys := make([]float64, len(pairs))
	for i, p := range pairs {
		ys[i] = p.y
	}
	discordant := inversions(ys, make([]float64, len(ys)))
	var tiedY int
	for i, run := 1, 0; i < len(ys); i++ { // inversions has sorted ys
		if ys[i] != ys[i-1] {
			run = 0
			continue
		}
		run++
		tiedY += run
	}
	total := len(x) * (len(x) - 1) / 2
	balance := total - tiedX - tiedY + tiedBoth - 2*discordant
	return float64(balance) / math.Sqrt(float64(total-tiedX)) / math.Sqrt(float64(total-tiedY)), nil
}

// inversions sorts x and counts the pairs i < j with x[i] > x[j]; scratch has the length of x.
func inversions(x, scratch []float64) int {
	if len(x) < 2 {
		return 0
	}
	half := len(x) / 2
	left, right := x[:half], x[half:]
	count := inversions(left, scratch[:half]) + inversions(right, scratch[half:])
	i, j := 0, 0
	for k := range scratch {
		if j == len(right) || i < len(left) && left[i] <= right[j] {
			scratch[k] = left[i]
			i++
			continue
		}
		scratch[k] = right[j]
		j++
		count += len(left) - i
	}
	copy(x, scratch)
	return count
}
