// Package continual erases requests one after the other with any method, and measures what later requests do to earlier ones.
package continual

import (
	"context"
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/vectors"
)

// Options say how requests follow each other.
type Options struct {
	Replay bool `json:"replay" doc:"each request erases the ones before again"`
}

// Result is what became of the requests. Row i is after request i.
type Result struct {
	Relapse      [][]float64 `json:"relapse"`       // [i][j <= i]: what the measure says of request j
	RelapseJoint [][]float64 `json:"relapse_joint"` // the same where requests 0 to i are erased at once
	Delta        []float64   `json:"delta"`         // |E - I| of a map in the Frobenius norm, or |weights - original weights|
	DeltaJoint   []float64   `json:"delta_joint"`
	Kept         []float64   `json:"kept"` // what the measure of kept texts says
	KeptJoint    []float64   `json:"kept_joint"`
}

// Measures of a variant.
type Measures struct {
	Request func(ctx context.Context, v *encoder.Variant, j int) (float64, error) // of request j
	Kept    func(ctx context.Context, v *encoder.Variant) (float64, error)        // of what is to be kept
}

// Run erases the concepts of task one by one in their order. An edit of weights is fitted to the weights that the ones before left. A hook is
// fitted to the original encoder and acts before those of the earlier requests, as matrices become W E_1 E_2 ...; all hooks
// must act on the final states. Earlier requests do not count as kept. Beside it stands one joint fit of all so far.
func Run(ctx context.Context, e *encoder.Encoder, m method.Method, conf any, task *method.Task, measure Measures, opt Options) (_ *Result, err error) {
	if len(task.Erase) < 2 {
		return nil, fmt.Errorf("continual: %d request(s): %w; two or more follow each other", len(task.Erase), vectors.ErrArgument)
	}
	out := new(Result)
	s := &sequence{e: e}
	defer func() { err = errors.Join(err, s.free()) }()
	for i := range task.Erase {
		one, all := *task, *task
		one.Erase, all.Erase = task.Erase[i:i+1], task.Erase[:i+1]
		if opt.Replay {
			one.Erase = all.Erase
		}
		if err := s.add(ctx, m, conf, &one); err != nil {
			return nil, fmt.Errorf("continual: request %d (%s): %w", i, task.Erase[i].Name, err)
		}
		joint, err := m.Fit(ctx, e, &all, conf)
		if err != nil {
			return nil, fmt.Errorf("continual: requests 0 to %d at once: %w", i, err)
		}
		for _, f := range []struct {
			v       *encoder.Variant
			relapse *[][]float64
			delta   *[]float64
			kept    *[]float64
		}{{s.variant(), &out.Relapse, &out.Delta, &out.Kept}, {joint, &out.RelapseJoint, &out.DeltaJoint, &out.KeptJoint}} {
			var row []float64
			for j := range i + 1 {
				v, err := measure.Request(ctx, f.v, j)
				if err != nil {
					return nil, fmt.Errorf("continual: request %d after request %d: %w", j, i, err)
				}
				row = append(row, v)
			}
			kept, err := measure.Kept(ctx, f.v)
			if err != nil {
				return nil, fmt.Errorf("continual: kept texts after request %d: %w", i, err)
			}
			delta, err := Delta(e, f.v)
			if err != nil {
				return nil, err
			}
			*f.relapse, *f.delta, *f.kept = append(*f.relapse, row), append(*f.delta, delta), append(*f.kept, kept)
		}
		if joint.Params != nil && joint.Params != e.Model.Params {
			if err := joint.Params.FreeUnshared(e.Model.Params); err != nil {
				return nil, fmt.Errorf("continual: %w", err)
			}
		}
	}
	return out, nil
}

// sequence is an encoder after some requests.
type sequence struct {
	e     *encoder.Encoder
	last  *encoder.Variant // weights so far; nil: the original's
	hooks chain
}

