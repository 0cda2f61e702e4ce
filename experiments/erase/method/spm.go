package method

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/adapter"
	"loupe/experiments/erase/encoder"
	"loupe/probe/model"
	"loupe/probe/token"
)

// SPMConfig are the settings of spm.
type SPMConfig struct {
	Layers       []string `json:"layers" doc:"linear layers that get a membrane, by pattern: blocks.*, blocks.0.attn.*, *.W_in"`
	Steps        int      `json:"steps" doc:"of Adam, for each concept"`
	LR           float64  `json:"lr" doc:"learning rate"`
	Batch        int      `json:"batch" doc:"prompts of a step"`
	Eta          float64  `json:"eta" doc:"how far beyond the anchor a concept is pushed"`
	Anchors      int      `json:"anchors" doc:"inputs of a step at which nothing may change; 0: no latent anchoring"`
	AnchorWeight float64  `json:"anchor_weight" doc:"of their mean error, beside the prompts' mean error"`
	Transport    bool     `json:"transport" doc:"weigh each text by its likeness to the concept (facilitated transport)"`
}

// Validate refuses a fit that changes nothing.
func (c SPMConfig) Validate() error {
	switch {
	case len(c.Layers) == 0 || c.Steps < 1 || c.Batch < 1 || !(c.LR > 0):
		return fmt.Errorf("layers %q, steps %d, batch %d, lr %v: each is needed", c.Layers, c.Steps, c.Batch, c.LR)
	case c.Anchors < 0 || c.AnchorWeight < 0:
		return fmt.Errorf("anchors %d of weight %v; use 0 or more", c.Anchors, c.AnchorWeight)
	}
	return nil
}

// DefaultSPM is a small budget for sentence encoders, chosen on castles; published are 3,000 steps at 1e-4 on a denoiser, with weight
// 1000.
func DefaultSPM() SPMConfig {
	return SPMConfig{Layers: []string{"blocks.*"}, Steps: 40, LR: 0.01, Batch: 4, Eta: 1, Anchors: 4, AnchorWeight: 100, Transport: true}
}

func spm() Method {
	return Method{
		Name: "spm", Title: "Semi-permeable membranes", Paper: "arXiv:2312.16145", Acts: ActsWeights,
		Check:  "golden gate and composition (TestGoldenErasure); identity: strength 0 is the model itself; gradients by differences; the loss is of states, for a denoiser's is not at hand",
		Config: func() any { c := DefaultSPM(); return &c },
		Fit: func(ctx context.Context, e *encoder.Encoder, t *Task, conf any) (*encoder.Variant, error) {
			c := conf.(*SPMConfig)
			var membranes []Membrane
			loss := make(map[string]float64)
			for i, target := range t.Erase {
				m, last, err := FitSPM(ctx, e, target, *c, uint64(t.Seed)+uint64(i))
				if err != nil {
					return nil, err
				}
				membranes, loss[target.Name] = append(membranes, m), last
			}
			v, err := Transported(ctx, e, membranes, c.Transport)
			if err != nil {
				return nil, err
			}
			v.Notes["last_loss"] = loss
			return v, nil
		},
	}
}

// Membrane is the adapter of one concept with the prompts that its gate compares texts with.
type Membrane struct {
	*adapter.Adapter
	Concept []string
}

// FitSPM trains the membrane of one concept. Each prompt with the concept is led to null - eta (concept - null), where null are the
// states of its twin with the anchor, and every input that LatentAnchors draws to what it gives without the membrane:
//
//	mean_prompts |h' - target|² + anchor_weight mean_anchors |h'(a) - h(a)|²,   |.|² summed over the width, mean over tokens
//
// It returns the membrane and the loss of the last step.
func FitSPM(ctx context.Context, e *encoder.Encoder, t Target, c SPMConfig, seed uint64) (Membrane, float64, error) {
	m := Membrane{Concept: []string{t.Name}}
	a, err := adapter.New(e.Model.Spec, adapter.Config{Layers: c.Layers, Rank: 1, Scale: 1}, seed)
	if err != nil {
		return m, 0, err
	}
	m.Adapter = a
	prompts, err := awayFrom(ctx, e, t.Fit, t.AnchorFit, c.Eta)
	if err != nil {
		return m, 0, fmt.Errorf("method: spm, %s: %w", t.Name, err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x73706d)) // "spm"
	held, err := latentRows(ctx, e, prompts, c.Steps*c.Anchors, rng)
	if err != nil {
		return m, 0, fmt.Errorf("method: spm, %s: %w", t.Name, err)
	}
	fit, err := adapter.NewFitter(e, a, c.LR)
	if err != nil {
		return m, 0, err
	}
	last := 0.0
	for step := range c.Steps {
		var rows []adapter.Row
		for range c.Batch {
			r := prompts[rng.IntN(len(prompts))]
			r.Weight = 1 / float64(c.Batch)
			rows = append(rows, r)
		}
		for _, r := range held[step*c.Anchors : (step+1)*c.Anchors] {
			r.Weight = c.AnchorWeight / float64(c.Anchors)
			rows = append(rows, r)
		}
		if last, err = fit.Step(ctx, adapter.Batch{Strength: 1, Rows: rows}); err != nil {
			return m, 0, fmt.Errorf("method: spm, %s, step %d: %w", t.Name, step, err)
		}
	}
	return m, last, nil
}

