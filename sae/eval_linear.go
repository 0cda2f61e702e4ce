package sae

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/mat"
)

// LinearMap is the control of a transcoder of equal dimension: the linear map of rank K from input to target that leaves the
// least squared error (reduced-rank regression). It describes a row by K numbers, as [PCA] does where input and target are
// the same, and equals it there:
//
//	y^ = (x - mean x) B V V' + mean y,   B = Cxx^-1 Cxy,   V the K leading eigenvectors of B' Cxx B
type LinearMap struct {
	K               int
	MeanIn, MeanOut []float64 // [d_in], [d_out]
	Read            []float64 // B V, [d_in, K]
	Write           []float64 // V', [K, d_out]
}

// leastShare is the share of the largest variance below which a direction of the input counts as constant.
const leastShare = 1e-10

// NewLinearMap finds the map from moments of joined rows, the input followed by the target: n rows, their sum [d] and their
// sum of outer products [d, d], d = d_in + d_out.
func NewLinearMap(n float64, sum, cross []float64, dIn, k int) (*LinearMap, error) {
	d := len(sum)
	dOut := d - dIn
	if n < 2 || dIn < 1 || dOut < 1 || len(cross) != d*d || k < 1 || k > min(dIn, dOut) {
		return nil, fmt.Errorf("sae: linear map: %v rows, %d sums, %d products, d_in %d, rank %d; it needs two rows, d x d products and a rank of 1 to the smaller width", n, d, len(cross), dIn, k)
	}
	m := &LinearMap{K: k, MeanIn: make([]float64, dIn), MeanOut: make([]float64, dOut)}
	mean := make([]float64, d)
	for j, s := range sum {
		mean[j] = s / n
	}
	copy(m.MeanIn, mean)
	copy(m.MeanOut, mean[dIn:])
	xx, xy := mat.NewSymDense(dIn, nil), mat.NewDense(dIn, dOut, nil)
	for i := range dIn {
		for j := i; j < d; j++ {
			c := cross[i*d+j]/n - mean[i]*mean[j]
			if j < dIn {
				xx.SetSym(i, j, c)
			} else {
				xy.Set(i, j-dIn, c)
			}
		}
	}
	b, err := pseudoSolve(xx, xy)
	if err != nil {
		return nil, err
	}
	var fitted mat.Dense // Cxy' B = B' Cxx B
	fitted.Mul(xy.T(), b)
	explained := mat.NewSymDense(dOut, nil)
	for i := range dOut {
		for j := i; j < dOut; j++ {
			explained.SetSym(i, j, (fitted.At(i, j)+fitted.At(j, i))/2)
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(explained, true) {
		return nil, fmt.Errorf("sae: linear map: the explained covariance of %d dimensions has no eigenvectors; are the moments finite?", dOut)
	}
	var vectors mat.Dense // rising eigenvalues
	eigen.VectorsTo(&vectors)
	m.Write = make([]float64, k*dOut)
	for c := range k {
		for j := range dOut {
			m.Write[c*dOut+j] = vectors.At(j, dOut-1-c)
		}
	}
	var read mat.Dense
	read.Mul(b, mat.NewDense(k, dOut, m.Write).T())
	m.Read = read.RawMatrix().Data
	return m, nil
}

// pseudoSolve is a^+ b for a symmetric, positive semi-definite a.
func pseudoSolve(a *mat.SymDense, b *mat.Dense) (*mat.Dense, error) {
	var eigen mat.EigenSym
	if !eigen.Factorize(a, true) {
		return nil, fmt.Errorf("sae: linear map: the input's covariance has no eigenvectors; are the moments finite?")
	}
	values := eigen.Values(nil)
	var q, t, out mat.Dense
	eigen.VectorsTo(&q)
	t.Mul(q.T(), b)
	for i, v := range values {
		scale := 0.0
		if v > leastShare*values[len(values)-1] {
			scale = 1 / v
		}
		row := t.RawRowView(i)
		for j := range row {
			row[j] *= scale
		}
	}
	out.Mul(&q, &t)
	return &out, nil
}

// Reconstruct maps rows, [n, d_in], to [n, d_out]; the latents are the K coordinates. It implements [Reconstructor].
func (m *LinearMap) Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error) {
	return mapRows(ctx, x, m.MeanIn, m.Read, m.Write, m.MeanOut, m.K)
}

// mapRows computes codes = (x - meanIn) read, [n, k], and codes write + meanOut, in float64. read is [d_in, k], write [k, d_out].
func mapRows(ctx context.Context, x []float32, meanIn, read, write, meanOut []float64, k int) (Latents, []float32, error) {
	dIn, dOut := len(meanIn), len(meanOut)
	if len(x)%dIn != 0 {
		return Latents{}, nil, fmt.Errorf("sae: linear control: %d values are not rows of width %d", len(x), dIn)
	}
	const block = 1024
	n := len(x) / dIn
	lat, y := newLatents(n, k), make([]float32, n*dOut)
	rows, codes, out := make([]float64, block*dIn), make([]float64, block*k), make([]float64, block*dOut)
	for lo := 0; lo < n; lo += block {
		if err := ctx.Err(); err != nil {
			return Latents{}, nil, err
		}
		b := min(block, n-lo)
		for i, v := range x[lo*dIn : (lo+b)*dIn] {
			rows[i] = float64(v) - meanIn[i%dIn]
		}
		for r := range b {
			copy(out[r*dOut:(r+1)*dOut], meanOut)
		}
		code := blas64.General{Rows: b, Cols: k, Stride: k, Data: codes[:b*k]}
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, blas64.General{Rows: b, Cols: dIn, Stride: dIn, Data: rows[:b*dIn]},
			blas64.General{Rows: dIn, Cols: k, Stride: k, Data: read}, 0, code)
		blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, code, blas64.General{Rows: k, Cols: dOut, Stride: dOut, Data: write}, 1,
			blas64.General{Rows: b, Cols: dOut, Stride: dOut, Data: out[:b*dOut]})
		for i, v := range out[:b*dOut] {
			y[lo*dOut+i] = float32(v)
		}
		for i, v := range code.Data {
			lat.Index[lo*k+i], lat.Value[lo*k+i] = int32(i%k), float32(v)
		}
	}
	return lat, y, nil
}
