package method

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/floats"

	"loupe/experiments/erase/encoder"
	"loupe/probe/model"
	"loupe/probe/train"
)

// What the texts are driven away from.
const (
	ExamplesConcept = "concept" // embeddings of the concept's own texts
	ExamplesRandom  = "random"  // random directions, a control
)

// FewShotConfig are the settings of few-shot. The published ones (on four images and a denoiser's loss): all MLPs and the last
// attention, Adam at 1e-5 with beta .9 and .98, eps 1e-6 and decay 1e-8, batches of 2, four to five epochs: about ten steps.
type FewShotConfig struct {
	Update      []string     `json:"update" doc:"parameters that are trained, by glob: blocks.*.mlp.* and blocks.last.attn.* are the published choice"`
	Shots       int          `json:"shots" doc:"examples of each concept: embeddings of its first fitting texts by the original encoder"`
	Examples    string       `json:"examples" doc:"what texts are driven away from: the concept's examples, or random directions as a control" enum:"concept,random"`
	Temperature float64      `json:"temperature" doc:"divides the cosines"`
	Batch       int          `json:"batch" doc:"texts of a step"`
	Train       train.Config `json:"train" doc:"of the optimiser"`
}

// DefaultFewShot has a rate that suits small sentence encoders, chosen on horse and church in MiniLM.
func DefaultFewShot() *FewShotConfig {
	c := &FewShotConfig{
		Update: []string{"blocks.*.mlp.*", "blocks.last.attn.*"}, Shots: 4, Examples: ExamplesConcept, Temperature: 0.07, Batch: 4, Train: train.DefaultConfig(),
	}
	c.Train.Steps, c.Train.LR, c.Train.Beta2, c.Train.Eps, c.Train.WeightDecay = 10, 6e-5, 0.98, 1e-6, 1e-8
	return c
}

// Validate checks what does not depend on the encoder.
func (c *FewShotConfig) Validate() error {
	switch {
	case len(c.Update) == 0:
		return fmt.Errorf("method: few-shot: update names no parameter; the published choice is blocks.*.mlp.* and blocks.last.attn.*")
	case c.Shots < 1 || c.Batch < 1 || c.Train.Steps < 1:
		return fmt.Errorf("method: few-shot: shots is %d, batch %d and steps %d; use 1 or more", c.Shots, c.Batch, c.Train.Steps)
	case !(c.Temperature > 0):
		return fmt.Errorf("method: few-shot: temperature is %v; it must be positive", c.Temperature)
	case c.Examples != ExamplesConcept && c.Examples != ExamplesRandom:
		return fmt.Errorf("method: few-shot: examples is %q; use %s or %s", c.Examples, ExamplesConcept, ExamplesRandom)
	}
	return c.Train.Validate()
}

func fewShot() Method {
	return Method{
		Name: "few-shot", Title: "Few-shot ascent through the text encoder", Paper: "arXiv:2405.07288", Acts: ActsWeights,
		Check:  "hand: the loss of the first step is the mean cosine (TestFewShotLoss); property; the published loss is a denoiser's on images, which is not at hand",
		Config: func() any { return DefaultFewShot() },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			return fitFewShot(ctx, e, t, conf.(*FewShotConfig))
		},
	}
}

// shot is a text with an example that it is driven away from.
type shot struct {
	text    *encoder.State
	example []float64 // [d], of norm 1
}

