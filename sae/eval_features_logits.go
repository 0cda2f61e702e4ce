package sae

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// LatentLogits are the tokens that a latent's decoder row raises and lowers most.
type LatentLogits struct {
	Top, Bottom           []int32   // tokens, the most extreme first
	TopLogit, BottomLogit []float32 // the row's product with the unembedding
}

// DirectLogits multiplies the decoder rows, [F, d], by an unembedding, [V, d], and keeps the n most extreme tokens of each. It
// is the direct path only: later layers and the final norm are left out.
func DirectLogits(ctx context.Context, decoder, unembed []float32, d, n int) ([]LatentLogits, error) {
	if d < 1 || len(decoder)%d != 0 || len(unembed)%d != 0 || n < 1 || n > len(unembed)/max(d, 1) {
		return nil, fmt.Errorf("sae: direct logits: %d decoder and %d unembedding values of width %d, %d tokens a latent; do both belong to one model?", len(decoder), len(unembed), d, n)
	}
	f, vocab := len(decoder)/d, len(unembed)/d
	const block = 64
	out := make([]LatentLogits, f)
	product := make([]float32, min(block, f)*vocab)
	for lo := 0; lo < f; lo += block {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("sae: direct logits stopped at latent %d of %d: %w", lo, f, err)
		}
		rows := min(block, f-lo)
		blas32.Gemm(blas.NoTrans, blas.Trans, 1,
			blas32.General{Rows: rows, Cols: d, Stride: d, Data: decoder[lo*d : (lo+rows)*d]},
			blas32.General{Rows: vocab, Cols: d, Stride: d, Data: unembed},
			0, blas32.General{Rows: rows, Cols: vocab, Stride: vocab, Data: product[:rows*vocab]})
		for r := range rows {
			top, bottom := ranking{limit: n}, ranking{limit: n}
			for token, v := range product[r*vocab : (r+1)*vocab] {
				top.offer(float64(v), int64(token))
				bottom.offer(float64(-v), int64(token))
			}
			l := &out[lo+r]
			for j := range n {
				l.Top, l.TopLogit = append(l.Top, int32(top.kept[j].at)), append(l.TopLogit, float32(top.kept[j].score))
				l.Bottom, l.BottomLogit = append(l.Bottom, int32(bottom.kept[j].at)), append(l.BottomLogit, float32(-bottom.kept[j].score))
			}
		}
	}
	return out, nil
}
