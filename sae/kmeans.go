package sae

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
)

const (
	kMeansRounds = 10  // at most
	kMeansRows   = 512 // rows whose distances are computed at once
)

// kMeans returns k centroids, [k, d], of rows x [n, d], n >= k: Lloyd's rounds from k different rows drawn by rng, until no row
// changes its centroid. A centroid that loses all its rows stays where it was. The distances are products on the backend.
func kMeans(b compute.Backend, x []float32, d, k int, rng *rand.Rand) ([]float32, error) {
	n := len(x) / d
	centroids := make([]float32, k*d)
	for i, r := range rng.Perm(n)[:k] {
		copy(centroids[i*d:(i+1)*d], x[r*d:(r+1)*d])
	}
	exec, err := newEncoderExec(b, false)
	if err != nil {
		return nil, err
	}
	defer exec.Finalize()
	nearest := make([]int32, n)
	for range kMeansRounds {
		before := slices.Clone(nearest)
		if err := assign(exec.Call1, x, centroids, d, nearest); err != nil {
			return nil, err
		}
		moveCentroids(x, centroids, d, nearest)
		if slices.Equal(nearest, before) {
			break
		}
	}
	return centroids, nil
}

// assign writes the number of the nearest centroid of each row: the one with the largest x . c - |c|^2 / 2.
func assign(product func(args ...any) (*tensors.Tensor, error), x, centroids []float32, d int, nearest []int32) error {
	k := len(centroids) / d
	turned, offset := make([]float32, len(centroids)), make([]float32, k)
	transpose(turned, centroids, k, d)
	for i := range offset {
		offset[i] = float32(-squaredNorm(centroids[i*d:(i+1)*d]) / 2)
	}
	w, b := tensors.FromFlatDataAndDimensions(turned, d, k), tensors.FromFlatDataAndDimensions(offset, k)
	defer w.MustFinalizeAll()
	defer b.MustFinalizeAll()
	block := make([]float32, kMeansRows*d)
	for lo := 0; lo < len(nearest); lo += kMeansRows {
		hi := min(lo+kMeansRows, len(nearest))
		clear(block)
		copy(block, x[lo*d:hi*d])
		scores, err := product(tensors.FromFlatDataAndDimensions(block, kMeansRows, d), w, b)
		if err != nil {
			return fmt.Errorf("sae: k-means: %w", err)
		}
		err = tensors.ConstFlatData(scores, func(s []float32) {
			parallel(hi-lo, func(_, _, from, to int) {
				for r := from; r < to; r++ {
					row := s[r*k : (r+1)*k]
					best := 0
					for i, v := range row {
						if v > row[best] {
							best = i
						}
					}
					nearest[lo+r] = int32(best)
				}
			})
		})
		scores.MustFinalizeAll()
		if err != nil {
			return fmt.Errorf("sae: k-means: read the distances: %w", err)
		}
	}
	return nil
}

// moveCentroids moves each centroid to the mean of its rows.
func moveCentroids(x, centroids []float32, d int, nearest []int32) {
	sum, count := make([]float64, len(centroids)), make([]float64, len(centroids)/d)
	for r, c := range nearest {
		count[c]++
		to := sum[int(c)*d : (int(c)+1)*d]
		for j, v := range x[r*d : (r+1)*d] {
			to[j] += float64(v)
		}
	}
	for i, n := range count {
		if n == 0 {
			continue
		}
		for j := range d {
			centroids[i*d+j] = float32(sum[i*d+j] / n)
		}
	}
}
