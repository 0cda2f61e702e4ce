package method

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distmv"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/vectors"
)

// CoErasingConfig are the settings of co-erasing.
type CoErasingConfig struct {
	erase.UCEConfig
	Keep  ClosedConfig `json:"keep" doc:"what is preserved"`
	Mixes int          `json:"mixes" doc:"mixes of each fitting prompt's tokens"`
	Alpha float64      `json:"alpha" doc:"of the Dirichlet distribution of their weights; small: a mix is nearly one token"`
}

// Validate checks every setting.
func (c CoErasingConfig) Validate() error {
	if c.Mixes < 1 || !(c.Alpha > 0) {
		return fmt.Errorf("mixes is %d and alpha %v; use 1 or more, and a positive number", c.Mixes, c.Alpha)
	}
	return c.UCEConfig.Validate()
}

// coErasing is the text half of Co-Erasing: there an image chooses weights with which the concept's text tokens are mixed; here they are
// drawn, and the mixes are further targets of UCE.
func coErasing() Method {
	return Method{
		Name: "co-erasing", Title: "Co-Erasing, the text half", Paper: "Co-Erasing", Acts: ActsEmbeddings, Check: "planted (TestMixes); the image branch is not here",
		Config: func() any {
			return &CoErasingConfig{UCEConfig: erase.DefaultUCE(), Keep: ClosedConfig{Preserve: true}, Mixes: 8, Alpha: 1}
		},
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*CoErasingConfig)
			r, err := request(ctx, e, t, c.Keep)
			if err != nil {
				return nil, err
			}
			var prompts []string
			for _, target := range t.Erase {
				prompts = append(prompts, target.Fit...)
			}
			states, err := e.States(ctx, nil, prompts)
			if err != nil {
				return nil, err
			}
			n, d := r.Concepts.Dims()
			concepts, anchors := mat.NewDense(n*(1+c.Mixes), d, nil), mat.NewDense(n*(1+c.Mixes), d, nil)
			for i := range n {
				concepts.SetRow(i, r.Concepts.RawRowView(i))
				anchors.SetRow(i, r.Anchors.RawRowView(i))
				mixes, err := Mixes(states[i], c.Mixes, c.Alpha, uint64(t.Seed)+uint64(i))
				if err != nil {
					return nil, fmt.Errorf("method: co-erasing: %q: %w", prompts[i], err)
				}
				for k := range c.Mixes {
					concepts.SetRow(n+i*c.Mixes+k, mixes.RawRowView(k))
					anchors.SetRow(n+i*c.Mixes+k, r.Anchors.RawRowView(i))
				}
			}
			r.Concepts, r.Anchors = concepts, anchors
			edit, err := erase.UCE(r, c.UCEConfig)
			if err != nil {
				return nil, err
			}
			return linear(e, "co-erasing", edit), nil
		},
	}
}

// Mixes are convex combinations [k, d] of a text's states at tokens that are not special, with Dirichlet(alpha) weights.
func Mixes(s *encoder.State, k int, alpha float64, seed uint64) (*mat.Dense, error) {
	_, d := s.X.Dims()
	var words []int
	for t, special := range s.Special {
		if !special {
			words = append(words, t)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("the text has no token to mix: %w", vectors.ErrArgument)
	}
	concentration := make([]float64, len(words))
	for i := range concentration {
		concentration[i] = alpha
	}
	weights := distmv.NewDirichlet(concentration, rand.NewPCG(seed, 0x6d6978)) // "mix"
	out := mat.NewDense(k, d, nil)
	w := make([]float64, len(words))
	for i := range k {
		row := out.RawRowView(i)
		for j, v := range weights.Rand(w) {
			for c, x := range s.X.RawRowView(words[j]) {
				row[c] += v * x
			}
		}
	}
	return out, nil
}
