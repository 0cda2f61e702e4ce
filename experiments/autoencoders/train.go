package autoencoders

import (
	"context"
	"fmt"

	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/sae"
)

// Trained is what the training of one autoencoder ended with.
type Trained struct {
	Name string         `json:"name"`
	Arch string         `json:"arch"` // its name in the configuration
	Seed uint64         `json:"seed"`
	L0   sae.L0Interval `json:"train_l0"` // mean over the last steps
	Coef float64        `json:"sparsity_coef"`
	FVU  float64        `json:"train_fvu"` // of the last step's batch
	Dead int            `json:"train_dead"`
}

// weights is the folder of an autoencoder, in SAELens's format.
func weights(name string) string { return "weights/" + name }

// train trains all members in one pass over the training rows, from the run's last checkpoint where there is one, and
// saves them. A run that has done it does not do it again.
func (x *experiment) train(ctx context.Context, st *store.Store) ([]Trained, error) {
	return lab.Step(x.Dir, "train", func() ([]Trained, error) {
		src, err := sae.NewStoreSource(ctx, st, []string{x.cfg.Site}, x.training(), x.cfg.Seed)
		if err != nil {
			return nil, err
		}
		members := x.cfg.members()
		for i := range members {
			m := st.Manifest()
			members[i].Metadata = map[string]any{"model_name": m.Model.ID, "hook_name": x.cfg.Site, "dataset_path": m.Corpus.ID}
		}
		g, err := x.group(members, src)
		if err != nil {
			return nil, err
		}
		defer g.Close()
		if err := x.trainGroup(ctx, g, src); err != nil {
			return nil, err
		}
		return x.save(g)
	})
}

// group starts at the run's last checkpoint, or fresh.
func (x *experiment) group(members []sae.Member, src sae.Source) (*sae.Group, error) {
	at, ok, err := x.Dir.LastCheckpoint()
	if err != nil {
		return nil, err
	}
	if !ok {
		return sae.StartGroup(x.Backend, members, src)
	}
	g, cursor, err := sae.ReadGroup(x.Backend, at.Path)
	if err != nil {
		return nil, err
	}
	if err := src.Restore(cursor); err != nil {
		g.Close()
		return nil, fmt.Errorf("autoencoders: checkpoint %s: %w", at.Path, err)
	}
	return g, nil
}

func (x *experiment) trainGroup(ctx context.Context, g *sae.Group, src sae.Source) error {
	names := g.Names()
	bar := x.Progress("train", "tokens", g.Steps()*int64(x.cfg.Batch)-g.Tokens())
	defer bar.Done()
	return g.Train(ctx, src, sae.GroupOptions{
		Save: x.Dir.SaveCheckpoint, SaveInterrupted: x.Dir.SaveInterrupted,
		OnStep: func(stats []sae.StepStats) error {
			bar.Add(int64(x.cfg.Batch))
			line := map[string]float64{"tokens": float64(stats[0].Tokens)}
			for i, s := range stats {
				for key, v := range map[string]float64{"fvu": s.FVU, "l0": s.L0, "dead": float64(s.Dead), "sparsity_coef": s.Coef, "grad_norm": s.GradNorm} {
					line[names[i]+"."+key] = v
				}
			}
			return x.Dir.Metrics(stats[0].Step, line)
		},
	})
}

// save writes the weights of every member.
func (x *experiment) save(g *sae.Group) ([]Trained, error) {
	history, err := lab.ReadHistory(x.Dir.File("metrics.jsonl"))
	if err != nil {
		return nil, err
	}
	last := history[len(history)-1]
	var out []Trained
	for i := range x.cfg.Architectures {
		a := &x.cfg.Architectures[i]
		for _, seed := range x.cfg.Seeds {
			t := g.Trainer(len(out))
			s, err := t.SAE()
			if err != nil {
				return nil, err
			}
			name := memberName(a.name(), seed)
			if err := s.Save(x.Dir.File(weights(name)), nil); err != nil {
				return nil, err
			}
			out = append(out, Trained{
				Name: name, Arch: a.name(), Seed: seed, L0: t.AchievedL0(),
				Coef: last[name+".sparsity_coef"], FVU: last[name+".fvu"], Dead: int(last[name+".dead"]),
			})
		}
	}
	return out, nil
}
