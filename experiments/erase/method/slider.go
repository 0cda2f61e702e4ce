package method

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
)

// SliderConfig are the settings of a concept slider.
type SliderConfig struct {
	adapter.Config
	Steps int     `json:"steps" doc:"of Adam"`
	LR    float64 `json:"lr" doc:"learning rate"`
	Batch int     `json:"batch" doc:"prompts of a step, each read at strength 1 and -1"`
	Eta   float64 `json:"eta" doc:"times the direction from the negative to the positive prompt"`
}

// Validate refuses a fit that changes nothing.
func (c SliderConfig) Validate() error {
	if c.Steps < 1 || c.Batch < 1 || !(c.LR > 0) || c.Eta == 0 {
		return fmt.Errorf("steps %d, batch %d, lr %v, eta %v: each is needed", c.Steps, c.Batch, c.LR, c.Eta)
	}
	return c.Config.Validate()
}

// DefaultSliderFit is a small budget for sentence encoders; published are rank 4 with alpha 1, 1,000 steps at 2e-4 on a denoiser.
func DefaultSliderFit() SliderConfig {
	return SliderConfig{Config: adapter.Config{Layers: []string{"blocks.*"}, Rank: 4, Scale: 0.25}, Steps: 40, LR: 3e-3, Batch: 4, Eta: 1}
}

// SliderEraserConfig are the settings of slider as an eraser.
type SliderEraserConfig struct {
	SliderConfig
	Alpha float64 `json:"alpha" doc:"strength of the slider: below 0 it leads away from the concept"`
}

// Validate refuses a strength that does nothing.
func (c SliderEraserConfig) Validate() error {
	if c.Alpha == 0 {
		return fmt.Errorf("alpha is 0 and would change nothing; use -1")
	}
	return c.SliderConfig.Validate()
}

func slider() Method {
	return Method{
		Name: "slider", Title: "Concept slider at negative strength", Paper: "arXiv:2311.12092", Acts: ActsWeights,
		Check:  "hand targets; gradients by differences; the loss is of states, for a denoiser's is not at hand",
		Config: func() any { return &SliderEraserConfig{SliderConfig: DefaultSliderFit(), Alpha: -1} },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*SliderEraserConfig)
			var parts []adapter.Part
			loss, size := make(map[string]float64), 0
			for i, target := range t.Erase {
				var prompts []SliderPrompt
				for j, s := range target.Fit {
					prompts = append(prompts, SliderPrompt{Neutral: s, Positive: s, Negative: target.AnchorFit[j]})
				}
				a, last, err := FitSlider(ctx, e, prompts, c.SliderConfig, uint64(t.Seed)+uint64(i))
				if err != nil {
					return nil, fmt.Errorf("method: slider, %s: %w", target.Name, err)
				}
				parts, loss[target.Name], size = append(parts, adapter.Part{Adapter: a, Strength: c.Alpha}), last, size+4*a.Size()
			}
			p, err := adapter.Merge(e.Engine.Backend(), e.Model.Params, parts...)
			if err != nil {
				return nil, err
			}
			return &encoder.Variant{Name: "slider", Params: p, Notes: map[string]any{"last_loss": loss, "bytes": size}}, nil
		},
	}
}

// SliderPrompt is a prompt that a slider changes, with what it goes towards at strength 1 and away from.
type SliderPrompt struct {
	Neutral, Positive, Negative string // c_t, c+, c-
}

// FitSlider trains a low-rank adapter with which, over prompts and |.|² summed over the width and mean over tokens,
//
//	|h'(c_t; +1) - (h + eta (h(c+) - h(c-)))|² + |h'(c_t; -1) - (h - eta (h(c+) - h(c-)))|²
//
// is small (Gandikota et al., arXiv:2311.12092, eq. 8, with states in place of a denoiser's output). The states of c+ and c- are those
// that Align gives the tokens of c_t. It returns the adapter and the loss of the last step.
func FitSlider(ctx context.Context, e *encoder.Encoder, prompts []SliderPrompt, c SliderConfig, seed uint64) (*adapter.Adapter, float64, error) {
	up, down, err := sliderRows(ctx, e, prompts, c.Eta)
	if err != nil {
		return nil, 0, err
	}
	a, err := adapter.New(e.Model.Spec, c.Config, seed)
	if err != nil {
		return nil, 0, err
	}
	fit, err := adapter.NewFitter(e, a, c.LR)
	if err != nil {
		return nil, 0, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x736c6964)) // "slid"
	last := 0.0
	for step := range c.Steps {
		more, less := adapter.Batch{Strength: 1}, adapter.Batch{Strength: -1}
		for range c.Batch {
			i := rng.IntN(len(prompts))
			more.Rows, less.Rows = append(more.Rows, up[i]), append(less.Rows, down[i])
		}
		for i := range c.Batch {
			more.Rows[i].Weight, less.Rows[i].Weight = 1/float64(c.Batch), 1/float64(c.Batch)
		}
		if last, err = fit.Step(ctx, more, less); err != nil {
			return nil, 0, fmt.Errorf("step %d: %w", step, err)
		}
	}
	return a, last, nil
}

// sliderRows are the prompts with their targets at strength 1 and at -1.
func sliderRows(ctx context.Context, e *encoder.Encoder, prompts []SliderPrompt, eta float64) (up, down []adapter.Row, err error) {
	var texts []string
	for _, p := range prompts {
		texts = append(texts, p.Neutral, p.Positive, p.Negative)
	}
	states, err := e.States(ctx, nil, texts)
	if err != nil {
		return nil, nil, err
	}
	for i := range prompts {
		own, positive, negative := states[3*i], states[3*i+1], states[3*i+2]
		soft, err := e.Soften(own.Encoding)
		if err != nil {
			return nil, nil, err
		}
		toward, err := adapter.Align(own.IDs, positive.IDs, positive.X)
		if err != nil {
			return nil, nil, err
		}
		from, err := adapter.Align(own.IDs, negative.IDs, negative.X)
		if err != nil {
			return nil, nil, err
		}
		toward.Sub(toward, from)
		toward.Scale(eta, toward)
		var more, less mat.Dense
		more.Add(own.X, toward)
		less.Sub(own.X, toward)
		up, down = append(up, adapter.Row{Soft: soft, Target: &more}), append(down, adapter.Row{Soft: soft, Target: &less})
	}
	return up, down, nil
}
