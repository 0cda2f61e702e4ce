package adapter

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"loupe/probe/model"
	"loupe/probe/train"
)

// Config says what an adapter is.
type Config struct {
	Layers []string `json:"layers" doc:"linear layers by pattern: blocks.*, blocks.0.attn.*, *.W_in"`
	Rank   int      `json:"rank" doc:"of the change of each layer"`
	Scale  float64  `json:"scale" doc:"factor of the change: alpha over the rank in publications"`
}

// Validate refuses an adapter that changes nothing.
func (c Config) Validate() error {
	if len(c.Layers) == 0 || c.Rank < 1 || c.Scale == 0 {
		return fmt.Errorf("layers %q, rank %d, scale %v: an adapter needs a pattern, a rank from 1 and a scale", c.Layers, c.Rank, c.Scale)
	}
	return nil
}

// Layer is the change of one weight [o, d].
type Layer struct {
	Name    string
	Out, In int
	Up      []float32 // [o, r]
	Down    []float32 // [r, d]
}

// Adapter is a low-rank change of linear layers.
type Adapter struct {
	Rank   int
	Scale  float64
	Layers []Layer
}

// Linears are the weights inside the blocks that patterns name, as train.Subset reads them.
func Linears(s *model.Spec, patterns []string) ([]string, error) {
	names, err := train.Subset(s, patterns...)
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	var out []string
	for _, p := range s.Params() {
		if strings.HasPrefix(p.Name, "blocks.") && len(p.Dims) == 2 && slices.Contains(names, p.Name) {
			out = append(out, p.Name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("adapter: none of %q is a linear layer; blocks.*.W_* are all of them", patterns)
	}
	return out, nil
}

// New returns an adapter that changes nothing yet: up is 0 and down uniform within 1/sqrt d, as nn.Linear begins (Kaiming's uniform
// distribution with a = sqrt 5).
func New(s *model.Spec, c Config, seed uint64) (*Adapter, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	names, err := Linears(s, c.Layers)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Rank: c.Rank, Scale: c.Scale}
	rng := rand.New(rand.NewPCG(seed, 0x61646170)) // "adap"
	for _, p := range s.Params() {
		if !slices.Contains(names, p.Name) {
			continue
		}
		l := Layer{Name: p.Name, Out: p.Dims[0], In: p.Dims[1], Up: make([]float32, p.Dims[0]*c.Rank), Down: make([]float32, c.Rank*p.Dims[1])}
		bound := 1 / math.Sqrt(float64(l.In))
		for i := range l.Down {
			l.Down[i] = float32((2*rng.Float64() - 1) * bound)
		}
		a.Layers = append(a.Layers, l)
	}
	return a, nil
}

// Size is the number of an adapter's scalars.
func (a *Adapter) Size() (n int) {
	for _, l := range a.Layers {
		n += len(l.Up) + len(l.Down)
	}
	return n
}

// Random returns an adapter of the same layers and norms, layer by layer, with Gaussian directions: a control.
func (a *Adapter) Random(seed uint64) *Adapter {
	rng := rand.New(rand.NewPCG(seed, 0x72616e64)) // "rand"
	draw := func(like []float32) []float32 {
		out, norm, got := make([]float32, len(like)), 0.0, 0.0
		for i, v := range like {
			out[i] = float32(rng.NormFloat64())
			norm, got = norm+float64(v)*float64(v), got+float64(out[i])*float64(out[i])
		}
		for i := range out {
			out[i] *= float32(math.Sqrt(norm / got))
		}
		return out
	}
	b := &Adapter{Rank: a.Rank, Scale: a.Scale}
	for _, l := range a.Layers {
		l.Up, l.Down = draw(l.Up), draw(l.Down)
		b.Layers = append(b.Layers, l)
	}
	return b
}

// add adds strength scale up down to a weight's values.
func (a *Adapter) add(w []float32, l Layer, strength float64) {
	k := float32(strength * a.Scale)
	for o := range l.Out {
		row := w[o*l.In : (o+1)*l.In]
		for r := range a.Rank {
			f := k * l.Up[o*a.Rank+r]
			if f == 0 {
				continue
			}
			for j, v := range l.Down[r*l.In : (r+1)*l.In] {
				row[j] += f * v
			}
		}
	}
}

// Part is an adapter at a strength: gamma of SPM's facilitated transport, alpha of a slider.
type Part struct {
	*Adapter
	Strength float64
}

// Merge returns base with the weights W + sum strength scale up down over parts, or base itself where all strengths are 0. Free what it
// made with FreeUnshared.
func Merge(b compute.Backend, base *model.Params, parts ...Part) (*model.Params, error) {
	changed := make(map[string][]float32)
	for _, p := range parts {
		if math.IsNaN(p.Strength) || math.IsInf(p.Strength, 0) {
			return nil, fmt.Errorf("adapter: strength %v is no number", p.Strength)
		}
		if p.Strength == 0 {
			continue
		}
		for _, l := range p.Layers {
			w, ok := changed[l.Name]
			if !ok {
				var err error
				if w, err = base.Values(l.Name); err != nil {
					return nil, fmt.Errorf("adapter: %w", err)
				}
				changed[l.Name] = w
			}
			if len(w) != l.Out*l.In {
				return nil, fmt.Errorf("adapter: layer %s is [%d, %d] in the adapter and has %d weights in the model; use a model of the same shape", l.Name, l.Out, l.In, len(w))
			}
			p.add(w, l, p.Strength)
		}
	}
	if len(changed) == 0 {
		return base, nil
	}
	return base.WithValues(b, changed)
}

// free releases what Merge made.
func free(merged, base *model.Params, err error) error {
	if merged == base {
		return err
	}
	return errors.Join(err, merged.FreeUnshared(base))
}
