package sae

// lossCoef are the factors of the two squared errors of a step: the loss is main * sum|e|^2 + aux * sum|a - e|^2,
// where e = x^ - x, a is what the dead latents make of -e, and sums go over the rows of the batch.
//
// LossFVU divides by sum|x - mean x|^2 and, for AuxK, by sum|e - mean e|^2 (openai/sparse_autoencoder and
// dictionary_learning; the batch's means). LossMSE divides by B, and scales AuxK by min(dead/k_aux, 1) (SAELens).
type lossCoef struct{ main, aux float64 }

// mainCoef needs the batch's total variance, sum|x - mean x|^2.
func mainCoef(cfg Config, rows int, variance float64) float64 {
	if cfg.Loss == LossMSE {
		return 1 / float64(rows)
	}
	return inverse(variance)
}

// auxCoef needs the total variance of the residual, sum|e - mean e|^2.
func auxCoef(cfg Config, rows, dead int, variance float64) float64 {
	if cfg.Loss == LossMSE {
		return cfg.AuxCoef * min(float64(dead)/float64(cfg.AuxK), 1) / float64(rows)
	}
	return cfg.AuxCoef * inverse(variance)
}

// inverse is 1/v, and 0 for a batch without variance, which teaches nothing.
func inverse(v float64) float64 {
	if v == 0 {
		return 0
	}
	return 1 / v
}
