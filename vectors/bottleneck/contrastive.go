package bottleneck

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// contrastiveLoss adds the derivatives by z of a symmetric contrastive loss to down and returns its value: text i of the batch
// is paired with concept a_i,
//
//	lambda/2 (mean_i -log softmax_j(z_ij/tau)[a_i] + mean_i -log softmax_i'(z_i'a/tau)[i], a = a_i)
//
// The released code of arXiv:2404.03323 pairs row i of a batch with concept i, whatever text i is about. Here a_i is the
// concept that the text resembles most before the layer, which needs no label.
func contrastiveLoss(z, down *mat.Dense, pair []int, cfg SparseConfig) float64 {
	b, m := z.Dims()
	each := cfg.Lambda / 2 / float64(b)
	total := 0.0
	p := make([]float64, max(b, m))
	for i := range b {
		row := p[:m]
		floats.ScaleTo(row, 1/cfg.Tau, z.RawRowView(i))
		norm := floats.LogSumExp(row)
		total += each * (norm - row[pair[i]])
		for j, v := range row {
			row[j] = math.Exp(v - norm)
		}
		row[pair[i]]--
		floats.AddScaled(down.RawRowView(i), each/cfg.Tau, row)
	}
	texts := make([]float64, m) // of each concept
	for _, a := range pair {
		texts[a]++
	}
	for j, count := range texts {
		if count == 0 {
			continue
		}
		column := p[:b]
		for i := range b {
			column[i] = z.At(i, j) / cfg.Tau
		}
		norm := floats.LogSumExp(column)
		for i, v := range column {
			slope := count * math.Exp(v-norm)
			if pair[i] == j {
				total += each * (norm - v)
				slope--
			}
			down.Set(i, j, down.At(i, j)+each/cfg.Tau*slope)
		}
	}
	return total
}
