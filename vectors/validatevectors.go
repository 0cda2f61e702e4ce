package vectors

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// Neuron is one value vector of a model.
type Neuron struct {
	Layer int `json:"layer"`
	Index int `json:"index"`
}

// ValidateConfig says how concept vectors are put to the test.
type ValidateConfig struct {
	Noise     float64               `json:"noise" yaml:"noise" doc:"standard deviation of the noise that is added to each entry, in units of the root mean square entry of the layer's value vectors; 0 sets the vectors to zero instead"`
	Draws     int                   `json:"draws" yaml:"draws" doc:"draws of the noise, and of the control's neurons, that are averaged"`
	Counts    []int                 `json:"counts" yaml:"counts" doc:"how many vectors are changed at once, from the first on"`
	Batch     int                   `json:"batch" yaml:"batch" doc:"clozes that run together"`
	Bootstrap stats.BootstrapConfig `json:"bootstrap" yaml:"bootstrap" doc:"of the intervals, over clozes"`
	Seed      uint64                `json:"seed" yaml:"seed" doc:"of the noise and the control"`
}

// DefaultValidate drowns the vectors in noise of three times their size.
func DefaultValidate() ValidateConfig {
	return ValidateConfig{Noise: 3, Draws: 3, Counts: []int{1, 2, 5, 10, 20, 50}, Batch: 16, Bootstrap: stats.DefaultBootstrap()}
}

// Validate names the field that is out of range.
func (c ValidateConfig) Validate() error {
	switch {
	case !(c.Noise >= 0) || math.IsInf(c.Noise, 0) || c.Draws < 1:
		return fmt.Errorf("vectors: validate: noise is %v and draws %d: %w; noise is 0 or more, draws 1 or more", c.Noise, c.Draws, ErrArgument)
	case len(c.Counts) == 0 || slices.Min(c.Counts) < 1 || !slices.IsSorted(c.Counts):
		return fmt.Errorf("vectors: validate: counts are %v: %w; give ascending numbers from 1 on", c.Counts, ErrArgument)
	}
	if err := c.Bootstrap.Validate(); err != nil {
		return fmt.Errorf("vectors: validate: %w", err)
	}
	return nil
}

// DamagePoint is the mean change of the clozes' log-likelihood, nats, when so many vectors are changed: of the concept's
// clozes and of unrelated ones, by the vectors under test and by as many others of the same layers.
type DamagePoint struct {
	Count            int            `json:"count"`
	Concept          stats.Interval `json:"concept"`
	Unrelated        stats.Interval `json:"unrelated"`
	ControlConcept   stats.Interval `json:"control_concept"`
	ControlUnrelated stats.Interval `json:"control_unrelated"`
}

// Validation is the damage curve of some concept vectors.
type Validation struct {
	Curve []DamagePoint `json:"curve"`
	// Restored tells that the weights have their bytes and the clozes their likelihoods afterwards, bit for bit.
	Restored bool `json:"restored"`
}

// ValidateVectors checks that value vectors cause a model's knowledge of a concept (arXiv:2406.11614): noise on them must
// change the concept's clozes and leave unrelated ones, and more than noise on random vectors of the same layers does. neurons
// are ordered, the strongest first. The model's weights are copied where they change and never written to, so that noise
// does not pile up from run to run; a count above the number of neurons is left out.
func ValidateVectors(ctx context.Context, e *model.Engine, m *model.Model, neurons []Neuron, concept, unrelated []Cloze, cfg ValidateConfig) (*Validation, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	v := validator{ctx: ctx, engine: e, model: m, neurons: neurons, both: append(slices.Clone(concept), unrelated...), cut: len(concept), cfg: cfg}
	if err := v.load(); err != nil {
		return nil, err
	}
	var err error
	if v.clean, err = v.score(nil); err != nil {
		return nil, err
	}
	before, out := v.digest(), &Validation{}
	for _, count := range cfg.Counts {
		if count > len(neurons) {
			break
		}
		point, err := v.point(count)
		if err != nil {
			return nil, err
		}
		out.Curve = append(out.Curve, *point)
	}
	again, err := v.score(nil)
	if err != nil {
		return nil, err
	}
	if err := v.load(); err != nil {
		return nil, err
	}
	out.Restored = slices.Equal(again, v.clean) && v.digest() == before
	return out, nil
}

// validator holds the weights of the layers under test and the clozes, the concept's first.
type validator struct {
	ctx     context.Context
	engine  *model.Engine
	model   *model.Model
	neurons []Neuron
	both    []Cloze
	cut     int
	cfg     ValidateConfig
	weights map[int][]float32 // by layer, [d, f]
	clean   []float64
}

