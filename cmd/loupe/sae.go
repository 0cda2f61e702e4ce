package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/internal/config"
	"loupe/internal/progress"
	rundir "loupe/internal/run"
	"loupe/probe/store"
	"loupe/sae"
)

// saeConfig is a configuration file of kind sae: where the activations come from, and how to train.
type saeConfig struct {
	Name           string `json:"name" doc:"name of the run"`
	Store          string `json:"store" doc:"folder of the activation store"`
	Site           string `json:"site" doc:"site to train on, such as blocks.4.hook_resid_post"`
	ExcludeSpecial bool   `json:"exclude_special" doc:"leave out the rows of special tokens"`
	Split          string `json:"split" doc:"split of the documents to train on; empty: all"`
	EvalSplit      string `json:"eval_split" doc:"split to evaluate on; empty: that of the training"`
	EvalTokens     int64  `json:"eval_tokens" doc:"rows to evaluate on at the end; 0: none"`
	sae.Config
}

func newSAEConfig() any {
	return &saeConfig{Name: "sae", ExcludeSpecial: true, EvalTokens: 200_000, Config: sae.DefaultConfig()}
}

// Validate checks what does not depend on the store; the rest is checked when the store is open.
func (c *saeConfig) Validate() error {
	switch {
	case c.Store == "":
		return errors.New("store is not set; name the folder that `loupe capture` wrote")
	case c.Site == "":
		return errors.New("site is not set; `loupe store info` lists a store's sites")
	case c.EvalTokens < 0:
		return fmt.Errorf("eval_tokens is %d; it must be 0 (no evaluation) or more", c.EvalTokens)
	}
	return nil
}

func newSAECmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sae",
		Short: "Train and evaluate sparse autoencoders",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSAETrainCmd(a), newSAEEvalCmd(a))
	cmd.AddCommand(newSAEConvertCmd(a), newSAEInfoCmd(a), newSAECheckCmd(a))
	return cmd
}

func newSAETrainCmd(a *app) *cobra.Command {
	var set []string
	var resume bool
	var runs string
	cmd := &cobra.Command{
		Use:   "train CONFIG",
		Short: "Train a sparse autoencoder on a store, in a run folder",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.loadConfig(configKinds(), config.Input{Path: args[0], Kind: "sae", Set: set})
			if err != nil {
				return err
			}
			return a.trainSAE(cmd.Context(), c, runs, resume)
		},
	}
	addSetFlag(cmd, &set)
	cmd.Flags().BoolVar(&resume, "resume", false, "continue the newest run of this configuration")
	cmd.Flags().StringVar(&runs, "runs", "runs", "folder that holds the run folders")
	return cmd
}

// trainSAE trains in a new or resumed run folder and prints where the SAE is and how good.
func (a *app) trainSAE(ctx context.Context, c *config.Config, runs string, resume bool) error {
	conf := c.Value.(*saeConfig)
	st, err := store.Open(conf.Store, store.OpenOptions{})
	if err != nil {
		return err
	}
	defer st.Close()
	src, err := sae.NewStoreSource(ctx, st, []string{conf.Site}, conf.selection(conf.Split), conf.Seed)
	if err != nil {
		return err
	}
	rows, width, err := sae.Join(src, conf.Site)
	if err != nil {
		return err
	}
	cfg, err := conf.Config.Resolve(width)
	if err != nil {
		return err
	}
	b, err := a.open()
	if err != nil {
		return err
	}
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	v := buildVersion()
	spec := rundir.Spec{
		Root: runs, Name: conf.Name, Kind: "sae", Command: []string{"sae", "train"}, Seed: conf.Seed, Config: c.YAML(), ConfigHash: hash,
		Env: rundir.Env{Loupe: v.Version, Commit: v.Commit, Backend: b.String(), Modules: v.Modules}, Log: a.log.Handler(),
	}
	dir, err := openRun(spec, resume)
	if err != nil {
		return err
	}
	s, res, err := a.trainIn(ctx, b, dir, st, rows, conf, cfg, resume)
	if err != nil {
		return dir.Fail(err)
	}
	if err := dir.Finish(); err != nil {
		return err
	}
	return a.printSAE(dir.File("weights"), s, res)
}

// openRun creates a run folder or, with resume, takes over the newest one of the same configuration.
func openRun(spec rundir.Spec, resume bool) (*rundir.Dir, error) {
	if !resume {
		return rundir.Create(spec)
	}
	path, err := rundir.Find(spec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no run called %s in %s to resume; leave out --resume", spec.Name, spec.Root)
	}
	if err != nil {
		return nil, err
	}
	return rundir.Resume(path, spec)
}

