package sae

import (
	"cmp"
	"fmt"
	"slices"
)

// real is the element type of arrays that come from a model (float32) or from reference data (float64).
type real interface{ ~float32 | ~float64 }

// Sparse is a matrix of activations, [Rows(), Cols], in compressed rows: only entries other than zero are held. A
// dense matrix is a Sparse that holds every entry.
type Sparse struct {
	Cols  int
	Start []int   // row r has the entries Start[r] to Start[r+1]
	Index []int32 // columns, ascending within a row
	Value []float64
}

// SparseOf returns the rows of a dense, row-major matrix with the given number of columns.
func SparseOf[T real](dense []T, cols int) (*Sparse, error) {
	if cols < 1 || len(dense)%cols != 0 {
		return nil, fmt.Errorf("sae: %d values are not rows of %d columns", len(dense), cols)
	}
	s := &Sparse{Cols: cols, Start: []int{0}}
	for r := range len(dense) / cols {
		for j, v := range dense[r*cols : (r+1)*cols] {
			if v != 0 {
				s.Index, s.Value = append(s.Index, int32(j)), append(s.Value, float64(v))
			}
		}
		s.Start = append(s.Start, len(s.Index))
	}
	return s, nil
}

// PoolLatents returns one row a group: the mean of each of the f latents over the group's rows. group names the group
// of each row of lat, 0 to n-1; rows of group -1 (padding, special tokens) are left out, and a group without rows is a
// row of zeros.
func PoolLatents(lat Latents, f int, group []int, n int) (*Sparse, error) {
	if lat.Rows() != len(group) {
		return nil, fmt.Errorf("sae: pool: %d groups for %d rows of latents", len(group), lat.Rows())
	}
	sums := make([]map[int32]float64, n)
	count := make([]int, n)
	for r, g := range group {
		if g == -1 {
			continue
		}
		if g < -1 || g >= n {
			return nil, fmt.Errorf("sae: pool: row %d is in group %d of %d", r, g, n)
		}
		if sums[g] == nil {
			sums[g] = map[int32]float64{}
		}
		count[g]++
		index, value := lat.Row(r)
		for j, i := range index {
			if value[j] == 0 {
				continue
			}
			if i < 0 || int(i) >= f {
				return nil, fmt.Errorf("sae: pool: row %d has latent %d of %d", r, i, f)
			}
			sums[g][i] += float64(value[j])
		}
	}
	s := &Sparse{Cols: f, Start: []int{0}}
	for g, sum := range sums {
		for _, i := range sortedKeys(sum) {
			s.Index, s.Value = append(s.Index, i), append(s.Value, sum[i]/float64(count[g]))
		}
		s.Start = append(s.Start, len(s.Index))
	}
	return s, nil
}

// SparseLatents returns latents as a matrix of f columns.
func SparseLatents(lat Latents, f int) (*Sparse, error) {
	each := make([]int, lat.Rows())
	for r := range each {
		each[r] = r
	}
	return PoolLatents(lat, f, each, len(each))
}

// Rows returns the number of rows.
func (s *Sparse) Rows() int { return len(s.Start) - 1 }

// Row returns the columns and values of row r. The caller must not change them.
func (s *Sparse) Row(r int) ([]int32, []float64) {
	lo, hi := s.Start[r], s.Start[r+1]
	return s.Index[lo:hi], s.Value[lo:hi]
}

// Slice returns rows lo to hi; they share the memory of s.
func (s *Sparse) Slice(lo, hi int) *Sparse {
	return &Sparse{Cols: s.Cols, Start: s.Start[lo : hi+1], Index: s.Index, Value: s.Value}
}

// Columns returns the given columns, in their order.
func (s *Sparse) Columns(columns []int32) *Sparse {
	place := make(map[int32]int32, len(columns))
	for j, c := range columns {
		place[c] = int32(j)
	}
	type entry struct {
		at    int32
		value float64
	}
	out := &Sparse{Cols: len(columns), Start: []int{0}}
	var row []entry
	for r := range s.Rows() {
		row = row[:0]
		index, value := s.Row(r)
		for j, c := range index {
			if at, ok := place[c]; ok {
				row = append(row, entry{at, value[j]})
			}
		}
		slices.SortFunc(row, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
		for _, e := range row {
			out.Index, out.Value = append(out.Index, e.at), append(out.Value, e.value)
		}
		out.Start = append(out.Start, len(out.Index))
	}
	return out
}

func sortedKeys[V any](m map[int32]V) []int32 {
	keys := make([]int32, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