// load reads the weights of the neurons' layers from the model.
func (v *validator) load() error {
	s := v.model.Spec
	if len(v.neurons) == 0 || v.cut == 0 || v.cut == len(v.both) {
		return fmt.Errorf("vectors: validate %d vectors with %d clozes of the concept and %d unrelated ones: %w; give some of each", len(v.neurons), v.cut, len(v.both)-v.cut, ErrArgument)
	}
	v.weights = map[int][]float32{}
	seen := map[Neuron]bool{}
	for _, n := range v.neurons {
		if n.Layer < 0 || n.Layer >= s.Layers || n.Index < 0 || n.Index >= s.DMLP || seen[n] {
			return fmt.Errorf("vectors: validate: neuron %d of layer %d, in a model of %d layers of %d: %w; name each once", n.Index, n.Layer, s.Layers, s.DMLP, ErrArgument)
		}
		seen[n] = true
		if v.weights[n.Layer] != nil {
			continue
		}
		w, err := v.model.Params.Values(valueName(n.Layer))
		if err != nil {
			return fmt.Errorf("vectors: validate: %w", err)
		}
		v.weights[n.Layer] = w
	}
	return nil
}

// digest identifies the weights that were read.
func (v *validator) digest() string {
	h := sha256.New()
	for layer := range v.model.Spec.Layers {
		for _, w := range v.weights[layer] {
			_ = binary.Write(h, binary.LittleEndian, w) // a hash never fails
		}
	}
	return string(h.Sum(nil))
}

func (v *validator) score(params *model.Params) ([]float64, error) {
	return LogLikelihoods(v.ctx, v.engine, v.model, params, v.both, v.cfg.Batch, nil)
}

// point changes the first count neurons, and as many others.
func (v *validator) point(count int) (*DamagePoint, error) {
	var changes [2][]float64 // of every cloze: by the neurons, and by the control
	for draw := range v.cfg.Draws {
		rng := rand.New(rand.NewPCG(v.cfg.Seed, uint64(count)<<32|uint64(draw)))
		others, err := v.others(rng, count)
		if err != nil {
			return nil, err
		}
		for side, neurons := range [][]Neuron{v.neurons[:count], others} {
			after, err := v.changed(rng, neurons)
			if err != nil {
				return nil, err
			}
			if changes[side] == nil {
				changes[side] = make([]float64, len(after))
			}
			for i := range after {
				changes[side][i] += (after[i] - v.clean[i]) / float64(v.cfg.Draws)
			}
		}
	}
	p := &DamagePoint{Count: count}
	for _, part := range []struct {
		to     *stats.Interval
		change []float64
	}{{&p.Concept, changes[0][:v.cut]}, {&p.Unrelated, changes[0][v.cut:]}, {&p.ControlConcept, changes[1][:v.cut]}, {&p.ControlUnrelated, changes[1][v.cut:]}} {
		r, err := stats.Bootstrap(v.ctx, len(part.change), stats.MeanOf(part.change), v.cfg.Bootstrap)
		if err != nil {
			return nil, fmt.Errorf("vectors: validate: %w", err)
		}
		*part.to = r.Interval
	}
	return p, nil
}

// others draws a neuron of the same layer for each of the first count, none of them under test.
func (v *validator) others(rng *rand.Rand, count int) ([]Neuron, error) {
	taken := map[Neuron]bool{}
	for _, n := range v.neurons {
		taken[n] = true
	}
	var out []Neuron
	for _, n := range v.neurons[:count] {
		var free []int
		for i := range v.model.Spec.DMLP {
			if !taken[Neuron{n.Layer, i}] {
				free = append(free, i)
			}
		}
		if len(free) == 0 {
			return nil, fmt.Errorf("vectors: validate: layer %d has no neuron left for the control: %w; test fewer", n.Layer, ErrArgument)
		}
		other := Neuron{n.Layer, free[rng.IntN(len(free))]}
		taken[other] = true
		out = append(out, other)
	}
	return out, nil
}

// changed scores the clozes with some value vectors changed, in a copy of the weights.
func (v *validator) changed(rng *rand.Rand, neurons []Neuron) (scores []float64, err error) {
	s, replaced := v.model.Spec, map[string][]float32{}
	for _, n := range neurons {
		name := valueName(n.Layer)
		if replaced[name] == nil {
			replaced[name] = slices.Clone(v.weights[n.Layer])
		}
		w := replaced[name]
		size := v.cfg.Noise * rootMeanSquare(v.weights[n.Layer])
		for r := range s.DModel {
			if v.cfg.Noise == 0 {
				w[r*s.DMLP+n.Index] = 0
			} else {
				w[r*s.DMLP+n.Index] += float32(size * rng.NormFloat64())
			}
		}
	}
	params, err := v.model.Params.WithValues(v.engine.Backend(), replaced)
	if err != nil {
		return nil, fmt.Errorf("vectors: validate: %w", err)
	}
	defer func() { err = errors.Join(err, params.FreeUnshared(v.model.Params)) }()
	return v.score(params)
}

func rootMeanSquare(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum / float64(len(v)))
}
