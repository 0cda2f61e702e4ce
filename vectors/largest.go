package vectors

import (
	"slices"
	"sort"
)

// largestIndices are the places of the k largest values, descending; of equal ones the first comes first.
func largestIndices(v []float64, k int) []int {
	if k > len(v)/8 {
		return sortedIndices(v)[:k:k]
	}
	top := make([]int, 0, k+1) // few values enter it, so that keeping it sorted costs little
	for i, x := range v {
		if len(top) == k && !(x > v[top[k-1]]) {
			continue
		}
		at := sort.Search(len(top), func(j int) bool { return v[top[j]] < x })
		top = slices.Insert(top, at, i)
		top = top[:min(len(top), k)]
	}
	return top
}

// sortedIndices orders all places by value, descending; equal ones stay in order.
func sortedIndices(v []float64) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case v[a] > v[b]:
			return -1
		case v[a] < v[b]:
			return 1
		}
		return 0
	})
	return order
}
