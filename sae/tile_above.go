package sae

import (
	"math"
	"math/bits"

	"loupe/internal/matmul"
)

// tileAbove takes every score above its latent's floor, and above zero where latents have none.
type tileAbove struct {
	selector *batchSelector
	found    [][]candidate // of each block
	limit    float32
}

func newTileAbove(blocks int, floors bool) *tileAbove {
	s := &tileAbove{selector: &batchSelector{parts: make([]active, blocks)}, found: make([][]candidate, blocks)}
	if floors {
		s.limit = float32(math.Inf(-1))
	}
	return s
}

func (s *tileAbove) begin(block, _ int, limits []float32) {
	s.found[block] = s.found[block][:0]
	for r := range limits {
		limits[r] = s.limit
	}
}

func (s *tileAbove) take(block, row, col int, t *tile, _ []float32) {
	s.found[block] = t.appendHits(s.found[block], row, col)
}

func (s *tileAbove) end(block, lo, hi int) { s.selector.parts[block].group(s.found[block], lo, hi) }

// appendHits appends the marked scores of a tile, row by row.
func (t *tile) appendHits(to []candidate, row, col int) []candidate {
	for r, hits := range t.hits {
		for ; hits != 0; hits &= hits - 1 {
			j := bits.TrailingZeros32(hits)
			to = append(to, candidate{int32(row + r), int32(col + j), t.scores[r*matmul.TileCols+j]})
		}
	}
	return to
}
