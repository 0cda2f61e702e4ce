package autoencoders

import (
	"loupe/internal/stats"
	"loupe/sae"
)

// metric is a number that every dictionary has.
type metric struct {
	name   string // in tables and expectations
	title  string // in reports
	higher bool   // is better
	ranked bool   // tells which architecture is better; L0 and the raw losses do not
	texts  int    // held-out texts that it is computed on
	// of returns the number of one dictionary for a resample of texts.
	of func(m *measured) stats.Statistic
	// plain is of for numbers that texts do not resample, such as dead latents.
	plain func(m *measured) float64
	// ablated is the number of mean ablation, where there is one.
	ablated stats.Statistic
}

// metrics lists what is computed; texts that are spliced are others than those that are reconstructed.
func (x *experiment) metrics(evaluated int, a *Ablated) []metric {
	spliced := len(a.Docs)
	out := []metric{
		{name: "fvu", title: "FVU", ranked: true, texts: evaluated, of: func(m *measured) stats.Statistic { return m.eval.Texts.FVUOf }},
		{name: "l0", title: "L0", texts: evaluated, of: func(m *measured) stats.Statistic { return m.eval.Texts.L0Of }},
		{name: "dead_share", title: "dead latents, share", plain: func(m *measured) float64 { return 1 - m.eval.Result.AliveShare }},
	}
	if x.encoder {
		return append(out,
			metric{
				name: "cosine", title: "cosine of embeddings", higher: true, ranked: true, texts: spliced, ablated: stats.MeanOf(a.Shifts.Cosine),
				of: func(m *measured) stats.Statistic { return stats.MeanOf(m.splice.Shifts.Cosine) },
			},
			metric{
				name: "neighbours", title: "neighbours kept", higher: true, ranked: true, texts: spliced, ablated: stats.MeanOf(a.Shifts.Neighbours),
				of: func(m *measured) stats.Statistic { return stats.MeanOf(m.splice.Shifts.Neighbours) },
			})
	}
	type losses = func(t *sae.TextLosses, v sae.Variant) stats.Statistic
	ce := func(t *sae.TextLosses, v sae.Variant) stats.Statistic { return t.CEOf(v) }
	kl := func(t *sae.TextLosses, v sae.Variant) stats.Statistic { return t.KLOf(v) }
	recovered := func(of losses, against sae.Variant) func(m *measured) stats.Statistic {
		return func(m *measured) stats.Statistic {
			clean, spliced, ablated := of(m.splice.Losses, sae.VariantClean), of(m.splice.Losses, sae.VariantSpliced), of(m.splice.Losses, against)
			return func(index []int) float64 { return (ablated(index) - spliced(index)) / (ablated(index) - clean(index)) }
		}
	}
	return append(out,
		metric{name: "ce_recovered", title: "CE recovered, of zero ablation", higher: true, ranked: true, texts: spliced, of: recovered(ce, sae.VariantZero)},
		metric{name: "kl_recovered", title: "KL recovered, of zero ablation", higher: true, ranked: true, texts: spliced, of: recovered(kl, sae.VariantZero)},
		metric{name: "ce_recovered_mean", title: "CE recovered, of mean ablation", higher: true, texts: spliced, of: recovered(ce, sae.VariantMean)},
		metric{
			name: "ce_more", title: "CE added, nats a token", texts: spliced, ablated: ceMore(a.Losses, sae.VariantMean),
			of: func(m *measured) stats.Statistic { return ceMore(m.splice.Losses, sae.VariantSpliced) },
		},
		metric{
			name: "kl", title: "KL from the model, nats a token", texts: spliced, ablated: a.Losses.KLOf(sae.VariantMean),
			of: func(m *measured) stats.Statistic { return m.splice.Losses.KLOf(sae.VariantSpliced) },
		})
}

// ceMore is what a variant adds to the cross entropy of a token.
func ceMore(t *sae.TextLosses, v sae.Variant) stats.Statistic {
	ablated, clean := t.CEOf(v), t.CEOf(sae.VariantClean)
	return func(index []int) float64 { return ablated(index) - clean(index) }
}
