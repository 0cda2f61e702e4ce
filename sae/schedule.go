package sae

// learningRate is the rate of step (1-based) of steps: it rises linearly to lr over the first warmup share, stays, and
// falls linearly over the last decay share so that the step after the last would have rate zero.
func learningRate(lr, warmup, decay float64, step, steps int64) float64 {
	n, at := float64(steps), float64(step)
	if up := warmup * n; at < up {
		lr *= at / up
	}
	if down := decay * n; at > n-down {
		lr *= (n - at + 1) / (down + 1)
	}
	return lr
}

// followThreshold moves batchtopk's running threshold towards a batch's smallest active score; a batch without any
// leaves it. The threshold is part of the trainer's state, in float64.
func followThreshold(threshold, least, rate float64) float64 {
	if least == 0 {
		return threshold
	}
	return (1-rate)*threshold + rate*least
}
