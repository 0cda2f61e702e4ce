package method

import (
	"context"
	"fmt"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// ITDConfig are the settings of itd.
type ITDConfig struct {
	erase.ITDConfig
	Dictionary DictionaryConfig `json:"dictionary" doc:"the autoencoder"`
}

// Validate checks what needs no encoder.
func (c *ITDConfig) Validate() error {
	if err := c.ITDConfig.Validate(); err != nil {
		return err
	}
	return c.Dictionary.Validate()
}

func itd() Method {
	kept := new(Dictionaries)
	return Method{
		Name: "itd", Title: "Interpret then Deactivate", Paper: "arXiv:2503.09446", Acts: ActsActivations,
		Check: "golden (TestGoldenErasure), gradient (TestITDPullback)",
		Config: func() any {
			c := &ITDConfig{ITDConfig: erase.DefaultITD(), Dictionary: DefaultDictionary()}
			c.Top, c.Between = 16, true // the published 128 are of 524,288 features, and its threshold of hundreds of prompts
			return c
		},
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*ITDConfig)
			coder, err := kept.Open(ctx, e, c.Dictionary, t.Seed)
			if err != nil {
				return nil, err
			}
			return FitITD(ctx, e, t, coder, c.Dictionary.At(e), c.ITDConfig)
		},
	}
}

// FitITD finds a task's features in an autoencoder of the states after so many blocks: those among the top of a prompt of the erased concepts
// and of no prompt of the kept ones and no ordinary sentence.
func FitITD(ctx context.Context, e *encoder.Encoder, t *Task, coder erase.Coder, layer int, cfg erase.ITDConfig) (*encoder.Variant, error) {
	target, err := ordered(ctx, e, layer, Prompts(t.Erase))
	if err != nil {
		return nil, err
	}
	remain, err := ordered(ctx, e, layer, append(t.Preserved(), t.Benign...))
	if err != nil {
		return nil, err
	}
	hook, err := erase.FitITD(coder, target, remain, cfg)
	if err != nil {
		return nil, fmt.Errorf("method: itd: %w", err)
	}
	v := &encoder.Variant{Name: "itd", Hook: hook, Layer: layer, Notes: map[string]any{
		"features": len(hook.Features), "target_features": len(hook.Target), "remain_features": len(hook.Remain), "threshold": hook.Threshold,
	}}
	if hook.Warning != "" {
		v.Notes["warnings"] = []string{hook.Warning}
	}
	return v, nil
}
