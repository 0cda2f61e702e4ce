package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// EnergyLogRatio compares the energy of each of f features in codes a [n, f] with that in b [m, f]: log((eps + mean a²) / (eps + mean b²)),
// 0 where nothing changed. Beside an eraser's own features, large ones are its collateral damage.
func EnergyLogRatio(a, b *mat.Dense, eps float64) ([]float64, error) {
	_, f, err := checkRows("codes", a, 0)
	if err != nil {
		return nil, err
	}
	if _, _, err := checkRows("codes to compare with", b, f); err != nil {
		return nil, err
	}
	if !(eps > 0) || math.IsInf(eps, 0) {
		return nil, fmt.Errorf("erase: eps is %v: %w; use a small positive number, such as 1e-6", eps, vectors.ErrArgument)
	}
	of, than := meanSquares(a), meanSquares(b)
	out := make([]float64, f)
	for j := range out {
		out[j] = math.Log((eps + of[j]) / (eps + than[j]))
	}
	return out, nil
}

// Collateral lists the features outside erased whose energy changed by more than factor, up or down.
func Collateral(logRatio []float64, erased []int, factor float64) ([]int, error) {
	if !(factor > 1) {
		return nil, fmt.Errorf("erase: factor is %v: %w; use a number above 1, such as 2", factor, vectors.ErrArgument)
	}
	meant := make(map[int]bool)
	for _, f := range erased {
		meant[f] = true
	}
	var out []int
	for f, v := range logRatio {
		if !meant[f] && math.Abs(v) > math.Log(factor) {
			out = append(out, f)
		}
	}
	return out, nil
}

func meanSquares(x *mat.Dense) []float64 {
	n, f := x.Dims()
	out := make([]float64, f)
	for i := range n {
		for j, v := range x.RawRowView(i) {
			out[j] += v * v / float64(n)
		}
	}
	return out
}
