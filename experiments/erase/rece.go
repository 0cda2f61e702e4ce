package erase

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// RECEConfig are the settings of reliable concept erasing.
type RECEConfig struct {
	UCE        UCEConfig  `json:"uce" doc:"of the first edit and of each epoch's"`
	Derivation Derivation `json:"derivation" doc:"how the embedding to erase next is derived"`
	Epochs     int        `json:"epochs" doc:"rounds of deriving and erasing"`
}

// DefaultRECE returns the settings of the published script for nudity.
func DefaultRECE() RECEConfig {
	return RECEConfig{UCE: UCEConfig{Lambda: 0.1, EraseScale: 1, PreserveScale: 0.1, PriorScale: 1}, Derivation: Derivation{Regulariser: RegZero, Reg: 0.1}, Epochs: 3}
}

// Validate checks every setting.
func (c RECEConfig) Validate() error {
	if c.Epochs < 1 {
		return fmt.Errorf("erase: epochs is %d: %w; use 1 or more", c.Epochs, vectors.ErrArgument)
	}
	if err := c.Derivation.Validate(); err != nil {
		return err
	}
	return c.UCE.Validate()
}

// RECEEpoch is one round.
type RECEEpoch struct {
	Derived  *mat.Dense // c' [n, d], from the map before the round
	Recovery float64    // its RecoveryError before the round
	Map      *Map       // after the round
}

// RECEEdit is UCE's edit, and what each round made of it.
type RECEEdit struct {
	Start    *Edit
	Epochs   []RECEEpoch
	Recovery float64 // of the embeddings that are derived after the last round
	*Edit            // of the last round
}

// RECE erases the concepts by UCE, then round by round the embeddings that Derive finds to bring them back, each towards its
// concept's anchor with values through the current matrices, and regularised towards them. gram is S = sum W'W of the original
// matrices (Gram; IdentityGram is an approximation). A caller that wants the round with the lowest detection rate takes its Map.
func RECE(ctx context.Context, r Request, gram *mat.SymDense, cfg RECEConfig) (*RECEEdit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r, system, err := uceSystem(r, cfg.UCE)
	if err != nil {
		return nil, err
	}
	system = system.folded()
	start, err := system.mapTo(r.Anchors)
	if err != nil {
		return nil, err
	}
	out := new(RECEEdit)
	if out.Start, err = newEdit(start, r); err != nil {
		return nil, err
	}
	m, previous := out.Start.Map, r.Concepts
	for epoch := 0; ; epoch++ {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("erase: RECE stopped in epoch %d: %w", epoch, err)
		}
		derived, err := Derive(m, gram, r.Concepts, previous, cfg.Derivation)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		recovery, err := RecoveryError(m, gram, derived, r.Concepts)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		if epoch == cfg.Epochs {
			out.Recovery = recovery
			break
		}
		system.from = derived
		edit, err := system.mapTo(r.Anchors)
		if err != nil {
			return nil, fmt.Errorf("epoch %d: %w", epoch, err)
		}
		if m, err = m.Then(edit); err != nil {
			return nil, err
		}
		out.Epochs = append(out.Epochs, RECEEpoch{Derived: derived, Recovery: recovery, Map: m})
		previous = derived
	}
	out.Edit, err = newEdit(m, r)
	return out, err
}
