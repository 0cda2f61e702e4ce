package sae

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
)

// Geometry describes how latents lie to each other. A row of zeros has cosine 0 with all others.
type Geometry struct {
	MaxDecoder    []float64 // [F], the largest cosine of a decoder row with another
	MaxEncoder    []float64 // [F], the same of encoder columns
	EncoderCosine []float64 // [F], of each latent's encoder column and decoder row; nil where d_in and d_out differ

	NearestDecoder []int32 // [F], the latent at MaxDecoder
}

// MeasureGeometry compares the columns of wEnc, [d_in, F], and the rows of wDec, [F, d_out]. It computes 2 F^2 (d_in + d_out)
// multiplications in float64: minutes for F = 24,576 and d = 768.
func MeasureGeometry[T real](ctx context.Context, wEnc, wDec []T, f int) (Geometry, error) {
	if f < 2 || len(wEnc) == 0 || len(wEnc)%f != 0 || len(wDec) == 0 || len(wDec)%f != 0 {
		return Geometry{}, fmt.Errorf("sae: geometry: W_enc has %d and W_dec %d values for %d latents; it needs two latents or more", len(wEnc), len(wDec), f)
	}
	dIn, dOut := len(wEnc)/f, len(wDec)/f
	dec, enc := make([]float64, f*dOut), make([]float64, f*dIn)
	for i := range f {
		for j := range dOut {
			dec[i*dOut+j] = float64(wDec[i*dOut+j])
		}
		for j := range dIn {
			enc[i*dIn+j] = float64(wEnc[j*f+i])
		}
		unitRow(dec[i*dOut : (i+1)*dOut])
		unitRow(enc[i*dIn : (i+1)*dIn])
	}
	var g Geometry
	if dIn == dOut {
		g.EncoderCosine = make([]float64, f)
		for i := range f {
			g.EncoderCosine[i] = inner(dec[i*dIn:(i+1)*dIn], enc[i*dIn:(i+1)*dIn])
		}
	}
	near, err := neighbours(ctx, dec, dOut, 1)
	if err != nil {
		return Geometry{}, err
	}
	g.MaxDecoder, g.NearestDecoder = near.cosine, near.index
	if near, err = neighbours(ctx, enc, dIn, 1); err != nil {
		return Geometry{}, err
	}
	g.MaxEncoder = near.cosine
	return g, nil
}

// unitRow scales x to norm 1; a row of zeros stays.
func unitRow(x []float64) {
	if n := math.Sqrt(inner(x, x)); n > 0 {
		for j := range x {
			x[j] /= n
		}
	}
}

// nearest holds for each of F rows its k nearest others by cosine, the nearest first.
type nearest struct {
	index  []int32   // [F, k]
	cosine []float64 // [F, k]
}

// neighbours finds the k nearest other rows of each row of x, [F, d], whose rows have norm 1; of equal ones the first.
func neighbours(ctx context.Context, x []float64, d, k int) (nearest, error) {
	f := len(x) / d
	if k < 1 || k >= f {
		return nearest{}, fmt.Errorf("sae: neighbours: %d neighbours among %d rows", k, f)
	}
	const block = 256
	out := nearest{make([]int32, f*k), make([]float64, f*k)}
	all := blas64.General{Rows: f, Cols: d, Stride: d, Data: x}
	product := make([]float64, min(block, f)*f)
	for lo := 0; lo < f; lo += block {
		if err := ctx.Err(); err != nil {
			return nearest{}, fmt.Errorf("sae: neighbours stopped at row %d of %d: %w", lo, f, err)
		}
		n := min(block, f-lo)
		part := blas64.General{Rows: n, Cols: d, Stride: d, Data: x[lo*d : (lo+n)*d]}
		c := blas64.General{Rows: n, Cols: f, Stride: f, Data: product[:n*f]}
		blas64.Gemm(blas.NoTrans, blas.Trans, 1, part, all, 0, c)
		for r := range n {
			top := ranking{limit: k}
			for j, v := range c.Data[r*f : (r+1)*f] {
				if j != lo+r {
					top.offer(v, int64(j))
				}
			}
			for j, e := range top.falling() {
				out.index[(lo+r)*k+j], out.cosine[(lo+r)*k+j] = int32(e.at), e.score
			}
		}
	}
	return out, nil
}