// awayFrom are texts with the states that ESD's target asks for: null - eta (concept - null), null being the states of their twins.
func awayFrom(ctx context.Context, e *encoder.Encoder, texts, twins []string, eta float64) ([]adapter.Row, error) {
	if len(texts) != len(twins) {
		return nil, fmt.Errorf("%d prompts with %d twins", len(texts), len(twins))
	}
	states, err := e.States(ctx, nil, slices.Concat(texts, twins))
	if err != nil {
		return nil, err
	}
	out := make([]adapter.Row, len(texts))
	for i, s := range states[:len(texts)] {
		twin := states[len(texts)+i]
		null, err := adapter.Align(s.IDs, twin.IDs, twin.X)
		if err != nil {
			return nil, err
		}
		n, d := s.X.Dims()
		target, err := erase.ESDTarget(null.RawMatrix().Data, s.X.RawMatrix().Data, eta)
		if err != nil {
			return nil, err
		}
		soft, err := e.Soften(s.Encoding)
		if err != nil {
			return nil, err
		}
		out[i] = adapter.Row{Soft: soft, Target: mat.NewDense(n, d, target)}
	}
	return out, nil
}

// latentRows draws n anchors around the prompts' word embeddings, each with the states that the encoder gives it.
func latentRows(ctx context.Context, e *encoder.Encoder, prompts []adapter.Row, n int, rng *rand.Rand) ([]adapter.Row, error) {
	if n == 0 {
		return nil, nil
	}
	out := make([]adapter.Row, n)
	softs := make([]*encoder.Soft, n)
	for i := range out {
		near := prompts[rng.IntN(len(prompts))].Soft
		x, err := adapter.LatentAnchors(near.Embeds, 1, rng)
		if err != nil {
			return nil, err
		}
		softs[i] = &encoder.Soft{Encoding: near.Encoding, Embeds: x[0]}
		out[i].Soft = softs[i]
	}
	states, err := e.SoftStates(ctx, nil, softs)
	if err != nil {
		return nil, err
	}
	for i, s := range states {
		out[i].Target = s.X
	}
	return out, nil
}

// Transported is the encoder with the membranes of several concepts, each at the strength gamma that facilitated transport gives the
// text, or at strength 1 without transport. Texts are of different lengths, so that gamma compares embeddings rather than the states of
// padded texts; a text of which every gamma is 0 is read with the very weights of the encoder.
func Transported(ctx context.Context, e *encoder.Encoder, membranes []Membrane, transport bool) (*encoder.Variant, error) {
	backend, base := e.Engine.Backend(), e.Model.Params
	v := &encoder.Variant{Name: "spm", Notes: map[string]any{}}
	parts := make([]adapter.Part, len(membranes))
	size := 0
	for i, m := range membranes {
		parts[i] = adapter.Part{Adapter: m.Adapter, Strength: 1}
		size += 4 * m.Size()
	}
	v.Notes["bytes"] = size
	if !transport {
		var err error
		v.Params, err = adapter.Merge(backend, base, parts...)
		return v, err
	}
	concepts := make([][]erase.TransportPrompt, len(membranes))
	for i, m := range membranes {
		for _, s := range m.Concept {
			text, err := e.Tokens(s)
			if err != nil {
				return nil, err
			}
			p, err := transportPrompt(ctx, e, text)
			if err != nil {
				return nil, err
			}
			concepts[i] = append(concepts[i], p)
		}
	}
	v.PerText = func(ctx context.Context, text token.Encoding) (*model.Params, error) {
		gammas, err := gammas(ctx, e, text, concepts)
		if err != nil {
			return nil, err
		}
		own := slices.Clone(parts)
		for i := range own {
			own[i].Strength = gammas[i]
		}
		return adapter.Merge(backend, base, own...)
	}
	return v, nil
}

// gammas are what facilitated transport gives a text for each concept, from 0: the overlap of tokens is never negative.
func gammas(ctx context.Context, e *encoder.Encoder, text token.Encoding, concepts [][]erase.TransportPrompt) ([]float64, error) {
	p, err := transportPrompt(ctx, e, text)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(concepts))
	for i, c := range concepts {
		t, err := erase.FacilitatedTransport(p, c)
		if err != nil {
			return nil, err
		}
		out[i] = t.Gamma
	}
	return out, nil
}

// transportPrompt is a text as the gate sees it: its embedding by the original encoder and its tokens that are not special.
func transportPrompt(ctx context.Context, e *encoder.Encoder, text token.Encoding) (erase.TransportPrompt, error) {
	soft, err := e.Soften(text)
	if err != nil {
		return erase.TransportPrompt{}, err
	}
	states, err := e.SoftStates(ctx, nil, []*encoder.Soft{soft})
	if err != nil {
		return erase.TransportPrompt{}, err
	}
	x, err := e.Rows(states)
	if err != nil {
		return erase.TransportPrompt{}, err
	}
	p := erase.TransportPrompt{Hidden: x}
	for i, id := range text.IDs {
		if !text.Special[i] {
			p.Tokens = append(p.Tokens, int(id))
		}
	}
	return p, nil
}
