package demo

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// unit scales a vector to norm 1; a vector of zeros stays.
func unit(x []float32) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return
	}
	scale := float32(1 / math.Sqrt(sum))
	for i := range x {
		x[i] *= scale
	}
}

// dot is the inner product in float64.
func dot(a, b []float32) float64 {
	var sum float64
	for i, v := range a {
		sum += float64(v) * float64(b[i])
	}
	return sum
}

// cosines returns the inner products of the rows of a and b, unit vectors of width w.
func cosines(a, b []float32, w int) []float64 {
	out := make([]float64, len(a)/w)
	for i := range out {
		out[i] = dot(a[i*w:(i+1)*w], b[i*w:(i+1)*w])
	}
	return out
}

// Neighbours returns the k nearest other rows of every row of x [n, w], unit vectors, by cosine, in ascending order of
// index. Ties go to the smaller index.
func Neighbours(x []float32, w, k int) ([][]int32, error) {
	n := len(x) / w
	if k < 1 || k >= n {
		return nil, fmt.Errorf("demo: %d nearest neighbours among %d texts; ask for fewer", k, n)
	}
	sim := blas32.General{Rows: n, Cols: n, Stride: n, Data: make([]float32, n*n)}
	all := blas32.General{Rows: n, Cols: w, Stride: w, Data: x}
	blas32.Gemm(blas.NoTrans, blas.Trans, 1, all, all, 0, sim)
	out := make([][]int32, n)
	for i := range out {
		out[i] = largest(sim.Data[i*n:(i+1)*n], k, i)
	}
	return out, nil
}

// largest returns the indices of the k largest values besides index self, ascending.
func largest(x []float32, k, self int) []int32 {
	best := make([]int32, 0, k) // in falling order of value
	for i, v := range x {
		if i == self || len(best) == k && v <= x[best[k-1]] {
			continue
		}
		if len(best) == k {
			best = best[:k-1]
		}
		at, _ := slices.BinarySearchFunc(best, v, func(b int32, v float32) int {
			if x[b] >= v { // equal values keep their order
				return -1
			}
			return 1
		})
		best = slices.Insert(best, at, int32(i))
	}
	slices.SortFunc(best, cmp.Compare[int32])
	return best
}

// agreement returns for every row the share of its neighbours in a that b has too.
func agreement(a, b [][]int32) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		both := 0
		for _, j := range a[i] {
			if _, ok := slices.BinarySearch(b[i], j); ok {
				both++
			}
		}
		out[i] = float64(both) / float64(len(a[i]))
	}
	return out
}
