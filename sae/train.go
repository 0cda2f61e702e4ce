package sae

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/compute"
)

// Start reads the sample that a fresh trainer needs from rows, puts rows back where they stood, and returns the trainer.
func Start(b compute.Backend, cfg Config, rows Rows) (*Trainer, error) {
	cursor, err := rows.State()
	if err != nil {
		return nil, fmt.Errorf("sae: cursor of the data: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	width := cfg.rowWidth()
	sample := make([]float32, cfg.InitRows*width)
	n, err := fill(rows, sample, width)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("sae: the data has no rows; capture activations first")
	}
	if err := rows.Restore(cursor); err != nil {
		return nil, fmt.Errorf("sae: rewind the data: %w", err)
	}
	return NewTrainer(b, cfg, sample[:n*width])
}

// TrainOptions say what [Trainer.Train] does besides training.
type TrainOptions struct {
	// Save keeps a checkpoint: it calls write with a new folder and lets it appear whole. Nil: no checkpoints.
	Save func(step int64, write func(dir string) error) error
	// OnStep is called after each step; an error stops the run.
	OnStep func(StepStats) error
}

// Train trains until all steps are done, with a checkpoint at every multiple of CheckpointTokens, rounded up to whole
// batches, and one at the end. Checkpoints lie at the same steps whether or not the run was interrupted, so that a
// resumed run folder has the bytes of an unbroken one. When ctx ends, Train returns its error after the current step.
func (t *Trainer) Train(ctx context.Context, rows Rows, opt TrainOptions) error {
	size := int64(t.cfg.Batch)
	every := (t.cfg.CheckpointTokens + size - 1) / size
	batch := make([]float32, t.cfg.Batch*t.cfg.rowWidth())
	saved := t.step
	for !t.Done() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := fill(rows, batch, t.cfg.rowWidth())
		if err != nil {
			return err
		}
		if n < t.cfg.Batch {
			return fmt.Errorf("sae: the data ended after %d of %d tokens; lower tokens, or read the store for more epochs", t.Tokens()+int64(n), t.cfg.Tokens)
		}
		stats, err := t.Step(batch)
		if err != nil {
			return fmt.Errorf("%w (last checkpoint: step %d)", err, saved)
		}
		if opt.OnStep != nil {
			if err := opt.OnStep(stats); err != nil {
				return err
			}
		}
		if opt.Save == nil || t.step%every != 0 && !t.Done() {
			continue
		}
		cursor, err := rows.State()
		if err != nil {
			return fmt.Errorf("sae: cursor of the data: %w", err)
		}
		if err := opt.Save(t.step, func(dir string) error { return t.WriteCheckpoint(dir, cursor) }); err != nil {
			return err
		}
		saved = t.step
	}
	return nil
}
