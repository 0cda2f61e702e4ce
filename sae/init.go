package sae

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// shortRow is the norm of a transcoder's free decoder rows at the start (Anthropic, April 2024: 0.05 to 1).
const shortRow = 0.1

// siteRow is the norm of each site's part of a crosscoder's decoder rows at the start (ckkissane's 0.08).
const siteRow = 0.08

// initialWeights returns the start for normalised rows x [n, d_in] and targets y [n, d_out] (the same rows for an
// autoencoder), as InitEncoder, InitBDec and InitDecoderNorm say: decoder rows uniform on the sphere by seed, the encoder
// their transpose, biases 0, b_dec the geometric median of the targets, thresholds alike. A transcoder has an encoder of its
// own, and its decoder, where it is not bound to unit rows, starts with short ones, so that it begins near the constant
// b_dec; so does a crosscoder's.
func initialWeights(cfg Config, x, y []float32) weights {
	w := newWeights(cfg)
	if cfg.archetypal() {
		return w // see startArchetypes
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x5ae))
	sphere := func(rows []float32, d int) {
		for row := range slices.Chunk(rows, d) {
			randomUnit(row, rng)
		}
	}
	switch {
	case cfg.crossLayer():
		startCLT(cfg, w, sphere)
	case cfg.Arch == ArchTemporal:
		startTemporal(cfg, w, rng)
	default:
		startDecoder(cfg, w, sphere)
	}
	for j, v := range startOf(cfg, y) {
		w.bDec[j] = float32(v)
	}
	for i, t := 0, w.named(cfg, "threshold"); i < len(t); i++ {
		t[i] = float32(cfg.JumpReLU.Init)
	}
	return w
}

// randomUnit draws a direction uniform on the sphere.
func randomUnit(row []float32, rng *rand.Rand) {
	for j := range row {
		row[j] = float32(rng.NormFloat64())
	}
	unit(row)
}

// startOf returns where b_dec starts, for targets y.
func startOf(cfg Config, y []float32) []float64 {
	d := cfg.width()
	switch cfg.InitBDec {
	case InitZero:
		return make([]float64, d)
	case InitMean:
		mean := make([]float64, d)
		for i, v := range y {
			mean[i%d] += float64(v) * float64(d) / float64(len(y))
		}
		return mean
	}
	return geometricMedian(y, d)
}

// startDecoder writes a dictionary and its encoder.
func startDecoder(cfg Config, w weights, sphere func(rows []float32, d int)) {
	sphere(w.dec, cfg.width())
	switch {
	case cfg.Decoder == DecoderUnit:
	case cfg.crosses():
		for row := range slices.Chunk(w.dec, cfg.DIn) {
			unit(row)
			scaleBy(row, float32(cmp.Or(cfg.InitDecoderNorm, siteRow)))
		}
	case cfg.InitDecoderNorm > 0:
		scaleBy(w.dec, float32(cfg.InitDecoderNorm))
	case cfg.transcodes():
		scaleBy(w.dec, shortRow)
	}
	if cfg.transcodes() || cfg.InitEncoder == InitRandom && w.enc != nil {
		sphere(w.enc, cfg.inWidth())
	} else {
		copy(w.enc, w.dec)
	}
}

// startCLT writes the encoders and decoders of a cross-layer transcoder, whose decoder rows are those of all layers.
func startCLT(cfg Config, w weights, sphere func(rows []float32, d int)) {
	sphere(w.enc, cfg.DIn)
	for l := range cfg.Layers {
		dec := w.named(cfg, cltDecoder(l))
		sphere(dec, len(dec)/cfg.DSAE)
		switch {
		case cfg.Decoder == DecoderUnit:
		case cfg.InitDecoderNorm > 0:
			scaleBy(dec, float32(cfg.InitDecoderNorm))
		default:
			scaleBy(dec, shortRow)
		}
	}
}

// siteScales returns, for each site of the rows of x [n, sites*d], s with E|s x| = sqrt(d) or, with NormalizeUnit,
// E|s x|^2 = 1 over the site's part of the rows, or 1 where the configuration has no such scale or for rows of zeros.
func siteScales(cfg Config, x []float32, sites, d int) []float64 {
	out := make([]float64, sites)
	for i := range out {
		out[i] = 1
	}
	if !cfg.scales() {
		return out
	}
	n := len(x) / (sites * d)
	for i := range out {
		var sum, all float64 // of the norms and of their squares
		for r := range n {
			var sq float64
			for _, v := range x[(r*sites+i)*d : (r*sites+i+1)*d] {
				sq += float64(v) * float64(v)
			}
			sum += math.Sqrt(sq)
			all += sq
		}
		switch {
		case sum == 0:
		case cfg.Normalize == NormalizeUnit:
			out[i] = math.Sqrt(float64(n) / all)
		default:
			out[i] = math.Sqrt(float64(d)) * float64(n) / sum
		}
	}
	return out
}

// scaleSites multiplies each site of the rows of x by its scale.
func scaleSites(x []float32, scales []float64, d int) {
	if len(scales) == 1 {
		scaleBy(x, float32(scales[0]))
		return
	}
	for i := 0; i*d < len(x); i++ {
		scaleBy(x[i*d:(i+1)*d], float32(scales[i%len(scales)]))
	}
}

// geometricMedian returns the point with the least sum of distances to the rows of x, by Weiszfeld's iteration from
// the mean: at most 100 rounds, until a round moves it less than 1e-5. A row at the current point has no weight.
func geometricMedian[T float32 | float64](x []T, d int) []float64 {
	n := len(x) / d
	median, next := make([]float64, d), make([]float64, d)
	sums := newChunkSums(n, d+1) // the weighted sum and the weight
	total := make([]float64, d+1)
	weighted := func(weight func(row []T) float64) {
		parallel(n, func(_, c, lo, hi int) {
			acc := sums.at(c)
			for r := lo; r < hi; r++ {
				row := x[r*d : (r+1)*d]
				w := weight(row)
				for j, v := range row {
					acc[j] += w * float64(v)
				}
				acc[d] += w
			}
		})
		sums.total(n, total)
		for j := range next {
			next[j] = total[j] / total[d]
		}
	}
	weighted(func([]T) float64 { return 1 })
	copy(median, next)
	for range 100 {
		weighted(func(row []T) float64 {
			var sq float64
			for j, v := range row {
				diff := float64(v) - median[j]
				sq += diff * diff
			}
			if sq == 0 {
				return 0
			}
			return 1 / math.Sqrt(sq)
		})
		if total[d] == 0 { // every row lies at the median
			return median
		}
		var moved float64
		for j := range next {
			diff := next[j] - median[j]
			moved += diff * diff
		}
		copy(median, next)
		if math.Sqrt(moved) < 1e-5 {
			break
		}
	}
	return median
}
