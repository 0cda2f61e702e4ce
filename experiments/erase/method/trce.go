package method

import (
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// TRCEConfig are the settings of trce.
type TRCEConfig struct {
	erase.TRCEConfig
	Synonyms bool `json:"synonyms" doc:"sentences with the concept's synonyms too"`
}

func trce() Method {
	return Method{
		Name: "trce", Title: "TRCE, stage 1", Paper: "arXiv:2503.07389", Acts: ActsEmbeddings, Check: "golden (TestGoldenErasure)",
		Config: func() any {
			c := &TRCEConfig{TRCEConfig: erase.DefaultTRCE(), Synonyms: true}
			c.Lambda = 0.01 // a few hundred sentences do not fill the space, as the published prior does
			return c
		},
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*TRCEConfig)
			pairs, err := trcePairs(ctx, e, t, c.Synonyms)
			if err != nil {
				return nil, err
			}
			p, err := prior(ctx, e, t)
			if err != nil {
				return nil, err
			}
			edit, err := erase.TRCE(pairs, p, c.TRCEConfig)
			if err != nil {
				return nil, err
			}
			return linear(e, "trce", edit), nil
		},
	}
}

// trcePairs are fitting sentences with each concept beside those with its anchor. The place of what the encoder pools stands for the
// end-of-text token: where it pools the mean, that is the sentence's one row.
func trcePairs(ctx context.Context, e *encoder.Encoder, t *Task, synonyms bool) ([]erase.TRCEPair, error) {
	var bad, safe []string
	for _, c := range t.Erase {
		names := [][]string{c.Fit}
		if synonyms {
			names = append(names, c.SynonymFit...)
		}
		for _, list := range names {
			bad, safe = append(bad, list...), append(safe, c.AnchorFit...)
		}
	}
	if len(bad) != len(safe) {
		return nil, fmt.Errorf("method: trce: %d sentences for %d safe ones; give every name the same templates", len(bad), len(safe))
	}
	x, err := e.Embed(ctx, nil, slices.Concat(bad, safe))
	if err != nil {
		return nil, err
	}
	_, d := x.Dims()
	out := make([]erase.TRCEPair, len(bad))
	for i := range out {
		out[i] = erase.TRCEPair{Malicious: mat.NewDense(1, d, x.RawRowView(i)), Safe: mat.NewDense(1, d, x.RawRowView(len(bad)+i))}
	}
	return out, nil
}
