package method

import (
	"context"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// ClosedConfig says what a closed form keeps besides what its own settings hold.
type ClosedConfig struct {
	Preserve bool `json:"preserve" doc:"keep the fitting prompts of the other concepts"`
	Prior    bool `json:"prior" doc:"keep the second moment of ordinary sentences, weighed by prior_scale"`
}

// request embeds a task for a closed form: each concept's fitting prompts go to the anchor's of the same templates.
func request(ctx context.Context, e *encoder.Encoder, t *Task, keep ClosedConfig) (erase.Request, error) {
	var r erase.Request
	var from, to []string
	for _, c := range t.Erase {
		from, to = append(from, c.Fit...), append(to, c.AnchorFit...)
	}
	sets := []struct {
		dst   **mat.Dense
		texts []string
	}{{&r.Concepts, from}, {&r.Anchors, to}, {&r.HeldOut, t.HeldOut}}
	if keep.Preserve {
		if p := t.Preserved(); len(p) > 0 {
			sets = append(sets, struct {
				dst   **mat.Dense
				texts []string
			}{&r.Preserve, p})
		}
	}
	for _, s := range sets {
		x, err := e.Embed(ctx, nil, s.texts)
		if err != nil {
			return r, err
		}
		*s.dst = x
	}
	if keep.Prior {
		var err error
		if r.Prior, err = prior(ctx, e, t); err != nil {
			return r, err
		}
	}
	return r, nil
}

// prior is the second moment of the task's ordinary sentences.
func prior(ctx context.Context, e *encoder.Encoder, t *Task) (*erase.Prior, error) {
	x, err := e.Embed(ctx, nil, t.Benign)
	if err != nil {
		return nil, err
	}
	return erase.PriorFromRows(x)
}

// linear is a variant whose final states go through a map.
func linear(e *encoder.Encoder, name string, edit *erase.Edit) *encoder.Variant {
	notes := map[string]any{"erased_error": edit.Errors.Erased, "preserve_error": edit.Errors.Preserve, "held_out_drift": edit.Errors.HeldOut}
	if len(edit.Warnings) > 0 {
		notes["warnings"] = edit.Warnings
	}
	return &encoder.Variant{Name: name, Hook: encoder.Linear{Map: edit.Map}, Layer: e.Layers(), Notes: notes}
}

// UCEConfig are the settings of uce.
type UCEConfig struct {
	erase.UCEConfig
	Keep ClosedConfig `json:"keep" doc:"what is preserved"`
}

func uce() Method {
	return Method{
		Name: "uce", Title: "Unified Concept Editing", Paper: "arXiv:2308.14761", Acts: ActsEmbeddings, Check: "golden (TestGoldenErasure), identity W' = W E",
		Config: func() any { return &UCEConfig{UCEConfig: erase.DefaultUCE(), Keep: ClosedConfig{Preserve: true}} },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*UCEConfig)
			r, err := request(ctx, e, t, c.Keep)
			if err != nil {
				return nil, err
			}
			edit, err := erase.UCE(r, c.UCEConfig)
			if err != nil {
				return nil, err
			}
			return linear(e, "uce", edit), nil
		},
	}
}

// RECEConfig are the settings of rece.
type RECEConfig struct {
	erase.RECEConfig
	Keep ClosedConfig `json:"keep" doc:"what is preserved"`
}

func rece() Method {
	return Method{
		Name: "rece", Title: "Reliable and Efficient Concept Erasure", Paper: "arXiv:2407.12383", Acts: ActsEmbeddings,
		Check: "golden (TestGoldenErasure); S = I stands for the key and value matrices, an approximation",
		Config: func() any {
			return &RECEConfig{RECEConfig: erase.DefaultRECE(), Keep: ClosedConfig{Preserve: true}}
		},
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*RECEConfig)
			r, err := request(ctx, e, t, c.Keep)
			if err != nil {
				return nil, err
			}
			edit, err := erase.RECE(ctx, r, erase.IdentityGram(e.Width()), c.RECEConfig)
			if err != nil {
				return nil, err
			}
			v := linear(e, "rece", edit.Edit)
			v.Notes["recovery"] = edit.Recovery
			return v, nil
		},
	}
}
