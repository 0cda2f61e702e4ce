package training

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/gomlx/compute"

	"loupe/internal/run"
	"loupe/sae"
)

// Job is a training that is ready to run: its data is open and its SAEs are known.
type Job struct {
	cfg     *Config
	backend compute.Backend
	data    data
	sites   []string // that the SAEs read or write, each once
	members []sae.Member
}

// data is where activations come from.
type data interface {
	// source opens the rows of a split, of the named sites, mixed by seed. With once it ends after every row came once.
	source(ctx context.Context, split string, sites []string, seed uint64, once bool) (sae.Source, func(), error)
	// sample opens rows of all splits to measure on.
	sample(ctx context.Context, sites []string) (sae.Source, func(), error)
	// cost says what reading takes.
	cost(ctx context.Context) (dataCost, error)
	// names are the model and the corpus.
	names() (model, corpus string)
	// parents are what a run reads.
	parents() ([]run.Ref, error)
	close() error
}

// Open opens the data that cfg names - a store, or a model and a corpus - and finds the SAEs. Close lets go of the data.
func Open(ctx context.Context, b compute.Backend, cfg *Config, log *slog.Logger) (*Job, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	j := &Job{cfg: cfg, backend: b}
	var err error
	if j.members, err = cfg.members(); err != nil {
		return nil, err
	}
	for _, m := range j.members {
		for _, site := range slices.Concat(m.Inputs, m.Targets) {
			if !slices.Contains(j.sites, site) {
				j.sites = append(j.sites, site)
			}
		}
	}
	if cfg.Store != "" {
		j.data, err = openStore(cfg)
	} else {
		j.data, err = openModel(ctx, b, cfg, j.sites, log)
	}
	if err != nil {
		return nil, err
	}
	model, corpus := j.data.names()
	for i := range j.members {
		j.members[i].Metadata = metadata(j.members[i], model, corpus)
	}
	return j, nil
}

// metadata is what cfg.json says of where the SAE belongs: one site under hook_name, several under hook_names.
func metadata(m sae.Member, model, corpus string) map[string]any {
	out := map[string]any{"model_name": model, "dataset_path": corpus}
	for suffix, sites := range map[string][]string{"": m.Inputs, "_out": m.Targets} {
		switch len(sites) {
		case 0:
		case 1:
			out["hook_name"+suffix] = sites[0]
		default:
			out["hook_names"+suffix] = sites
		}
	}
	return out
}

// Close lets go of the data.
func (j *Job) Close() error { return j.data.close() }

// trainRows opens the rows to train on.
func (j *Job) trainRows(ctx context.Context) (sae.Source, func(), error) {
	return j.data.source(ctx, j.cfg.Split, j.sites, j.cfg.Seed, false)
}

// start makes the group, from the run's last checkpoint if there is one.
func (j *Job) start(dir *run.Dir, src sae.Source) (*sae.Group, error) {
	at, ok, err := dir.LastCheckpoint()
	if err != nil {
		return nil, err
	}
	if !ok {
		return sae.StartGroup(j.backend, j.members, src)
	}
	g, cursor, err := sae.ReadGroup(j.backend, at.Path)
	if err != nil {
		return nil, err
	}
	if err := src.Restore(cursor); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// Check starts the SAEs' configurations against the data without training, so that what is wrong with them is known
// before there is a run folder.
func (j *Job) Check(ctx context.Context) error {
	src, done, err := j.trainRows(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = sae.ResolveMembers(j.members, src)
	return err
}

// weightsDir is the place of an SAE in the run folder.
func (j *Job) weightsDir(name string) string {
	if j.cfg.single() {
		return "weights"
	}
	return fmt.Sprintf("weights/%s", name)
}
