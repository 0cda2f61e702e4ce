package demo

import (
	"context"

	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
)

// Folders of the run for the two autoencoders.
const (
	weightsDir   = "weights/sae"
	untrainedDir = "weights/untrained"
)

// train trains the autoencoder on the training rows of the store, from the run's last checkpoint where there is one, and
// keeps it before and after in SAELens's format.
func (l *experiment) train(ctx context.Context, st *store.Store) (trained, untrained *sae.SAE, err error) {
	rows, _, width, err := l.rows(ctx, st, store.Select{Split: text.Train})
	if err != nil {
		return nil, nil, err
	}
	cfg, err := l.cfg.SAE.Resolve(width)
	if err != nil {
		return nil, nil, err
	}
	t, err := l.trainer(cfg, rows)
	if err != nil {
		return nil, nil, err
	}
	defer t.Close()
	meta := map[string]any{"model_name": st.Manifest().Model.ID, "hook_name": l.cfg.Site, "dataset_path": st.Manifest().Corpus.ID}
	t.SetMetadata(meta)
	if t.Tokens() == 0 {
		before, err := t.SAE()
		if err != nil {
			return nil, nil, err
		}
		if err := before.Save(l.Dir.File(untrainedDir), nil); err != nil {
			return nil, nil, err
		}
	}
	bar := l.Progress("train", "tokens", cfg.Steps()*int64(cfg.Batch)-t.Tokens())
	err = t.Train(ctx, rows, sae.TrainOptions{
		Save: l.Dir.SaveCheckpoint, SaveInterrupted: l.Dir.SaveInterrupted,
		OnStep: func(s sae.StepStats) error {
			bar.Add(int64(cfg.Batch))
			return l.Dir.Metrics(s.Step, map[string]float64{
				"tokens": float64(s.Tokens), "loss": s.Loss, "aux_loss": s.AuxLoss, "fvu": s.FVU, "l0": s.L0,
				"dead": float64(s.Dead), "grad_norm": s.GradNorm, "lr": s.LR,
			})
		},
	})
	bar.Done()
	if err != nil {
		return nil, nil, err
	}
	if trained, err = t.SAE(); err != nil {
		return nil, nil, err
	}
	untrained, err = sae.Load(l.Dir.File(untrainedDir))
	return trained, untrained, err
}

// rows returns the selected rows of the site, mixed by the seed, the number of one epoch and their width.
func (l *experiment) rows(ctx context.Context, st *store.Store, sel store.Select) (rows sae.Rows, count int64, width int, err error) {
	src, err := sae.NewStoreSource(ctx, st, []string{l.cfg.Site}, sel, uint64(l.cfg.Seed))
	if err != nil {
		return nil, 0, 0, err
	}
	rows, width, err = sae.Join(src, l.cfg.Site)
	return rows, src.Count(), width, err
}

// trainer starts at the run's last checkpoint, or fresh.
func (l *experiment) trainer(cfg sae.Config, rows sae.Rows) (*sae.Trainer, error) {
	at, ok, err := l.Dir.LastCheckpoint()
	if err != nil {
		return nil, err
	}
	if !ok {
		return sae.Start(l.Backend, cfg, rows)
	}
	t, cursor, err := sae.ReadCheckpoint(l.Backend, at.Path)
	if err != nil {
		return nil, err
	}
	return t, rows.Restore(cursor)
}

// evaluate measures the autoencoder on the held-out rows, special tokens left out, and saves it.
func (l *experiment) evaluate(ctx context.Context, st *store.Store, s *sae.SAE) (sae.Result, error) {
	rows, count, _, err := l.rows(ctx, st, store.Select{Split: text.HeldOut, ExcludeSpecial: true})
	if err != nil {
		return sae.Result{}, err
	}
	res, err := sae.Evaluate(ctx, l.Backend, s, rows, 1024, count)
	if err != nil {
		return res, err
	}
	return res, s.Save(l.Dir.File(weightsDir), res.Density)
}
