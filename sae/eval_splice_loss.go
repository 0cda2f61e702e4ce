package sae

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// VariantLoss is what a variant does to the next-token predictions, in nats a token.
type VariantLoss struct {
	CE      float64        `json:"ce"`       // cross entropy
	DeltaCE stats.Interval `json:"delta_ce"` // CE minus the clean model's
	KL      stats.Interval `json:"kl"`       // from the clean model's predictions to these
}

// SpliceReport says what a dictionary costs a language model. Intervals are over texts; with a single text they have N 1
// and no width.
type SpliceReport struct {
	Texts    int                     `json:"texts"`
	Tokens   int                     `json:"tokens"` // predictions that were scored
	CleanCE  float64                 `json:"clean_ce"`
	Variants map[Variant]VariantLoss `json:"variants"`

	CERecovered     stats.Interval `json:"ce_loss_score"` // against zero ablation, as published
	KLRecovered     stats.Interval `json:"kl_div_score"`
	CERecoveredMean stats.Interval `json:"ce_loss_score_mean_ablation"` // against mean ablation, which is harder to beat
	KLRecoveredMean stats.Interval `json:"kl_div_score_mean_ablation"`
}

// TextLosses are the losses of texts under the variants that were run: sums over each text's scored tokens, in nats. Losses
// of the same texts under other variants can be joined with [TextLosses.With], so that a pass that several dictionaries
// need, such as an ablation, is made once.
type TextLosses struct {
	Tokens []int                 `json:"tokens"` // scored, of each text
	CE     map[Variant][]float64 `json:"ce"`     // cross entropy
	KL     map[Variant][]float64 `json:"kl"`     // from the clean model's predictions to these
}

// SpliceLoss measures cross entropy and divergence under every variant: [SpliceTexts] and [TextLosses.Report].
func SpliceLoss(ctx context.Context, s *Splicer, batches []TokenBatch, boot stats.BootstrapConfig) (SpliceReport, error) {
	t, err := SpliceTexts(ctx, s, batches, variants[1:], nil)
	if err != nil {
		return SpliceReport{}, err
	}
	return t.Report(ctx, boot)
}

