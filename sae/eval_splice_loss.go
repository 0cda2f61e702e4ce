package sae

import (
	"context"
	"fmt"
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

// textLoss are the sums over one text, by place in variants.
type textLoss struct {
	tokens int
	ce, kl [variantCount]float64
}

// SpliceLoss measures cross entropy and divergence under every variant. The splicer must have been made with
// model.LogitsAll. Every real token after another real one is predicted and scored, whether or not it was spliced. Without
// SetMean the mean is first taken over the spliced positions of the batches. It needs about 5 B T V floats of memory.
func SpliceLoss(ctx context.Context, s *Splicer, batches []TokenBatch, boot stats.BootstrapConfig) (SpliceReport, error) {
	if s.plan.Logits != model.LogitsAll {
		return SpliceReport{}, fmt.Errorf("sae: splice loss: the plan's logits are %q; make the splicer with model.LogitsAll", s.plan.Logits)
	}
	if err := s.ensureMean(ctx, batches); err != nil {
		return SpliceReport{}, err
	}
	var texts []textLoss
	for _, b := range batches {
		logits := map[Variant][]float32{}
		err := s.Run(ctx, b, variants[:], func(v Variant, out *model.Outputs) (err error) {
			logits[v], err = tensors.CopyFlatData[float32](out.Logits())
			return err
		})
		if err != nil {
			return SpliceReport{}, err
		}
		for r := range s.plan.Batch {
			if t := s.scoreText(b, r, logits); t.tokens > 0 {
				texts = append(texts, t)
			}
		}
	}
	if len(texts) == 0 {
		return SpliceReport{}, fmt.Errorf("sae: splice loss: no text has two tokens: %w", stats.ErrTooFew)
	}
	return summarise(ctx, texts, boot)
}

// scoreText scores the predictions of row r of a batch.
func (s *Splicer) scoreText(b TokenBatch, r int, logits map[Variant][]float32) textLoss {
	seq := s.plan.Seq
	vocab := len(logits[VariantClean]) / len(b.IDs)
	var at []int
	for i := r * seq; i < (r+1)*seq-1; i++ {
		if b.real(i) && b.real(i+1) {
			at = append(at, i)
		}
	}
	each := make([]textLoss, len(at))
	parallel(len(at), func(_, _, lo, hi int) {
		clean, other := make([]float64, vocab), make([]float64, vocab)
		for j := lo; j < hi; j++ {
			i := at[j]
			logSoftmax(clean, logits[VariantClean][i*vocab:(i+1)*vocab])
			target := b.IDs[i+1]
			each[j].ce[0] = -clean[target]
			for v := 1; v < len(variants); v++ {
				logSoftmax(other, logits[variants[v]][i*vocab:(i+1)*vocab])
				each[j].ce[v], each[j].kl[v] = -other[target], divergence(clean, other)
			}
		}
	})
	t := textLoss{tokens: len(at)}
	for _, e := range each {
		for v := range variants {
			t.ce[v], t.kl[v] = t.ce[v]+e.ce[v], t.kl[v]+e.kl[v]
		}
	}
	return t
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

// summarise turns sums over texts into means a token with intervals.
func summarise(ctx context.Context, texts []textLoss, boot stats.BootstrapConfig) (SpliceReport, error) {
	r := SpliceReport{Texts: len(texts), Variants: map[Variant]VariantLoss{}}
	all := make([]int, len(texts))
	for i, t := range texts {
		all[i] = i
		r.Tokens += t.tokens
	}
	// mean returns a statistic: the mean a token of what pick returns for a text.
	mean := func(pick func(textLoss) float64) stats.Statistic {
		return func(index []int) float64 {
			sum, n := 0.0, 0
			for _, i := range index {
				sum, n = sum+pick(texts[i]), n+texts[i].tokens
			}
			return sum / float64(n)
		}
	}
	ce := func(v int) stats.Statistic { return mean(func(t textLoss) float64 { return t.ce[v] }) }
	kl := func(v int) stats.Statistic { return mean(func(t textLoss) float64 { return t.kl[v] }) }
	interval := func(s stats.Statistic) (stats.Interval, error) {
		if v := s(all); sameForEach(s, len(texts)) { // one text, or texts on which nothing differs
			return stats.Interval{Value: v, Low: v, High: v, Level: boot.Level, N: len(texts)}, nil
		}
		return bootstrapOver(ctx, len(texts), s, boot)
	}
	r.CleanCE = ce(0)(all)
	for v := 1; v < len(variants); v++ {
		loss := VariantLoss{CE: ce(v)(all)}
		var err error
		if loss.DeltaCE, err = interval(mean(func(t textLoss) float64 { return t.ce[v] - t.ce[0] })); err != nil {
			return r, fmt.Errorf("sae: splice loss: %s: %w", variants[v], err)
		}
		if loss.KL, err = interval(kl(v)); err != nil {
			return r, fmt.Errorf("sae: splice loss: %s: %w", variants[v], err)
		}
		r.Variants[variants[v]] = loss
	}
	spliced := slices.Index(variants[:], VariantSpliced)
	for _, score := range []struct {
		into    *stats.Interval
		losses  func(int) stats.Statistic
		ablated Variant
	}{
		{&r.CERecovered, ce, VariantZero},
		{&r.KLRecovered, kl, VariantZero},
		{&r.CERecoveredMean, ce, VariantMean},
		{&r.KLRecoveredMean, kl, VariantMean},
	} {
		ablated := slices.Index(variants[:], score.ablated)
		if _, err := LossRecovered(score.losses(0)(all), score.losses(spliced)(all), score.losses(ablated)(all)); err != nil {
			return r, fmt.Errorf("%w (%s)", err, score.ablated)
		}
		var err error
		*score.into, err = interval(func(index []int) float64 {
			a := score.losses(ablated)(index)
			return (a - score.losses(spliced)(index)) / (a - score.losses(0)(index))
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
