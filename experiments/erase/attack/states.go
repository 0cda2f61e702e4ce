package attack

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// StatesConfig are the settings of target-states.
type StatesConfig struct {
	Eta float64 `json:"eta" doc:"of the concept's vector"`
}

// Validate refuses an eta that changes nothing.
func (c StatesConfig) Validate() error {
	if c.Eta == 0 || c.Eta-c.Eta != 0 {
		return fmt.Errorf("eta is %v; use a number that is not 0", c.Eta)
	}
	return nil
}

// targetStates feeds Ring-A-Bell's target states to what reads the encoder, as RECE's evaluation does: an attack on the states, not on
// texts.
func targetStates() Attack {
	return Attack{
		Name: "target-states", Title: "Ring-A-Bell's target states, given directly", Paper: "arXiv:2407.12383", Check: "golden target (TestGoldenErasure), planted truth (TestOnMiniLM)",
		Config: func() any { return &StatesConfig{Eta: 3} },
		Run: run(func(ctx context.Context, s *search, conf any) error {
			if err := s.hookedAtEnd("target-states"); err != nil {
				return err
			}
			targets, err := s.targetEmbeddings(ctx, conf.(*StatesConfig).Eta)
			if err != nil {
				return err
			}
			states, err := s.e.EncodingStates(ctx, nil, s.prompts)
			if err != nil {
				return err
			}
			for i, state := range states {
				x, err := s.e.Pooled(state)
				if err != nil {
					return err
				}
				move := make([]float64, len(x))
				floats.SubTo(move, targets.RawRowView(i), x)
				out := mat.DenseCopyOf(state.X)
				n, _ := out.Dims()
				for t := range n {
					floats.Add(out.RawRowView(t), move)
				}
				states[i] = &encoder.State{Encoding: state.Encoding, X: out}
			}
			return s.keepStates(states, "states of the prompt + eta v")
		}),
	}
}

// hookedAtEnd makes sure that states can be put in front of the variant's edit.
func (s *search) hookedAtEnd(name string) error {
	if s.v != nil && (s.v.Params != nil || s.v.PerText != nil || s.v.Hook != nil && s.v.Layer != s.e.Layers()) {
		return fmt.Errorf("attack: %s gives the final states, which variant %q does not edit: %w; use one that searches texts", name, s.v.Name, ErrNotApplicable)
	}
	return nil
}

// keepStates puts final states through the variant's hook and keeps those that are recognised.
func (s *search) keepStates(states []*encoder.State, word string) error {
	s.queries += len(states)
	words := make([]string, len(states))
	for i, state := range states {
		words[i] = word
		if s.v == nil || s.v.Hook == nil {
			continue
		}
		x, acted, err := s.v.Hook.Apply(state.Text())
		if err != nil {
			return fmt.Errorf("attack: variant %s: %w", s.v.Name, err)
		}
		state.X, state.Acted = x, acted
	}
	hits, _, err := s.verdicts(states)
	if err != nil {
		return err
	}
	copy(s.result.After, hits)
	copy(s.result.Found, words)
	return nil
}

// inverse gives the states that a map takes to the original states of the prompt, E^-1 h, where the variant is an ungated map.
func inverse() Attack {
	return Attack{
		Name: "inverse", Title: "Closed-form inverse", Paper: "arXiv:2407.12383", WhiteBox: true, Check: "golden (TestGoldenErasure), identity E E^-1 c = c (TestOnMiniLM)",
		Config: func() any { return &NoConfig{} },
		Run: run(func(ctx context.Context, s *search, _ any) error {
			if err := s.hookedAtEnd("inverse"); err != nil {
				return err
			}
			states, err := s.e.EncodingStates(ctx, nil, s.prompts)
			if err != nil {
				return err
			}
			if s.v == nil || s.v.Hook == nil {
				return s.keepStates(states, "the prompt's states")
			}
			linear, ok := s.v.Hook.(encoder.Linear)
			if !ok {
				return fmt.Errorf("attack: inverse needs a map E, and variant %q has a %T: %w", s.v.Name, s.v.Hook, ErrNotApplicable)
			}
			if s.g.Mode == ModeStatic {
				return fmt.Errorf("attack: the inverse of the variant's own map cannot be found without it: %w; use mode %s", ErrNotApplicable, ModeAdaptive)
			}
			inputs, err := invert(linear.Map, states)
			if err != nil {
				return err
			}
			return s.keepStates(inputs, "E^-1 of the prompt's states")
		}),
	}
}

// invert maps all states at once; the width of E is inverted one time.
func invert(m *erase.Map, states []*encoder.State) ([]*encoder.State, error) {
	var rows []float64
	for _, state := range states {
		rows = append(rows, state.X.RawMatrix().Data...)
	}
	d := m.Width()
	got, err := m.Invert(mat.NewDense(len(rows)/d, d, rows))
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	out, at := make([]*encoder.State, len(states)), 0
	for i, state := range states {
		n, _ := state.X.Dims()
		out[i] = &encoder.State{Encoding: state.Encoding, X: mat.DenseCopyOf(got.X.Slice(at, at+n, 0, d))}
		at += n
	}
	return out, nil
}
