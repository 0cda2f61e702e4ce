package method

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/vectors"
)

// None are the settings of a method that has none.
type None struct{}

// Validate implements the check of settings.
func (None) Validate() error { return nil }

// nothing is the baseline that every method has to beat.
func nothing() Method {
	return Method{
		Name: "nothing", Title: "Do nothing", Acts: ActsEmbeddings, Check: "identity",
		Config: func() any { return &None{} },
		Fit: func(context.Context, *encoder.Encoder, *Task, any) (*encoder.Variant, error) {
			return &encoder.Variant{Name: "nothing", Notes: map[string]any{}}, nil
		},
	}
}

// SubspaceConfig are the settings of random-subspace.
type SubspaceConfig struct {
	Rank int `json:"rank" doc:"directions that are removed"`
}

// Validate refuses a rank that removes nothing.
func (c SubspaceConfig) Validate() error {
	if c.Rank < 1 {
		return fmt.Errorf("rank is %d; use 1 or more", c.Rank)
	}
	return nil
}

// randomSubspace removes directions that have nothing to do with the concept: a control of equal rank.
func randomSubspace() Method {
	return Method{
		Name: "random-subspace", Title: "Random subspace removed", Acts: ActsEmbeddings, Check: "property: idempotent, of the rank asked for",
		Config: func() any { return &SubspaceConfig{Rank: 1} },
		Fit: func(_ context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			er, err := vectors.RandomProjection(e.Width(), conf.(*SubspaceConfig).Rank, uint64(t.Seed))
			if err != nil {
				return nil, err
			}
			return &encoder.Variant{Name: "random-subspace", Hook: encoder.Affine{Eraser: er}, Layer: e.Layers(), Notes: map[string]any{"rank": er.Rank()}}, nil
		},
	}
}

// linearEraser is a method of package vectors that tells the concepts' prompts from those that are kept.
func linearEraser(name, title, paper, method string) Method {
	return Method{
		Name: name, Title: title, Paper: paper, Acts: ActsEmbeddings, Check: "golden (TestGoldenVectors)",
		Config: func() any { return &None{} },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, _ any) (*encoder.Variant, error) {
			texts := Prompts(t.Erase)
			class := make([]int, 0, len(texts))
			for i, c := range t.Erase {
				for range c.Fit {
					class = append(class, i+1)
				}
			}
			kept := append(t.Preserved(), t.Benign...)
			class = append(class, make([]int, len(kept))...)
			x, err := e.Embed(ctx, nil, append(texts, kept...))
			if err != nil {
				return nil, err
			}
			f, err := vectors.FitMethod(ctx, method, x, vectors.Labels{Class: class, K: len(t.Erase) + 1}, vectors.DefaultMethodConfig())
			if err != nil {
				return nil, fmt.Errorf("method: %s: %w", name, err)
			}
			return &encoder.Variant{Name: name, Hook: encoder.Affine{Eraser: f.Eraser}, Layer: e.Layers(), Notes: map[string]any{"rank": f.Rank}}, nil
		},
	}
}

func leace() Method {
	return linearEraser("leace", "LEACE", "arXiv:2306.03819", vectors.MethodLEACE)
}

func meanProjection() Method {
	return linearEraser("mean-projection", "Mean projection", "arXiv:2306.03819", vectors.MethodMeanProjection)
}

// NegativeConfig are the settings of negative-prompt.
type NegativeConfig struct {
	Strength float64 `json:"strength" doc:"times the direction that is subtracted"`
}

// Validate refuses a strength that does nothing.
func (c NegativeConfig) Validate() error {
	if c.Strength == 0 {
		return fmt.Errorf("strength is 0 and would change nothing; use 1")
	}
	return nil
}

// negativePrompt subtracts what a concept's prompts have in common beside their anchor's from every text, as a negative prompt does.
func negativePrompt() Method {
	return Method{
		Name: "negative-prompt", Title: "Negative-prompt direction", Acts: ActsEmbeddings, Check: "hand",
		Config: func() any { return &NegativeConfig{Strength: 1} },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			var with, without []string
			for _, c := range t.Erase {
				with, without = append(with, c.Fit...), append(without, c.AnchorFit...)
			}
			x, err := e.Embed(ctx, nil, append(with, without...))
			if err != nil {
				return nil, err
			}
			g := make([]float64, e.Width())
			n := float64(len(with))
			for i := range with {
				floats.AddScaled(g, conf.(*NegativeConfig).Strength/n, x.RawRowView(i))
				floats.AddScaled(g, -conf.(*NegativeConfig).Strength/n, x.RawRowView(len(with)+i))
			}
			return &encoder.Variant{Name: "negative-prompt", Hook: shift{g}, Layer: e.Layers(), Notes: map[string]any{"norm": floats.Norm(g, 2)}}, nil
		},
	}
}

// shift subtracts a vector from every state.
type shift struct{ by []float64 }

// Apply implements encoder.Hook.
func (s shift) Apply(t erase.Text) (*mat.Dense, bool, error) {
	out := mat.DenseCopyOf(t.X)
	n, _ := out.Dims()
	for i := range n {
		floats.Sub(out.RawRowView(i), s.by)
	}
	return out, true, nil
}

// Pullback implements encoder.Hook.
func (s shift) Pullback(_ erase.Text, g *mat.Dense) (*mat.Dense, error) { return g, nil }

// Size is the number of values that the hook holds.
func (s shift) Size() int64 { return int64(len(s.by)) }
