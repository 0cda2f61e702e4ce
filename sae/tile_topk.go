package sae

import (
	"math"
	"math/bits"

	"loupe/internal/matmul"
)

// tileTopK keeps the k largest scores of each row, or the k largest in magnitude with their signs. Of equal ones those
// with the smaller index are kept, as topK does.
type tileTopK struct {
	out       Latents
	magnitude bool
	list      []int32 // the latents of the product; nil: all
	floor     float32 // what is kept exceeds it
}

func newTileTopK(rows, k int, magnitude bool) *tileTopK {
	return &tileTopK{out: newLatents(rows, k), magnitude: magnitude}
}

func (s *tileTopK) reset(list []int32, floor float32) { s.list, s.floor = list, floor }

func (s *tileTopK) begin(_, row int, limits []float32) {
	for r := range limits {
		limits[r] = s.floor
		if row+r >= s.out.Rows() {
			continue
		}
		index, value := s.out.Row(row + r)
		clear(index)
		for j := range value {
			value[j] = s.floor
		}
	}
}

// take replaces the least kept score of a row's heap. Where magnitudes count the sign is kept in the lowest bit of the
// index, which does not change the order of indices.
func (s *tileTopK) take(_, row, col int, t *tile, limits []float32) {
	for r, hits := range t.hits {
		if hits == 0 {
			continue
		}
		index, value := s.out.Row(row + r)
		for ; hits != 0; hits &= hits - 1 {
			j := bits.TrailingZeros32(hits)
			i, v := int32(col+j), t.scores[r*matmul.TileCols+j]
			if s.list != nil {
				i = s.list[i]
			}
			if s.magnitude {
				i <<= 1
				if v < 0 {
					i, v = i|1, -v
				}
			}
			if v > value[0] {
				index[0], value[0] = i, v
				siftDown(index, value, 0)
			}
		}
		limits[r] = value[0]
	}
}

// end empties the slots that found no score and gives magnitudes their signs back.
func (s *tileTopK) end(_, lo, hi int) {
	for r := lo; r < hi; r++ {
		index, value := s.out.Row(r)
		for j, v := range value {
			if math.IsInf(float64(v), -1) {
				index[j], value[j] = s.list[0], 0
				continue
			}
			if s.magnitude {
				if index[j]&1 == 1 {
					value[j] = -v
				}
				index[j] >>= 1
			}
		}
	}
}
