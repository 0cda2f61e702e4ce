package sae

import (
	"math"
	"slices"
)

// DeadCauses says why latents are dead, judged on the last batch. Each dead latent counts under the first cause that holds,
// in this order; they add up to Dead.
type DeadCauses struct {
	Dead        int `json:"dead"`
	Norm        int `json:"dead_norm"`         // encoder or decoder row shorter than a hundredth of the live ones' median
	Threshold   int `json:"dead_threshold"`    // above zero somewhere, but never above its threshold or among those kept
	OutlierMean int `json:"dead_outlier_mean"` // never above zero, but it would be if the batch's mean were taken off: the mean holds it down
	NeverFired  int `json:"dead_never_fired"`  // never above zero, nor at any time since its start
	Silent      int `json:"dead_silent"`       // never above zero now: it fired once

	// Gamma is |mean| / sd of what the encoder sees, over the batch: the outlier strength that predicts the share of dead
	// latents (arXiv:2605.31518). Above about 1 take the mean off, by b_dec or per dimension.
	Gamma float64 `json:"gamma"`
}

const (
	deadNormShare = 0.01 // of the median norm
	deadRows      = 512  // rows of the batch that are looked at
)

// DeadCauses judges the latents that have been silent for DeadTokens rows, on up to 512 rows of the last batch. It reads
// the weights back from the device: call it every so many steps. Before the first step it is zero. The latents of a
// cross-layer transcoder, and of a temporal SAE, are told apart by NeverFired and Silent alone.
func (t *Trainer) DeadCauses() (DeadCauses, error) {
	var out DeadCauses
	if t.step == 0 {
		return out, nil
	}
	dead := t.deadLatents(nil)
	out.Dead = len(dead)
	p, err := t.eng.snapshot()
	if err != nil {
		return out, err
	}
	rows := t.seenRows(p.w)
	mean, gamma := rowMean(rows, t.cfg.inWidth())
	out.Gamma = gamma
	causes := make([]int, len(dead))
	if !t.cfg.crossLayer() && t.cfg.Arch != ArchTemporal {
		t.judge(p.w, dead, rows, mean, causes)
	}
	for j, c := range causes {
		switch c {
		case causeNorm:
			out.Norm++
		case causeThreshold:
			out.Threshold++
		case causeMean:
			out.OutlierMean++
		default:
			if i := dead[j]; t.silent[i] == t.Tokens()-t.born[i] {
				out.NeverFired++
			} else {
				out.Silent++
			}
		}
	}
	return out, nil
}

// judge writes the cause of each dead latent.
func (t *Trainer) judge(w weights, dead []int32, rows, mean []float32, causes []int) {
	judge := newDeadJudge(t.cfg, w, mean)
	parallel(len(dead), func(_, _, lo, hi int) {
		for j := lo; j < hi; j++ {
			causes[j] = judge.cause(int(dead[j]), rows)
		}
	})
}

// seenRows returns what the encoder product sees of the last batch's first rows.
func (t *Trainer) seenRows(w weights) []float32 {
	d := t.cfg.inWidth()
	n := min(deadRows, t.cfg.Batch)
	out := make([]float32, n*d)
	for r := range n {
		row := out[r*d : (r+1)*d]
		normalizeRow(t.cfg.Normalize, row, t.scaled[r*d:(r+1)*d])
		if t.cfg.centres() {
			axpy(-1, w.bDec, row)
		}
	}
	return out
}

// rowMean returns the mean of rows [n, d] and its norm over the root of the mean squared distance from it.
func rowMean(rows []float32, d int) (mean []float32, gamma float64) {
	n := len(rows) / d
	sum := make([]float64, d)
	for i, v := range rows {
		sum[i%d] += float64(v)
	}
	mean = make([]float32, d)
	var length, spread float64
	for j := range sum {
		sum[j] /= float64(n)
		mean[j] = float32(sum[j])
		length += sum[j] * sum[j]
	}
	for i, v := range rows {
		diff := float64(v) - sum[i%d]
		spread += diff * diff
	}
	if spread == 0 {
		return mean, 0
	}
	return mean, math.Sqrt(length * float64(n) / spread)
}

const (
	causeNone = iota
	causeNorm
	causeThreshold
	causeMean
)

// deadJudge finds causes of single latents.
type deadJudge struct {
	cfg      Config
	enc, dec []float32 // rows; enc is dec for matching pursuit
	bias     []float32 // nil: none
	mean     []float32
	short    [2]float64 // norms below which an encoder or decoder row has collapsed
}

func newDeadJudge(cfg Config, w weights, mean []float32) deadJudge {
	j := deadJudge{cfg: cfg, enc: w.enc, dec: w.dec, bias: w.bEnc, mean: mean}
	if w.enc == nil {
		j.enc = w.dec
	}
	if cfg.base() == ArchGated {
		j.bias = w.named(cfg, "b_gate")
	}
	for k, rows := range [][]float32{j.enc, j.dec} {
		j.short[k] = deadNormShare * medianNorm(rows, cfg.DSAE)
	}
	return j
}

// medianNorm returns the median norm of f rows, the upper one of two.
func medianNorm(rows []float32, f int) float64 {
	d := len(rows) / f
	norms := make([]float64, f)
	for i := range norms {
		norms[i] = float64(norm2(rows[i*d : (i+1)*d]))
	}
	slices.Sort(norms)
	return norms[f/2]
}

// cause tells why latent i is dead, given what the encoder sees.
func (j *deadJudge) cause(i int, rows []float32) int {
	row := func(of []float32) []float32 {
		d := len(of) / j.cfg.DSAE
		return of[i*d : (i+1)*d]
	}
	enc := row(j.enc)
	if float64(norm2(enc)) < j.short[0] || float64(norm2(row(j.dec))) < j.short[1] {
		return causeNorm
	}
	var bias float32
	if j.bias != nil {
		bias = j.bias[i]
	}
	most := float32(math.Inf(-1))
	d := len(enc)
	for r := 0; r < len(rows); r += d {
		most = max(most, dot(enc, rows[r:r+d])+bias)
	}
	switch {
	case most > 0:
		return causeThreshold
	case most-dot(enc, j.mean) > 0:
		return causeMean
	}
	return causeNone
}
