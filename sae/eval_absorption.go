package sae

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// AbsorptionConfig holds the thresholds of both definitions of feature absorption.
type AbsorptionConfig struct {
	Absorbers  int     `json:"absorbers" yaml:"absorbers"`       // at most this many latents count as absorbing
	MinCosine  float64 `json:"min_cosine" yaml:"min_cosine"`     // with the probe, for the fraction
	FullCosine float64 `json:"full_cosine" yaml:"full_cosine"`   // with the probe, for full absorption
	MinShare   float64 `json:"min_share" yaml:"min_share"`       // of the probe's projection that absorbers must carry
	SplitGain  float64 `json:"split_gain" yaml:"split_gain"`     // in F1 that makes one more latent a main latent
	MaxMain    int     `json:"max_main" yaml:"max_main"`         // most main latents
	MinProbeF1 float64 `json:"min_probe_f1" yaml:"min_probe_f1"` // of the probe on activations; below it a concept is not judged
	MinTexts   int     `json:"min_texts" yaml:"min_texts"`       // below it neither
}

// DefaultAbsorptionConfig returns the values of SAEBench 0.6.
func DefaultAbsorptionConfig() AbsorptionConfig {
	return AbsorptionConfig{Absorbers: 3, MinCosine: 0.1, FullCosine: 0.025, MinShare: 0.4, SplitGain: 0.03, MaxMain: 10, MinProbeF1: 0.6, MinTexts: 20}
}

// Alignment is how decoder rows lie along a probe's direction u, |u| = 1.
type Alignment struct {
	Dot    []float64 // W_i . u: what one unit of latent i adds to the probe's projection
	Cosine []float64 // the same over |W_i|; 0 for a row of zeros
}

// AlignDecoder compares the rows of a decoder, [F, d], with a probe's direction, [d].
func AlignDecoder[T real](decoder []T, probe []float64) (Alignment, error) {
	dot, err := Project(decoder, probe)
	if err != nil {
		return Alignment{}, err
	}
	a := Alignment{Dot: dot, Cosine: make([]float64, len(dot))}
	d := len(probe)
	for i, v := range dot {
		if n := rowNorm(decoder[i*d : (i+1)*d]); n > 0 {
			a.Cosine[i] = v / n
		}
	}
	return a, nil
}

// Project returns x . u for the rows of x, [n, d], where u is the probe's direction scaled to norm 1.
func Project[T real](x []T, probe []float64) ([]float64, error) {
	d, norm := len(probe), rowNorm(probe)
	if d == 0 || norm == 0 || len(x)%d != 0 {
		return nil, fmt.Errorf("sae: project: %d values on a probe of width %d and norm %v; widths must agree and the probe not be zero", len(x), d, norm)
	}
	out := make([]float64, len(x)/d)
	for r := range out {
		for j, v := range x[r*d : (r+1)*d] {
			out[r] += float64(v) * probe[j] / norm
		}
	}
	return out, nil
}

func rowNorm[T real](x []T) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return math.Sqrt(s)
}

// AbsorptionReport are both published measures for the texts of one concept.
type AbsorptionReport struct {
	Fraction     []float64 `json:"-"` // per row: the absorbed share of the probe's projection
	Full         []bool    `json:"-"` // per row: wholly absorbed
	MeanFraction float64   `json:"mean_fraction"`
	FullRate     float64   `json:"full_rate"`
}

// Absorption tells to what degree other latents took over a concept from its main latents (Chanin et al.,
// arXiv:2409.14507; SAEBench 0.6). acts are the latents of n texts that have the concept, p the probe's projections of
// their activations, [n] ([Project]), and main the concept's latents ([MainLatents]). With c_i = act_i (W_i . u):
//
//	fraction: 0 where p_main >= p or p_abs / p < MinShare; 1 where p_main <= 0; else m / (m + p_main), m = min(p_abs, p - p_main),
//	          p_main the sum of c over main latents, p_abs over the Absorbers largest c > 0 of others with cosine >= MinCosine
//	full:     no main latent is active, p >= 0, and the latent of largest c has cosine >= FullCosine and c / p >= MinShare
//
// The fraction was defined anew in SAEBench 0.6 and is about ten times below 0.3's on the same SAEs.
func Absorption(acts *Sparse, align Alignment, p []float64, main []int32, cfg AbsorptionConfig) (AbsorptionReport, error) {
	n := acts.Rows()
	if n == 0 || len(p) != n || len(align.Dot) != acts.Cols || len(align.Cosine) != acts.Cols {
		return AbsorptionReport{}, fmt.Errorf("sae: absorption: %d rows of %d latents, %d projections, %d decoder rows; take the same texts and SAE for all", n, acts.Cols, len(p), len(align.Dot))
	}
	r := AbsorptionReport{Fraction: make([]float64, n), Full: make([]bool, n)}
	for i := range n {
		index, value := acts.Row(i)
		var mainSum float64
		var mainOn bool
		var others []float64
		topValue, topCosine := 0.0, 0.0
		for j, l := range index {
			c := value[j] * align.Dot[l]
			if c > topValue {
				topValue, topCosine = c, align.Cosine[l]
			}
			if slices.Contains(main, l) {
				mainSum += c
				mainOn = mainOn || math.Abs(value[j]) >= 1e-8
			} else if align.Cosine[l] >= cfg.MinCosine && c > 0 {
				others = append(others, c)
			}
		}
		slices.SortFunc(others, func(a, b float64) int { return cmp.Compare(b, a) })
		absorbed := 0.0
		for _, c := range others[:min(cfg.Absorbers, len(others))] {
			absorbed += c
		}
		switch {
		case p[i] <= 0 || mainSum >= p[i] || absorbed < cfg.MinShare*p[i]:
		case mainSum <= 0:
			r.Fraction[i] = 1
		default:
			m := min(absorbed, p[i]-mainSum)
			r.Fraction[i] = m / (m + mainSum)
		}
		r.Full[i] = !mainOn && p[i] >= 0 && topValue > 0 && topCosine >= cfg.FullCosine && topValue >= cfg.MinShare*p[i]
		r.MeanFraction += r.Fraction[i] / float64(n)
	}
	r.FullRate = float64(countTrue(r.Full)) / float64(n)
	return r, nil
}

// MainLatents finds the latents that stand for a concept: sparse probes of k = 1, 2, ... latents, in the order of their
// mean differences, as long as one more raises F1 on the test rows by more than SplitGain. The first trainShare of the rows
// train. It also returns the F1 of the last one.
func MainLatents(ctx context.Context, x *Sparse, positive []bool, trainShare float64, cfg AbsorptionConfig) (main []int32, f1 float64, err error) {
	probe := DefaultProbeConfig()
	probe.TrainShare = trainShare
	for k := 1; k <= min(cfg.MaxMain, x.Cols); k++ {
		probe.K = []int{k}
		r, err := SparseProbe(ctx, x, positive, probe)
		if err != nil {
			return nil, 0, fmt.Errorf("sae: main latents: %w", err)
		}
		s := r.Scores[0]
		if k > 1 && s.F1-f1 <= cfg.SplitGain {
			break
		}
		main, f1 = s.Latents, s.F1
	}
	return main, f1, nil
}