func (s *sequence) add(ctx context.Context, m method.Method, conf any, t *method.Task) error {
	e := s.e
	if s.last != nil {
		edited := *e.Model
		edited.Params = s.last.Params
		var err error
		if e, err = encoder.New(e.Engine, &edited, e.Tokenizer, e.Pool); err != nil {
			return err
		}
	}
	v, err := m.Fit(ctx, e, t, conf)
	if err != nil {
		return err
	}
	switch {
	case v.PerText != nil:
		return fmt.Errorf("method %s has weights of its own for each text, which do not follow each other: %w", m.Name, vectors.ErrArgument)
	case v.Hook != nil && (v.Layer != s.e.Layers() || v.Params != nil):
		return fmt.Errorf("method %s acts before block %d: %w; hooks of the final states can follow each other", m.Name, v.Layer, vectors.ErrArgument)
	case v.Hook != nil:
		s.hooks = append(s.hooks, v.Hook)
	case v.Params != nil:
		before := s.last
		s.last = v
		if before != nil {
			return before.Params.FreeUnshared(v.Params)
		}
	}
	return nil
}

func (s *sequence) variant() *encoder.Variant {
	v := &encoder.Variant{Name: "sequence"}
	if s.last != nil {
		v.Params = s.last.Params
	}
	if len(s.hooks) > 0 {
		v.Hook, v.Layer = s.hooks, s.e.Layers()
	}
	return v
}

func (s *sequence) free() error {
	if s.last == nil {
		return nil
	}
	return s.last.Params.FreeUnshared(s.e.Model.Params)
}

// chain are hooks of which the last acts first.
type chain []encoder.Hook

// Apply implements encoder.Hook.
func (c chain) Apply(t erase.Text) (*mat.Dense, bool, error) {
	acted := false
	for i := len(c) - 1; i >= 0; i-- {
		x, did, err := c[i].Apply(t)
		if err != nil {
			return nil, false, err
		}
		t.X, acted = x, acted || did
	}
	return t.X, acted, nil
}

// Pullback implements encoder.Hook.
func (c chain) Pullback(t erase.Text, g *mat.Dense) (*mat.Dense, error) {
	given := make([]erase.Text, len(c))
	for i := len(c) - 1; i >= 0; i-- {
		given[i] = t
		x, _, err := c[i].Apply(t)
		if err != nil {
			return nil, err
		}
		t.X = x
	}
	for i := range c {
		var err error
		if g, err = c[i].Pullback(given[i], g); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Delta is how far a variant is from the original: |E - I| of maps, |weights - original weights|, or 0 where it has neither.
func Delta(e *encoder.Encoder, v *encoder.Variant) (float64, error) {
	if v.Params != nil {
		sum := 0.0
		for _, p := range e.Model.Spec.Params() {
			if v.Params.Get(p.Name) == e.Model.Params.Get(p.Name) {
				continue
			}
			a, err := v.Params.Values(p.Name)
			if err != nil {
				return 0, fmt.Errorf("continual: %w", err)
			}
			b, err := e.Model.Params.Values(p.Name)
			if err != nil {
				return 0, fmt.Errorf("continual: %w", err)
			}
			for i := range a {
				sum += float64(a[i]-b[i]) * float64(a[i]-b[i])
			}
		}
		return math.Sqrt(sum), nil
	}
	d := e.Width()
	x := mat.NewDense(d, d, nil)
	for i := range d {
		x.Set(i, i, 1)
	}
	switch h := v.Hook.(type) {
	case encoder.Linear:
	case chain:
		for _, one := range h {
			if _, ok := one.(encoder.Linear); !ok {
				return 0, nil
			}
		}
	default:
		return 0, nil
	}
	y, _, err := v.Hook.Apply(erase.Text{X: x, Length: d})
	if err != nil {
		return 0, fmt.Errorf("continual: %w", err)
	}
	var away mat.Dense
	away.Sub(y, x)
	return mat.Norm(&away, 2), nil
}
