package sae

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBatchSelect compares the selection with the definition by sorting, over batches with ties, too few positive scores
// and values far apart.
func TestBatchSelect(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 4))
	for range 200 {
		rows, f := 1+rng.IntN(90), 1+rng.IntN(40)
		n := 1 + rng.IntN(rows*f)
		scores := make([]float32, rows*f)
		for i := range scores {
			switch rng.IntN(3) {
			case 0:
				scores[i] = float32(rng.IntN(5) - 2)
			case 1:
				scores[i] = float32(rng.NormFloat64())
			default:
				scores[i] = float32(rng.NormFloat64() * 1e-30)
			}
		}
		order := slices.Clone(scores)
		slices.Sort(order)
		limit := order[len(order)-n]
		lat, least := newBatchSelector(rows).run(scores, rows, f, n)
		var wantLeast float32
		for r := range rows {
			var want []int32
			for i, v := range scores[r*f : (r+1)*f] {
				if v > 0 && v >= limit {
					want = append(want, int32(i))
					if wantLeast == 0 || v < wantLeast {
						wantLeast = v
					}
				}
			}
			index, value := lat.Row(r)
			if !slices.Equal(index, want) {
				t.Fatalf("row %d of %d x %d, n = %d: latents %v, want %v", r, rows, f, n, index, want)
			}
			for j, i := range index {
				if value[j] != scores[r*f+int(i)] {
					t.Fatalf("row %d: value %v of latent %d, score %v", r, value[j], i, scores[r*f+int(i)])
				}
			}
		}
		if least != wantLeast {
			t.Fatalf("least kept score %v, want %v", least, wantLeast)
		}
	}
}
