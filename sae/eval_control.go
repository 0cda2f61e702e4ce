package sae

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// RandomControl is the control of every SAE number: an untrained TopK autoencoder with the given width and an equal L0.
// Its decoder rows are random unit vectors, its encoder is their transpose and b_dec the data's mean, so that it differs
// from a trained one in its directions alone. l0 is rounded to the k of the selection.
func RandomControl(rng *rand.Rand, mean []float32, f int, l0 float64) (*SAE, error) {
	d, k := len(mean), int(math.Round(l0))
	if d < 1 || f < 1 || k < 1 || k > f {
		return nil, fmt.Errorf("sae: random control: width %d, %d latents, L0 %v; L0 must lie between 1 and the number of latents", d, f, l0)
	}
	s := &SAE{
		Arch: ArchTopK, DIn: d, DSAE: f, K: k, ApplyBDecToInput: true, Normalize: NormalizeNone,
		WEnc: make([]float32, d*f), WDec: make([]float32, f*d), BEnc: make([]float32, f), BDec: append([]float32{}, mean...),
		Metadata: map[string]any{"control": "random directions"},
	}
	for i := range s.WDec {
		s.WDec[i] = float32(rng.NormFloat64())
	}
	for i := range f {
		unit(s.Decoder(i))
	}
	transpose(s.WEnc, s.WDec, f, d)
	return s, nil
}

// PCA is the control of equal dimension: the mean and the K directions of largest variance.
type PCA struct {
	K          int
	Mean       []float64 // [d]
	Components []float64 // [K, d], orthonormal, falling variance
	Variance   []float64 // [d], of all directions, falling
}

// NewPCA finds the k leading principal components from moments, as a store holds them: n rows, their sum [d] and their sum
// of outer products [d, d]. k = L0 gives the control that describes a row by as many numbers as the SAE.
func NewPCA(n float64, sum, cross []float64, k int) (*PCA, error) {
	d := len(sum)
	if n < 2 || d < 1 || len(cross) != d*d || k < 1 || k > d {
		return nil, fmt.Errorf("sae: pca: %v rows, %d sums, %d products, %d components; it needs two rows, d x d products and 1 to d components", n, d, len(cross), k)
	}
	p := &PCA{K: k, Mean: make([]float64, d), Components: make([]float64, k*d), Variance: make([]float64, d)}
	for j, s := range sum {
		p.Mean[j] = s / n
	}
	cov := mat.NewSymDense(d, nil)
	for i := range d {
		for j := i; j < d; j++ {
			cov.SetSym(i, j, cross[i*d+j]/n-p.Mean[i]*p.Mean[j])
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(cov, true) {
		return nil, fmt.Errorf("sae: pca: the covariance of %d dimensions has no eigenvectors; are the moments finite?", d)
	}
	values := eigen.Values(nil) // rising
	var vectors mat.Dense
	eigen.VectorsTo(&vectors)
	for c := range d {
		p.Variance[c] = max(0, values[d-1-c])
	}
	for c := range k {
		for j := range d {
			p.Components[c*d+j] = vectors.At(j, d-1-c)
		}
	}
	return p, nil
}

// FVU is the fraction of variance that K components leave unexplained on the rows of the moments.
func (p *PCA) FVU() float64 {
	left, all := 0.0, 0.0
	for c, v := range p.Variance {
		all += v
		if c >= p.K {
			left += v
		}
	}
	return left / all
}

// Reconstruct projects rows, [n, d], onto the components; the latents are the K coordinates. It implements [Reconstructor],
// so that PCA can be measured and spliced like an SAE.
func (p *PCA) Reconstruct(ctx context.Context, x []float32) (Latents, []float32, error) {
	d := len(p.Mean)
	read := make([]float64, d*p.K)
	for c := range p.K {
		for j := range d {
			read[j*p.K+c] = p.Components[c*d+j]
		}
	}
	return mapRows(ctx, x, p.Mean, read, p.Components, p.Mean, p.K)
}
