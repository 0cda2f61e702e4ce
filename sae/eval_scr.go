package sae

import (
	"context"
	"fmt"

	"loupe/internal/stats"
)

// SCRDirection is one direction of spurious correlation removal: a probe that was trained where two concepts go together is
// tested for the target on data where they do not, before and after the ablation of the other concept's latents.
type SCRDirection struct {
	Score    float64 `json:"score"`
	Original float64 `json:"original_accuracy"` // of the biased probe
	Ablated  float64 `json:"ablated_accuracy"`  // of the biased probe without the other concept's latents
	Clean    float64 `json:"clean_accuracy"`    // of a probe trained on unbiased data
}

// SCRReport holds both directions; Score is that of the direction in which the biased probe does worse, as in SAEBench.
type SCRReport struct {
	Score   float64      `json:"scr"`
	Target  SCRDirection `json:"target"`  // latents of the spurious concept are ablated
	Reverse SCRDirection `json:"reverse"` // latents of the target concept are ablated, and the probe is tested for the other
	Train   int          `json:"train"`   // rows of the unbiased probes
	Biased  int          `json:"biased"`  // of them where both concepts go together
	TestedN int          `json:"test"`    // rows on which accuracies are taken
	Top     int          `json:"ablated"` // latents that are ablated
}

// MeasureSCR measures spurious correlation removal (Karvonen et al., arXiv:2411.18895). x is [n, d], acts the latents of x,
// target and spurious tell which concepts a row has. The first trainShare of the rows train; among them the rows that have
// both concepts or neither train the biased probe. Rows must come in random order, and all four combinations in about equal
// number. See [AblationScoresOff].
func MeasureSCR[T real](ctx context.Context, x []T, acts *Sparse, decoder []T, target, spurious []bool, top int, trainShare float64) (SCRReport, error) {
	n := len(target)
	if n == 0 || len(spurious) != n || len(x)%n != 0 || acts.Rows() != n || top < 1 || !(trainShare > 0 && trainShare < 1) {
		return SCRReport{}, fmt.Errorf("sae: scr: %d values, %d rows of latents, %d and %d labels, top %d, training share %v; take the same rows for all", len(x), acts.Rows(), n, len(spurious), top, trainShare)
	}
	d, train := len(x)/n, int(float64(n)*trainShare)
	rows, err := SparseOf(x, d)
	if err != nil {
		return SCRReport{}, err
	}
	r := SCRReport{Train: train, TestedN: n - train, Top: top}
	var biased []T
	var biasedLabels []bool
	for i := range train {
		if target[i] == spurious[i] {
			biased, biasedLabels = append(biased, x[i*d:(i+1)*d]...), append(biasedLabels, target[i])
		}
	}
	if r.Biased = len(biasedLabels); r.Biased == 0 || r.Biased == train {
		return SCRReport{}, fmt.Errorf("sae: scr: in %d of %d training rows both concepts go together; it needs rows of both kinds: %w", r.Biased, train, stats.ErrDegenerate)
	}
	biasedRows, err := SparseOf(biased, d)
	if err != nil {
		return SCRReport{}, err
	}
	probe, err := FitLogistic(ctx, biasedRows, biasedLabels, 1)
	if err != nil {
		return SCRReport{}, fmt.Errorf("sae: scr: biased probe: %w", err)
	}
	direction := func(tested, removed []bool) (SCRDirection, error) {
		clean, err := FitLogistic(ctx, rows.Slice(0, train), tested[:train], 1)
		if err != nil {
			return SCRDirection{}, fmt.Errorf("sae: scr: clean probe: %w", err)
		}
		other, err := FitLogistic(ctx, rows.Slice(0, train), removed[:train], 1)
		if err != nil {
			return SCRDirection{}, fmt.Errorf("sae: scr: probe of the concept to remove: %w", err)
		}
		effect, err := AttributionEffects(acts.Slice(0, train), removed[:train], decoder, other.Coef)
		if err != nil {
			return SCRDirection{}, err
		}
		without, err := AblateLatents(x, acts, decoder, falling(effect)[:min(top, len(effect))])
		if err != nil {
			return SCRDirection{}, err
		}
		changed, err := SparseOf(without, d)
		if err != nil {
			return SCRDirection{}, err
		}
		s := SCRDirection{
			Original: accuracyOf(probe, rows.Slice(train, n), tested[train:]),
			Ablated:  accuracyOf(probe, changed.Slice(train, n), tested[train:]),
			Clean:    accuracyOf(clean, rows.Slice(train, n), tested[train:]),
		}
		s.Score = SCR(s.Original, s.Ablated, s.Clean)
		return s, nil
	}
	if r.Target, err = direction(target, spurious); err != nil {
		return SCRReport{}, err
	}
	if r.Reverse, err = direction(spurious, target); err != nil {
		return SCRReport{}, err
	}
	r.Score = r.Target.Score
	if r.Reverse.Original < r.Target.Original {
		r.Score = r.Reverse.Score
	}
	return r, nil
}

// accuracyOf is the share of rows that a probe calls rightly.
func accuracyOf(p LinearProbe, x *Sparse, is []bool) float64 {
	right := 0
	for r, v := range p.Scores(x) {
		if (v > 0) == is[r] {
			right++
		}
	}
	return float64(right) / float64(len(is))
}
