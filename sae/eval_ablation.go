package sae

import (
	"context"
	"fmt"
	"math"

	"loupe/internal/stats"
)

// AblationScoresOff is why SCR and TPP are computed only where they are asked for.
const AblationScoresOff = "SCR and TPP are off by default: at their canonical settings TPP falls with more training and SCR runs against " +
	"the planted truth at large N (arXiv:2605.18229); use sparse probing"

// TPPScore is targeted probe perturbation (Karvonen et al., arXiv:2411.18895): what the ablation of a class's latents
// takes from that class's probe beyond what it takes from the others.
type TPPScore struct {
	TPP        float64 `json:"tpp"`        // Intended - Unintended
	Intended   float64 `json:"intended"`   // mean loss of accuracy of the class's own probe
	Unintended float64 `json:"unintended"` // mean loss of accuracy of the other probes
}

// TPP scores accuracies: clean is [k], of each class's probe; ablated is [k, k], where ablated[j*k+i] is that of probe j
// when the latents of class i are ablated.
func TPP(clean, ablated []float64) (TPPScore, error) {
	k := len(clean)
	if k < 2 || len(ablated) != k*k {
		return TPPScore{}, fmt.Errorf("sae: tpp: %d classes and %d ablated accuracies; it needs two classes or more and a square table", k, len(ablated))
	}
	var s TPPScore
	for i := range k {
		for j := range k {
			drop := clean[j] - ablated[j*k+i]
			if i == j {
				s.Intended += drop / float64(k)
			} else {
				s.Unintended += drop / float64(k*(k-1))
			}
		}
	}
	s.TPP = s.Intended - s.Unintended
	return s, nil
}

// SCR is spurious correlation removal (arXiv:2411.18895): the share of the gap between a probe trained on biased data and
// one trained on clean data that the ablation of the spurious concept's latents closes. A gap below 0.001 scores 0.
func SCR(original, ablated, clean float64) float64 {
	if math.Abs(clean-original) < 0.001 {
		return 0
	}
	return (ablated - original) / (clean - original)
}

// AttributionEffects orders latents by what they give a probe: effect_i = (probe . W_i) (mean act_i where positive - mean
// act_i elsewhere). decoder is [F, d], probe [d], acts [n, F].
func AttributionEffects[T real](acts *Sparse, positive []bool, decoder []T, probe []float64) ([]float64, error) {
	if c := countTrue(positive); acts.Rows() != len(positive) || c == 0 || c == len(positive) {
		return nil, fmt.Errorf("sae: attribution: %d of %d labels are positive for %d rows; it needs both classes: %w", c, len(positive), acts.Rows(), stats.ErrDegenerate)
	}
	if len(decoder) != acts.Cols*len(probe) {
		return nil, fmt.Errorf("sae: attribution: %d decoder values for %d latents of width %d", len(decoder), acts.Cols, len(probe))
	}
	effect := meanDifference(acts, positive)
	d := len(probe)
	for i := range effect {
		dot := 0.0
		for j, v := range decoder[i*d : (i+1)*d] {
			dot += float64(v) * probe[j]
		}
		effect[i] *= dot
	}
	return effect, nil
}

// AblateLatents returns x without what the given latents wrote, x - sum_i act_i W_i; the reconstruction error stays.
// x is [n, d], acts [n, F], decoder [F, d].
func AblateLatents[T real](x []T, acts *Sparse, decoder []T, latents []int32) ([]T, error) {
	return setActive(x, acts, decoder, latents, 0)
}

// setActive sets the given latents to a value wherever they are active.
func setActive[T real](x []T, acts *Sparse, decoder []T, latents []int32, to float64) ([]T, error) {
	d := len(decoder) / max(acts.Cols, 1)
	if d == 0 || len(decoder) != acts.Cols*d || len(x) != acts.Rows()*d {
		return nil, fmt.Errorf("sae: edit latents: %d values, %d rows of %d latents, %d decoder values do not fit", len(x), acts.Rows(), acts.Cols, len(decoder))
	}
	chosen := make([]bool, acts.Cols)
	for _, l := range latents {
		if l < 0 || int(l) >= acts.Cols {
			return nil, fmt.Errorf("sae: edit latents: latent %d of %d", l, acts.Cols)
		}
		chosen[l] = true
	}
	out := append([]T{}, x...)
	for r := range acts.Rows() {
		index, value := acts.Row(r)
		for j, l := range index {
			if !chosen[l] {
				continue
			}
			for c, w := range decoder[int(l)*d : (int(l)+1)*d] {
				out[r*d+c] += T(to-value[j]) * w
			}
		}
	}
	return out, nil
}

// MeasureTPP fits a probe a class on the first trainShare of the rows, ablates the top latents of each class in turn by
// their attribution effects and scores the accuracies on the other rows. x is [n, d], acts the latents of x, class the
// class of each row, 0 to k-1. See [AblationScoresOff].
func MeasureTPP[T real](ctx context.Context, x []T, acts *Sparse, decoder []T, class []int, k, top int, trainShare float64) (TPPScore, error) {
	n := len(class)
	if n == 0 || len(x)%n != 0 || acts.Rows() != n || k < 2 || top < 1 {
		return TPPScore{}, fmt.Errorf("sae: tpp: %d values, %d rows of latents and %d classes for %d labels, top %d; take the same rows for all", len(x), acts.Rows(), k, n, top)
	}
	d, train := len(x)/n, int(float64(n)*trainShare)
	rows, err := SparseOf(x, d)
	if err != nil {
		return TPPScore{}, err
	}
	of := func(i int) []bool {
		is := make([]bool, n)
		for r, c := range class {
			is[r] = c == i
		}
		return is
	}
	probes := make([]LinearProbe, k)
	clean, ablated := make([]float64, k), make([]float64, k*k)
	for i := range k {
		if probes[i], err = FitLogistic(ctx, rows.Slice(0, train), of(i)[:train], 1); err != nil {
			return TPPScore{}, fmt.Errorf("sae: tpp: class %d: %w", i, err)
		}
		clean[i] = accuracyOf(probes[i], rows.Slice(train, n), of(i)[train:])
	}
	for i := range k {
		effect, err := AttributionEffects(acts.Slice(0, train), of(i)[:train], decoder, probes[i].Coef)
		if err != nil {
			return TPPScore{}, err
		}
		without, err := AblateLatents(x, acts, decoder, falling(effect)[:min(top, len(effect))])
		if err != nil {
			return TPPScore{}, err
		}
		changed, err := SparseOf(without, d)
		if err != nil {
			return TPPScore{}, err
		}
		for j := range k {
			ablated[j*k+i] = accuracyOf(probes[j], changed.Slice(train, n), of(j)[train:])
		}
	}
	return TPP(clean, ablated)
}
