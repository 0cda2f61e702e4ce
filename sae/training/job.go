package training

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"

	"loupe/internal/run"
	"loupe/probe/store"
	"loupe/sae"
)

// Job is a training that is ready to run: its data is open and its SAEs are known.
type Job struct {
	cfg     *Config
	backend compute.Backend
	store   *store.Store
	sites   []string // that the SAEs read or write, each once
	members []sae.Member
}

// Open opens the data that cfg names and finds the SAEs' sites in it. Close lets go of the data.
func Open(b compute.Backend, cfg *Config) (*Job, error) {
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
	if j.store, err = store.Open(cfg.Store, store.OpenOptions{}); err != nil {
		return nil, err
	}
	man := j.store.Manifest()
	for i := range j.members {
		j.members[i].Metadata = metadata(j.members[i], man.Model.ID, man.Corpus.ID)
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
func (j *Job) Close() error { return j.store.Close() }

// source opens the rows of a split, all sites, mixed by seed, and tells how many one epoch has.
func (j *Job) source(ctx context.Context, split string, sites []string, seed uint64) (sae.Source, int64, error) {
	src, err := sae.NewStoreSource(ctx, j.store, sites, j.cfg.selection(split), seed)
	if err != nil {
		return nil, 0, err
	}
	return src, src.Count(), nil
}

// parents are what the run reads.
func (j *Job) parents() []run.Ref {
	return []run.Ref{{Kind: "store", Name: filepath.Base(j.cfg.Store), Digest: j.store.Manifest().Digest}}
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
	src, _, err := j.source(ctx, j.cfg.Split, j.sites, j.cfg.Seed)
	if err != nil {
		return err
	}
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
