package sae

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// resampledShare is the norm of a resampled encoder row, as a share of the mean norm of the live ones: a fifth, or all of
// it where a latent has to be among the largest to be active.
func resampledShare(cfg Config) float64 {
	if cfg.selects() {
		return 1
	}
	return 0.2
}

// resample gives dead latents a new start, as in Bricken et al. 2023 (Towards Monosemanticity, appendix), every
// ResampleTokens rows, but not in the share of the run in which the rate falls, nor with fewer rows than that left to settle
// in: each takes a row of the batch, drawn without replacement with a probability proportional to the square of its squared
// error. The decoder row becomes the row's direction, the encoder row the same with a share of the live ones' mean norm,
// biases become 0, a threshold half of what the row itself gives, and Adam's moments of all these are cleared. There it is
// done four times on a fresh sample of 819,200 rows; here the sample is the batch, so that at most Batch latents are
// resampled at a time, and the state has nothing more to keep: the draw depends on seed and step. It returns the number of
// latents.
func (t *Trainer) resample(rowSSE []float64) (int, error) {
	cfg := t.cfg
	if cfg.ResampleTokens == 0 {
		return 0, nil
	}
	every := stepsOf(cfg, cfg.ResampleTokens)
	if t.step%every != 0 || t.step+every > cfg.Steps() || float64(t.step) > (1-cfg.Decay)*float64(cfg.Steps()) {
		return 0, nil
	}
	dead := t.deadLatents(nil)
	if len(dead) == 0 {
		return 0, nil
	}
	p, err := t.eng.snapshot()
	if err != nil {
		return 0, err
	}
	rows := drawRows(rowSSE, min(len(dead), cfg.Batch), rand.New(rand.NewPCG(cfg.Seed, 0x5e5a<<32+uint64(t.step))))
	dead = dead[:len(rows)]
	p = params{w: p.w.clone(), m: p.m.clone(), v: p.v.clone()}
	encNorm, decNorm := t.liveNorms(p.w)
	for j, i := range dead {
		t.restart(p, int(i), rows[j], encNorm, decNorm)
		t.silent[i], t.born[i] = 0, t.Tokens()
	}
	return len(dead), t.eng.replace(p)
}

// stepsOf returns the number of steps that have so many tokens, rounded up.
func stepsOf(cfg Config, tokens int64) int64 {
	return (tokens + int64(cfg.Batch) - 1) / int64(cfg.Batch)
}

// drawRows draws up to n different rows with weights sse^2, by the smallest of exponential variables with these rates.
// Rows without an error are never drawn.
func drawRows(sse []float64, n int, rng *rand.Rand) []int {
	type key struct {
		at  float64
		row int
	}
	var most float64
	for _, e := range sse {
		most = max(most, e)
	}
	var keys []key
	for r, e := range sse {
		at := rng.ExpFloat64()
		if e > 0 {
			keys = append(keys, key{at / (e / most * e / most), r})
		}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.row, b.row)) })
	var out []int
	for _, k := range keys[:min(n, len(keys))] {
		out = append(out, k.row)
	}
	return out
}

// liveNorms returns the mean norms of the encoder and decoder rows of the latents that are not dead; 1 where there are
// none.
func (t *Trainer) liveNorms(w weights) (enc, dec float64) {
	mean := func(rows []float32) float64 {
		if rows == nil {
			return 1
		}
		d := len(rows) / len(t.silent)
		var sum, n float64
		for i, s := range t.silent {
			if s < t.cfg.DeadTokens {
				sum += float64(norm2(rows[i*d : (i+1)*d]))
				n++
			}
		}
		if sum == 0 {
			return 1
		}
		return sum / n
	}
	return mean(w.enc), mean(w.dec)
}

// restart sets latent i of p towards row r of the batch.
func (t *Trainer) restart(p params, i, r int, encNorm, decNorm float64) {
	cfg := t.cfg
	d, w := cfg.inWidth(), cfg.width()
	in := make([]float32, d)
	normalizeRow(cfg.Normalize, in, t.scaled[r*d:(r+1)*d])
	out := in
	if cfg.transcodes() {
		out = slices.Clone(t.target[r*w : (r+1)*w])
	}
	if cfg.centres() || cfg.transcodes() || cfg.crosses() {
		out = slices.Clone(out)
		axpy(-1, p.w.bDec, out)
	}
	if cfg.centres() {
		in = slices.Clone(out)
	}
	for n, info := range layout(cfg) {
		if info.shape[0] != cfg.DSAE || info.name == "b_dec" || info.name == "W_skip" || isFixed(info.name) {
			continue
		}
		size := len(p.w.slices()[n]) / cfg.DSAE
		row := func(of weights) []float32 { return of.slices()[n][i*size : (i+1)*size] }
		clear(row(p.m))
		clear(row(p.v))
		switch info.name {
		case "W_enc":
			copy(row(p.w), in)
			unit(row(p.w))
			scaleBy(row(p.w), float32(encNorm*resampledShare(cfg)))
		case "W_dec":
			copy(row(p.w), out)
			unit(row(p.w))
			if cfg.Decoder != DecoderUnit {
				scaleBy(row(p.w), float32(decNorm))
			}
		case archetypeWeight: // all on the nearest data point
			clear(row(p.w))
			row(p.w)[nearestPoint(p.w.named(cfg, archetypePoints), in)] = 1
		case "threshold": // half of the row's own score, which is |in| times the encoder's norm
			row(p.w)[0] = float32(0.5 * encNorm * resampledShare(cfg) * math.Sqrt(squaredNorm(in)))
		default: // biases, r_mag, the relaxation of an archetype
			clear(row(p.w))
		}
	}
}

// nearestPoint returns the number of the point, [n, d], that is nearest to x.
func nearestPoint(points, x []float32) int {
	best, least := 0, math.Inf(1)
	for i := range len(points) / len(x) {
		var far float64
		for j, v := range points[i*len(x) : (i+1)*len(x)] {
			far += float64(v-x[j]) * float64(v-x[j])
		}
		if far < least {
			best, least = i, far
		}
	}
	return best
}
