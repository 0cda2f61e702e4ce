package method

import (
	"context"
	"fmt"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// SAUCEConfig are the settings of sauce.
type SAUCEConfig struct {
	erase.SAUCEConfig
	Dictionary DictionaryConfig `json:"dictionary" doc:"the autoencoder, the same as that of itd"`
}

// Validate checks what needs no encoder.
func (c *SAUCEConfig) Validate() error {
	if err := c.SAUCEConfig.Validate(); err != nil {
		return err
	}
	return c.Dictionary.Validate()
}

func sauce() Method {
	kept := new(Dictionaries)
	return Method{
		Name: "sauce", Title: "SAUCE-style scaling of autoencoder features", Paper: "arXiv:2503.14530", Acts: ActsActivations,
		Check:  "hand (TestSAUCEHand); the published model is a vision-language one, whose images have no counterpart here",
		Config: func() any { return &SAUCEConfig{SAUCEConfig: erase.DefaultSAUCE(), Dictionary: DefaultDictionary()} },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*SAUCEConfig)
			coder, err := kept.Open(ctx, e, c.Dictionary, t.Seed)
			if err != nil {
				return nil, err
			}
			return FitSAUCE(ctx, e, t, coder, c.Dictionary.At(e), c.SAUCEConfig)
		},
	}
}

// FitSAUCE finds the features that a task's concepts raise most, in an autoencoder of the states after so many blocks: their fitting
// prompts against the same templates with the anchors in their place.
func FitSAUCE(ctx context.Context, e *encoder.Encoder, t *Task, coder erase.Coder, layer int, cfg erase.SAUCEConfig) (*encoder.Variant, error) {
	var twins []string
	for _, c := range t.Erase {
		twins = append(twins, c.AnchorFit...)
	}
	with, err := ordered(ctx, e, layer, Prompts(t.Erase))
	if err != nil {
		return nil, err
	}
	without, err := ordered(ctx, e, layer, twins)
	if err != nil {
		return nil, err
	}
	hook, err := erase.FitSAUCE(coder, with, without, cfg)
	if err != nil {
		return nil, fmt.Errorf("method: sauce: %w", err)
	}
	return &encoder.Variant{Name: "sauce", Hook: hook, Layer: layer, Notes: map[string]any{"features": hook.Features, "gap": hook.Gap}}, nil
}
