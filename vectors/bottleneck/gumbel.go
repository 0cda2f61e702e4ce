package bottleneck

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// gumbelLoss adds the derivatives by z of the published Gumbel loss (arXiv:2404.03323) to down and returns its value: with G
// standard Gumbel deviates drawn anew for each axis,
//
//	lambda/2 (mean_ij -log softmax_j((z_ij + G_ij)/tau) + mean_ij -log softmax_i((z_ij + G_ij)/tau))
//
// over the b texts i of the batch and the m concepts j. The mean of -log p over all m entries is the cross-entropy of p
// with equal shares: it is least where no concept stands out. What it does to sparsity is therefore an open question of each
// run, not a property of the loss; FitGates uses Gumbel noise for gates that do close.
func gumbelLoss(z, down *mat.Dense, cfg SparseConfig, rng *rand.Rand) float64 {
	b, m := z.Dims()
	each := cfg.Lambda / 2 / float64(b*m)
	total := 0.0
	line := make([]float64, max(b, m))
	for axis, count := range []int{b, m} { // softmax along the other axis
		width := b + m - count
		for r := range count {
			p := line[:width]
			for c := range p {
				i, j := place(axis, r, c)
				p[c] = (z.At(i, j) + gumbel(rng)) / cfg.Tau
			}
			norm := floats.LogSumExp(p)
			for c, v := range p {
				i, j := place(axis, r, c)
				total += each * (norm - v)
				down.Set(i, j, down.At(i, j)+each/cfg.Tau*(float64(width)*math.Exp(v-norm)-1))
			}
		}
	}
	return total
}

// place turns the c-th entry of row (axis 0) or column (axis 1) r into row and column.
func place(axis, r, c int) (i, j int) {
	if axis == 0 {
		return r, c
	}
	return c, r
}

// gumbel draws a standard Gumbel deviate.
func gumbel(rng *rand.Rand) float64 { return -math.Log(rng.ExpFloat64()) }