// SpliceTexts measures the losses of every text with two real tokens or more under the clean model and the variants asked
// for. The splicer must have been made with model.LogitsAll. Every real token after another real one is predicted and
// scored, whether or not it was spliced. Without SetMean the mean, where it is asked for, is first taken over the spliced
// positions of the batches. done, unless nil, is told of the texts of every batch. It needs about B T V floats of memory
// for each variant.
func SpliceTexts(ctx context.Context, s *Splicer, batches []TokenBatch, ask []Variant, done func(texts int64)) (TextLosses, error) {
	if s.plan.Logits != model.LogitsAll {
		return TextLosses{}, fmt.Errorf("sae: splice loss: the plan's logits are %q; make the splicer with model.LogitsAll", s.plan.Logits)
	}
	all := []Variant{VariantClean}
	for _, v := range ask {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	if slices.Contains(all, VariantMean) {
		if err := s.ensureMean(ctx, batches); err != nil {
			return TextLosses{}, err
		}
	}
	t := TextLosses{CE: map[Variant][]float64{}, KL: map[Variant][]float64{}}
	for _, b := range batches {
		logits := map[Variant][]float32{}
		err := s.Run(ctx, b, all, func(v Variant, out *model.Outputs) (err error) {
			logits[v], err = tensors.CopyFlatData[float32](out.Logits())
			return err
		})
		if err != nil {
			return TextLosses{}, err
		}
		before := len(t.Tokens)
		for r := range s.plan.Batch {
			s.scoreText(&t, b, r, all, logits)
		}
		if done != nil {
			done(int64(len(t.Tokens) - before))
		}
	}
	if len(t.Tokens) == 0 {
		return TextLosses{}, fmt.Errorf("sae: splice loss: no text has two tokens: %w", stats.ErrTooFew)
	}
	return t, nil
}

// scoreText scores the predictions of row r of a batch, unless it has none.
func (s *Splicer) scoreText(t *TextLosses, b TokenBatch, r int, all []Variant, logits map[Variant][]float32) {
	seq := s.plan.Seq
	vocab := len(logits[VariantClean]) / len(b.IDs)
	var at []int
	for i := r * seq; i < (r+1)*seq-1; i++ {
		if b.real(i) && b.real(i+1) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return
	}
	ce, kl := make([]float64, len(at)*len(all)), make([]float64, len(at)*len(all))
	parallel(len(at), func(_, _, lo, hi int) {
		clean, other := make([]float64, vocab), make([]float64, vocab)
		for j := lo; j < hi; j++ {
			i := at[j]
			logSoftmax(clean, logits[VariantClean][i*vocab:(i+1)*vocab])
			target := b.IDs[i+1]
			ce[j*len(all)] = -clean[target]
			for v := 1; v < len(all); v++ {
				logSoftmax(other, logits[all[v]][i*vocab:(i+1)*vocab])
				ce[j*len(all)+v], kl[j*len(all)+v] = -other[target], divergence(clean, other)
			}
		}
	})
	t.Tokens = append(t.Tokens, len(at))
	for v, name := range all {
		sumCE, sumKL := 0.0, 0.0
		for j := range at {
			sumCE, sumKL = sumCE+ce[j*len(all)+v], sumKL+kl[j*len(all)+v]
		}
		t.CE[name], t.KL[name] = append(t.CE[name], sumCE), append(t.KL[name], sumKL)
	}
}

// With returns the losses of t and those variants of other, over the same texts, that t has not.
func (t TextLosses) With(other TextLosses) (TextLosses, error) {
	if !slices.Equal(t.Tokens, other.Tokens) {
		return TextLosses{}, fmt.Errorf("sae: splice loss: %d and %d texts, or other tokens of them, cannot be joined", len(t.Tokens), len(other.Tokens))
	}
	out := TextLosses{Tokens: t.Tokens, CE: maps.Clone(t.CE), KL: maps.Clone(t.KL)}
	for v := range other.CE {
		if _, ok := out.CE[v]; !ok {
			out.CE[v], out.KL[v] = other.CE[v], other.KL[v]
		}
	}
	return out, nil
}

// CEOf is a statistic of a resample of texts: the cross entropy of a token under a variant that was run.
func (t TextLosses) CEOf(v Variant) stats.Statistic { return t.meanOf(t.CE[v]) }

// KLOf is the same for the divergence from the clean model.
func (t TextLosses) KLOf(v Variant) stats.Statistic { return t.meanOf(t.KL[v]) }

// meanOf returns a statistic over texts: the mean a token of sums.
func (t TextLosses) meanOf(sums []float64) stats.Statistic {
	return func(index []int) float64 {
		sum, n := 0.0, 0
		for _, i := range index {
			sum, n = sum+sums[i], n+t.Tokens[i]
		}
		return sum / float64(n)
	}
}

// ensureMean takes the mean over the spliced positions of the batches, unless one is set.
func (s *Splicer) ensureMean(ctx context.Context, batches []TokenBatch) error {
	if s.mean != nil {
		return nil
	}
	sum, n := make([]float64, s.width), 0
	for _, b := range batches {
		err := s.Run(ctx, b, []Variant{VariantClean}, func(_ Variant, out *model.Outputs) error {
			return tensors.ConstFlatData(out.Site(s.site), func(x []float32) {
				for i := range b.IDs {
					if !b.at(i) {
						continue
					}
					n++
					for j, v := range x[i*s.width : (i+1)*s.width] {
						sum[j] += float64(v)
					}
				}
			})
		})
		if err != nil {
			return err
		}
	}
	if n == 0 {
		return fmt.Errorf("sae: splice: no position of the %d batches is to be spliced: %w", len(batches), stats.ErrTooFew)
	}
	s.mean = make([]float32, s.width)
	for j, v := range sum {
		s.mean[j] = float32(v / float64(n))
	}
	return nil
}

// Report turns the losses into means a token with intervals over texts. It needs the variants clean, spliced, zero ablated
// and mean ablated; others are reported where they are there.
func (t TextLosses) Report(ctx context.Context, boot stats.BootstrapConfig) (SpliceReport, error) {
	r := SpliceReport{Texts: len(t.Tokens), Variants: map[Variant]VariantLoss{}}
	for _, v := range []Variant{VariantClean, VariantSpliced, VariantZero, VariantMean} {
		if len(t.Tokens) == 0 || len(t.CE[v]) != len(t.Tokens) || len(t.KL[v]) != len(t.Tokens) {
			return r, fmt.Errorf("sae: splice loss: %d losses for %d texts under %s: %w", len(t.CE[v]), len(t.Tokens), v, stats.ErrTooFew)
		}
	}
	all := make([]int, len(t.Tokens))
	for i, n := range t.Tokens {
		all[i] = i
		r.Tokens += n
	}
	interval := func(s stats.Statistic) (stats.Interval, error) {
		if v := s(all); sameForEach(s, len(all)) { // one text, or texts on which nothing differs
			return stats.Interval{Value: v, Low: v, High: v, Level: boot.Level, N: len(all)}, nil
		}
		return bootstrapOver(ctx, len(all), s, boot)
	}
	r.CleanCE = t.CEOf(VariantClean)(all)
	for _, v := range variants[1:] {
		if len(t.CE[v]) == 0 {
			continue
		}
		loss := VariantLoss{CE: t.CEOf(v)(all)}
		more := make([]float64, len(all))
		for i := range more {
			more[i] = t.CE[v][i] - t.CE[VariantClean][i]
		}
		var err error
		if loss.DeltaCE, err = interval(t.meanOf(more)); err != nil {
			return r, fmt.Errorf("sae: splice loss: %s: %w", v, err)
		}
		if loss.KL, err = interval(t.KLOf(v)); err != nil {
			return r, fmt.Errorf("sae: splice loss: %s: %w", v, err)
		}
		r.Variants[v] = loss
	}
	for _, score := range []struct {
		into    *stats.Interval
		losses  func(Variant) stats.Statistic
		ablated Variant
	}{
		{&r.CERecovered, t.CEOf, VariantZero},
		{&r.KLRecovered, t.KLOf, VariantZero},
		{&r.CERecoveredMean, t.CEOf, VariantMean},
		{&r.KLRecoveredMean, t.KLOf, VariantMean},
	} {
		clean, spliced, ablated := score.losses(VariantClean), score.losses(VariantSpliced), score.losses(score.ablated)
		if _, err := LossRecovered(clean(all), spliced(all), ablated(all)); err != nil {
			return r, fmt.Errorf("%w (%s)", err, score.ablated)
		}
		var err error
		*score.into, err = interval(func(index []int) float64 {
			a := ablated(index)
			return (a - spliced(index)) / (a - clean(index))
		})
		if err != nil {
			return r, fmt.Errorf("sae: splice loss: score against %s: %w", score.ablated, err)
		}
	}
	return r, nil
}

// sameForEach tells whether a statistic is the same number for each of n texts.
func sameForEach(s stats.Statistic, n int) bool {
	first := s([]int{0})
	for i := 1; i < n; i++ {
		if s([]int{i}) != first {
			return false
		}
	}
	return true
}
