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

// A SaveFunc keeps a checkpoint: it calls write with a new folder and lets that appear whole. Nil keeps none.
type SaveFunc func(step int64, write func(dir string) error) error

// TrainOptions say what [Trainer.Train] does besides training.
type TrainOptions struct {
	Save SaveFunc // keeps a checkpoint
	// SaveInterrupted keeps one that is written because ctx has ended, at a step where an unbroken run has none.
	SaveInterrupted SaveFunc
	// OnStep is called after each step; an error stops the run.
	OnStep func(StepStats) error
}

// Train trains until all steps are done, with a checkpoint at every multiple of CheckpointTokens, rounded up to whole
// batches, and one at the end. Those checkpoints lie at the same steps whether or not the run was interrupted, so that a
// resumed run folder has the bytes of an unbroken one. When ctx ends, Train finishes the current step, calls
// SaveInterrupted, and returns the error of ctx.
func (t *Trainer) Train(ctx context.Context, rows Rows, opt TrainOptions) error {
	batch := make([]float32, t.cfg.Batch*t.cfg.rowWidth())
	l := loop{
		cfg: t.cfg, at: func() int64 { return t.step },
		next: func() error {
			n, err := fill(rows, batch, t.cfg.rowWidth())
			if err != nil {
				return err
			}
			if n < t.cfg.Batch {
				return dataEnded(t.Tokens()+int64(n), t.cfg)
			}
			stats, err := t.Step(batch)
			if err != nil || opt.OnStep == nil {
				return err
			}
			return opt.OnStep(stats)
		},
		cursor: rows.State, write: t.WriteCheckpoint,
	}
	return l.run(ctx, opt.Save, opt.SaveInterrupted)
}

func dataEnded(tokens int64, cfg Config) error {
	return fmt.Errorf("sae: the data ended after %d of %d tokens; lower tokens, or read the store for more epochs", tokens, cfg.Tokens)
}

// loop is a training: steps with checkpoints among them.
type loop struct {
	cfg    Config
	at     func() int64           // steps done
	next   func() error           // reads a batch and takes a step on it
	cursor func() ([]byte, error) // of the data
	write  func(dir string, cursor []byte) error
}

func (l loop) run(ctx context.Context, save, interrupted SaveFunc) error {
	size := int64(l.cfg.Batch)
	every := (l.cfg.CheckpointTokens + size - 1) / size
	saved := l.at()
	keep := func(save SaveFunc, cursor []byte) error {
		return save(l.at(), func(dir string) error { return l.write(dir, cursor) })
	}
	for at := saved; at < l.cfg.Steps(); at = l.at() {
		cursor, err := l.cursor()
		if err != nil {
			return fmt.Errorf("sae: cursor of the data: %w", err)
		}
		if err = ctx.Err(); err == nil {
			err = l.next()
		}
		switch {
		case err == nil:
		case errors.Is(err, ErrNonFinite):
			return fmt.Errorf("%w (last checkpoint: step %d)", err, saved)
		case ctx.Err() != nil && errors.Is(err, ctx.Err()) && l.at() == at: // told to stop, perhaps within the reading of a batch
			if interrupted != nil && at != saved {
				err = errors.Join(err, keep(interrupted, cursor))
			}
			return err
		default:
			return err
		}
		if at = l.at(); save == nil || at%every != 0 && at != l.cfg.Steps() {
			continue
		}
		if cursor, err = l.cursor(); err != nil {
			return fmt.Errorf("sae: cursor of the data: %w", err)
		}
		if err := keep(save, cursor); err != nil {
			return err
		}
		saved = at
	}
	return nil
}