// trainIn does the run's work; the result is nil without an evaluation.
func (a *app) trainIn(ctx context.Context, b compute.Backend, dir *rundir.Dir, st *store.Store, rows sae.Rows, conf *saeConfig, cfg sae.Config, resume bool) (*sae.SAE, *sae.Result, error) {
	m := st.Manifest()
	if err := dir.AddParent(rundir.Ref{Kind: "store", Name: filepath.Base(conf.Store), Digest: m.Digest}); err != nil {
		return nil, nil, err
	}
	t, err := startTrainer(b, dir, cfg, rows, resume)
	if err != nil {
		return nil, nil, err
	}
	defer t.Close()
	t.SetMetadata(map[string]any{"model_name": m.Model.ID, "hook_name": conf.Site, "dataset_path": m.Corpus.ID})
	dir.Log().Info("training", "engine", t.Config().Engine, "d_in", cfg.DIn, "d_sae", cfg.DSAE, "k", cfg.K, "steps", cfg.Steps(), "from_token", t.Tokens())

	bar := progress.New(progress.Options{Label: "train", Unit: "tokens", Total: cfg.Steps()*int64(cfg.Batch) - t.Tokens(), Out: a.err, Log: dir.Log()})
	err = t.Train(ctx, rows, sae.TrainOptions{
		Save: dir.SaveCheckpoint, SaveInterrupted: dir.SaveInterrupted,
		OnStep: func(s sae.StepStats) error {
			bar.Add(int64(cfg.Batch))
			return dir.Metrics(s.Step, s.Metrics())
		},
	})
	bar.Done()
	if err != nil {
		return nil, nil, err
	}
	s, err := t.SAE()
	if err != nil {
		return nil, nil, err
	}
	if conf.EvalTokens == 0 {
		return s, nil, s.Save(dir.File("weights"), nil)
	}
	split := conf.EvalSplit
	if split == "" {
		split = conf.Split
	}
	res, err := evalOnStore(ctx, b, s, st, conf.Site, conf.selection(split), conf.EvalTokens)
	if err != nil {
		return nil, nil, err
	}
	if err := s.Save(dir.File("weights"), res.Density); err != nil {
		return nil, nil, err
	}
	return s, &res, dir.Write("eval.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(res)
	})
}

// startTrainer makes a trainer, from the run's last checkpoint if there is one.
func startTrainer(b compute.Backend, dir *rundir.Dir, cfg sae.Config, rows sae.Rows, resume bool) (*sae.Trainer, error) {
	if resume {
		at, ok, err := dir.LastCheckpoint()
		if err != nil {
			return nil, err
		}
		if ok {
			t, cursor, err := sae.ReadCheckpoint(b, at.Path)
			if err != nil {
				return nil, err
			}
			return t, rows.Restore(cursor)
		}
	}
	return sae.Start(b, cfg, rows)
}

// selection chooses the configuration's rows of a split.
func (c *saeConfig) selection(split string) store.Select {
	return store.Select{ExcludeSpecial: c.ExcludeSpecial, Split: split}
}

// printSAE prints an SAE's place, sizes and, if there are any, its measures.
func (a *app) printSAE(path string, s *sae.SAE, res *sae.Result) error {
	if a.json {
		return a.printJSON(struct {
			SAE    string      `json:"sae"`
			Arch   string      `json:"architecture"`
			DIn    int         `json:"d_in"`
			DSAE   int         `json:"d_sae"`
			K      int         `json:"k"`
			Result *sae.Result `json:"result,omitempty"`
		}{path, s.Arch, s.DIn, s.DSAE, s.K, res})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s, d_in %d, d_sae %d, k %d\n", path, s.Arch, s.DIn, s.DSAE, s.K)
	if res != nil {
		fmt.Fprintf(&out, "rows                %d\nL0                  %.2f\nMSE per token       %.5g\nFVU                 %.4f\n", res.Rows, res.L0, res.MSE, res.FVU)
		fmt.Fprintf(&out, "explained variance  %.4f (legacy: %.4f)\ncosine              %.4f\n", res.Explained, res.ExplainedLegacy, res.Cosine)
		fmt.Fprintf(&out, "relative bias       %.4f\ndead latents        %d of %d\n", res.RelBias, res.Dead, s.DSAE)
	}
	_, err := fmt.Fprint(a.out, out.String())
	return err
}