// fitFewShot climbs the loss of the concepts' texts, as the published method climbs the denoiser's: it lowers mean cos(E(text), v) / temperature
// for examples v of the concept. Nothing is said about where the texts go instead, nor about texts that are kept.
func fitFewShot(ctx context.Context, e *encoder.Encoder, t *Task, c *FewShotConfig) (*encoder.Variant, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	names, err := train.Subset(e.Model.Spec, c.Update...)
	if err != nil {
		return nil, err
	}
	shots, longest, err := fewShots(ctx, e, t, c)
	if err != nil {
		return nil, err
	}
	trainer, err := train.New(e.Engine, e.Model, names, c.Train)
	if err != nil {
		return nil, err
	}
	seq := (longest + 7) / 8 * 8
	plan := model.Plan{Batch: c.Batch, Seq: seq, Storage: e.Model.Params.Storage(), Objective: alignment(c.Batch, seq, e.Width())}
	rng := rand.New(rand.NewPCG(uint64(t.Seed), 0x73686f74)) // "shot"
	var first, last float64
	for step := range c.Train.Steps {
		hand := make([]shot, c.Batch)
		for i := range hand {
			concept := shots[rng.IntN(len(shots))]
			hand[i] = shot{concept.texts[rng.IntN(len(concept.texts))], concept.examples[rng.IntN(len(concept.examples))]}
		}
		in, err := alignmentInputs(e, hand, seq, c.Temperature)
		if err != nil {
			return nil, err
		}
		if last, err = trainer.Step(ctx, plan, in); err != nil {
			return nil, fmt.Errorf("method: few-shot: %w", err)
		}
		if step == 0 {
			first = last
		}
	}
	notes := map[string]any{"first_cosine": first * c.Temperature, "last_cosine": last * c.Temperature, "parameters": len(names)}
	return &encoder.Variant{Name: "few-shot", Params: trainer.Params(), Notes: notes}, nil
}

// conceptShots are one concept's texts and examples.
type conceptShots struct {
	texts    []*encoder.State
	examples [][]float64
}

func fewShots(ctx context.Context, e *encoder.Encoder, t *Task, c *FewShotConfig) (out []conceptShots, longest int, err error) {
	rng := rand.New(rand.NewPCG(uint64(t.Seed), 0x72616e64)) // "rand"
	for _, concept := range t.Erase {
		if len(concept.Fit) < c.Shots {
			return nil, 0, fmt.Errorf("method: few-shot: %d shots of %s, which has %d fitting texts; use fewer", c.Shots, concept.Name, len(concept.Fit))
		}
		states, err := e.States(ctx, nil, concept.Fit)
		if err != nil {
			return nil, 0, err
		}
		s := conceptShots{texts: states}
		for i, state := range states {
			longest = max(longest, state.Len())
			if i >= c.Shots {
				continue
			}
			x, err := e.Pooled(state)
			if err != nil {
				return nil, 0, err
			}
			v := append([]float64(nil), x...)
			if c.Examples == ExamplesRandom {
				for j := range v {
					v[j] = rng.NormFloat64()
				}
			}
			floats.Scale(1/floats.Norm(v, 2), v)
			s.examples = append(s.examples, v)
		}
		out = append(out, s)
	}
	return out, longest, nil
}

// alignmentInputs are the inputs of the objective alignment for texts with examples, each of weight 1 / (batch temperature).
func alignmentInputs(e *encoder.Encoder, hand []shot, seq int, temperature float64) (model.Inputs, error) {
	n, d := len(hand), e.Width()
	in := model.Inputs{IDs: make([]int32, n*seq), Mask: make([]int32, n*seq), Types: make([]int32, n*seq)}
	pool, example, weight := make([]float32, n*seq), make([]float32, n*d), make([]float32, n)
	one := make([]float64, d)
	one[0] = 1
	for r, s := range hand {
		shares, err := e.Spread(s.text, one) // a token's share of the embedding, in the first column
		if err != nil {
			return in, err
		}
		for p, id := range s.text.IDs {
			in.IDs[r*seq+p], in.Mask[r*seq+p], in.Types[r*seq+p] = id, 1, s.text.TypeIDs[p]
			pool[r*seq+p] = float32(shares.At(p, 0))
		}
		for j, v := range s.example {
			example[r*d+j] = float32(v)
		}
		weight[r] = float32(1 / (float64(n) * temperature))
	}
	in.Objective = map[string]*tensors.Tensor{
		"pool": tensors.FromFlatDataAndDimensions(pool, n, seq), "example": tensors.FromFlatDataAndDimensions(example, n, d), "weight": tensors.FromFlatDataAndDimensions(weight, n),
	}
	return in, nil
}
