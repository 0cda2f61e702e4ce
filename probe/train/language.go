package train

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/probe/model"
)

// Source gives the rows of a training step, all of one batch size and length. It must depend on r and step alone, so that a
// resumed run sees what an unbroken one does.
type Source func(r *rand.Rand, step int) (Rows, error)

// Sampled draws each batch's rows from all of them, uniformly.
func Sampled(all Rows, batch int) Source {
	return func(r *rand.Rand, _ int) (Rows, error) {
		if err := all.check(); err != nil {
			return Rows{}, err
		}
		out := Rows{B: batch, T: all.T}
		for range batch {
			i := r.IntN(all.B) * all.T
			out.IDs = append(out.IDs, all.IDs[i:i+all.T]...)
			if all.Mask != nil {
				out.Mask = append(out.Mask, all.Mask[i:i+all.T]...)
			}
		}
		return out, nil
	}
}

// Language trains a model as a language model from the trainer's step to the last of its configuration: a decoder on the next
// token, an encoder on masked tokens as masking says (nil for decoders). after, which may be nil, is called after every step
// with the loss before it: to log, to save, to look at circuits while they form. An error of it ends the training.
func Language(ctx context.Context, t *Trainer, rows Source, masking *Masking, after func(step int, loss float64) error) error {
	s := t.model.Spec
	if s.Decoder == (masking != nil) {
		return fmt.Errorf("train: a decoder learns the next token without masking, an encoder masked tokens with it; this is a %s model", s.Family)
	}
	for t.step < t.cfg.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := t.step + 1
		r := rand.New(rand.NewPCG(uint64(t.cfg.Seed), uint64(step)))
		batch, err := rows(r, step)
		if err != nil {
			return fmt.Errorf("train: rows of step %d: %w", step, err)
		}
		var plan model.Plan
		var in model.Inputs
		if masking == nil {
			plan = NextToken(batch.B, batch.T)
			in, err = NextTokenInputs(batch)
		} else {
			plan = MaskedToken(batch.B, batch.T)
			in, err = MaskedTokenInputs(batch, *masking, r)
		}
		if err != nil {
			return err
		}
		loss, err := t.Step(ctx, plan, in)
		if err != nil {
			return err
		}
		if after != nil {
			if err := after(step, loss); err != nil {
				return err
			}
		}
	}
	return nil
}
