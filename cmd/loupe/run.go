package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/experiments/autoencoders"
	"loupe/experiments/demo"
	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/redteam"
	"loupe/experiments/papers"
	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/lab"
	rundir "loupe/internal/run"
	"loupe/internal/study"
	"loupe/vectors/fitting"
	"loupe/vectors/removal"
)

// experimentsDir holds one folder per experiment, below the working folder; those of papers have a folder of their own.
const (
	experimentsDir = "experiments"
	papersDir      = "experiments/papers"
)

// expectSuffix ends the file of the expectations for one of several configurations in a folder.
const expectSuffix = ".expect.yaml"

// judgedFile holds the verdicts of a run, in its folder.
const judgedFile = "tables/expected.json"

// outcome is what an experiment, or a dry run of it, prints.
type outcome interface{ Print(out io.Writer) error }

// judged is what an experiment returns.
type judged interface {
	outcome
	// Judged is every expectation with its verdict.
	Judged() []expect.Judgement
}

// experiment is a kind of configuration that `loupe run` carries out. A new one is a line in experiments.
type experiment struct {
	kind config.Kind
	// dry says what a run would cost and writes nothing.
	dry func(ctx context.Context, b compute.Backend, conf any, in experimentInput) (outcome, error)
	// run works in dir, which the caller finishes.
	run func(ctx context.Context, b compute.Backend, conf any, dir *rundir.Dir, in experimentInput) (judged, error)
	// seed and name are read from the configuration.
	seed func(conf any) uint64
	name func(conf any) string
}

// experimentInput is what the command line gives to an experiment besides its configuration.
type experimentInput struct {
	stores  string
	expect  []expect.Line
	other   string // why the expectations are not for these settings
	command string
	yaml    []byte
}

func experiments(a *app) []experiment {
	options := func(in experimentInput) lab.Options {
		return lab.Options{Engine: a.engine, Stores: in.stores, Err: a.err, Expect: in.expect, Other: in.other, Command: in.command, YAML: in.yaml}
	}
	all := []experiment{{
		kind: demo.Kind(),
		dry: func(ctx context.Context, b compute.Backend, conf any, in experimentInput) (outcome, error) {
			return demo.Dry(ctx, b, conf.(*demo.Config), options(in))
		},
		run: func(ctx context.Context, b compute.Backend, conf any, dir *rundir.Dir, in experimentInput) (judged, error) {
			return demo.Run(ctx, b, conf.(*demo.Config), dir, options(in))
		},
		seed: func(conf any) uint64 { return uint64(conf.(*demo.Config).Seed) },
		name: func(conf any) string { return conf.(*demo.Config).Name },
	}, {
		kind: autoencoders.Kind(),
		dry: func(ctx context.Context, b compute.Backend, conf any, in experimentInput) (outcome, error) {
			return autoencoders.Dry(ctx, b, conf.(*autoencoders.Config), options(in))
		},
		run: func(ctx context.Context, b compute.Backend, conf any, dir *rundir.Dir, in experimentInput) (judged, error) {
			return autoencoders.Run(ctx, b, conf.(*autoencoders.Config), dir, options(in))
		},
		seed: func(conf any) uint64 { return uint64(conf.(*autoencoders.Config).Seed) },
		name: func(conf any) string { return conf.(*autoencoders.Config).Name },
	}}
	for _, s := range studies() {
		all = append(all, experiment{
			kind: s.Kind,
			dry: func(_ context.Context, _ compute.Backend, conf any, in experimentInput) (outcome, error) {
				return s.Dry(conf, options(in)), nil
			},
			run: func(ctx context.Context, b compute.Backend, conf any, dir *rundir.Dir, in experimentInput) (judged, error) {
				return s.Carry(ctx, b, conf, dir, options(in))
			},
			seed: func(conf any) uint64 { return uint64(study.BaseOf(conf).Seed) },
			name: func(conf any) string { return study.BaseOf(conf).Name },
		})
	}
	return all
}

// studies are those of papers and those behind commands.
func studies() []study.Study {
	return append(papers.All(), removal.Study(), fitting.Study(), fitting.Tests(), compare.Study(), redteam.Study())
}

// runFlags are the flags of `loupe run`.
type runFlags struct {
	command      string // that the user gave, without the configuration; "loupe run" if empty
	kind         string // of the configuration, where the command takes only one
	set          []string
	dry, resume  bool
	full         bool
	runs, stores string
}

func newRunCmd(a *app) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run NAME|CONFIG",
		Short: "Run an experiment in a run folder and judge it against its expectations",
		Long: "Run an experiment. NAME stands for NAME/config.yaml in " + experimentsDir + " or " + papersDir + " below the working folder, or with --full\n" +
			"for NAME/full.yaml, the published budget where it differs; a path is taken as it is.\n" +
			"The summary goes to standard output; the run folder has a report.html, tables and weights.",
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runExperiment(cmd.Context(), args[0], f) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.full, "full", false, "take the published budget, NAME/full.yaml")
	return cmd
}

// add adds the flags of a command that works in a run folder.
func (f *runFlags) add(cmd *cobra.Command) {
	addSetFlag(cmd, &f.set)
	flags := cmd.Flags()
	flags.BoolVar(&f.dry, "dry-run", false, "print the steps with their sizes and times, and do nothing")
	flags.BoolVar(&f.resume, "resume", false, "continue the newest run of this configuration")
	flags.StringVar(&f.runs, "runs", "runs", "folder that holds the run folders")
	flags.StringVar(&f.stores, "stores", "stores", "folder that holds the activation stores")
}

func (a *app) runExperiment(ctx context.Context, name string, f runFlags) error {
	path := ""
	if name != "" { // else the defaults of the kind, with --set
		var err error
		if path, err = experimentConfig(name, f.full); err != nil {
			return err
		}
	}
	c, err := a.loadConfig(configKinds(), config.Input{Path: path, Kind: f.kind, Set: f.set})
	if err != nil {
		return err
	}
	var exp *experiment
	var kinds []string
	for _, e := range experiments(a) {
		kinds = append(kinds, e.kind.Name)
		if e.kind.Name == c.Kind.Name {
			exp = &e
		}
	}
	if exp == nil {
		return usagef("%s is a %s configuration, which is no experiment; `loupe run` takes kind %s", path, c.Kind.Name, strings.Join(kinds, ", "))
	}
	in := experimentInput{stores: f.stores, command: strings.TrimSpace(cmp.Or(f.command, "loupe run") + " " + name), yaml: c.YAML()}
	if f.full {
		in.command += " --full"
	}
	for _, s := range f.set {
		in.command += " --set " + s
	}
	if path != "" {
		if in.expect, in.other, err = a.expectations(path, c); err != nil {
			return err
		}
	}
	b, err := a.open()
	if err != nil {
		return err
	}
	if f.dry {
		plan, err := exp.dry(ctx, b, c.Value, in)
		if err != nil {
			return err
		}
		return a.printOutcome(plan)
	}
	hash, err := c.Hash()
	if err != nil {
		return err
	}
	v := buildVersion()
	dir, err := openRun(rundir.Spec{
		Root: f.runs, Name: exp.name(c.Value), Kind: c.Kind.Name, Command: strings.Fields(in.command)[1:], Seed: exp.seed(c.Value), Config: c.YAML(), ConfigHash: hash,
		Env: rundir.Env{Loupe: v.Version, Commit: v.Commit, Backend: b.String(), Modules: v.Modules}, Log: a.log.Handler(),
	}, f.resume)
	if err != nil {
		return err
	}
	result, err := exp.run(ctx, b, c.Value, dir, in)
	if err != nil {
		return dir.Fail(err)
	}
	if verdicts := result.Judged(); len(verdicts) > 0 {
		if err := dir.Write(judgedFile, func(w io.Writer) error { return writeJSON(w, verdicts) }); err != nil {
			return dir.Fail(err)
		}
	}
	if err := dir.Finish(); err != nil {
		return err
	}
	return a.printOutcome(result)
}

func (a *app) printOutcome(o outcome) error {
	if a.json {
		return a.printJSON(o)
	}
	return o.Print(a.out)
}

// experimentConfig returns the configuration file that NAME|CONFIG stands for; full takes full.yaml instead of config.yaml.
func experimentConfig(name string, full bool) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) || filepath.Ext(name) != "" {
		if full {
			return "", usagef("--full takes the name of an experiment, not the path of a configuration")
		}
		return name, nil
	}
	file := "config.yaml"
	if full {
		file = "full.yaml"
	}
	var found []string
	for _, dir := range []string{experimentsDir, papersDir} {
		path := filepath.Join(dir, name, file)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		several, err := filepath.Glob(filepath.Join(dir, name, "*.yaml"))
		several = slices.DeleteFunc(several, func(f string) bool { return strings.HasSuffix(f, expectSuffix) || filepath.Base(f) == "expect.yaml" })
		if err == nil && len(several) > 0 {
			return "", usagef("%s has no %s; name one of: %s", filepath.Join(dir, name), file, strings.Join(several, ", "))
		}
		configs, err := filepath.Glob(filepath.Join(dir, "*", file))
		if err != nil {
			return "", usagef("no experiment %q: %v", name, err)
		}
		for _, f := range configs {
			found = append(found, filepath.Base(filepath.Dir(f)))
		}
	}
	if len(found) == 0 {
		return "", usagef("no experiment %q: there is no %s in a folder of %s here; run in the folder of the project, or give the path of a configuration", name, file, experimentsDir)
	}
	if near, ok := config.Nearest(name, found); ok {
		return "", usagef("no experiment %q; did you mean %q?", name, near)
	}
	return "", usagef("no experiment %q; there are: %s", name, strings.Join(found, ", "))
}

// expectations reads the expectations beside the configuration, where there are any: NAME.expect.yaml beside NAME.yaml, or
// else the folder's expect.yaml, which is config.yaml's. They are for that file as it stands, so that other settings, from
// the command line or another file, are not judged.
func (a *app) expectations(path string, c *config.Config) (lines []expect.Line, other string, err error) {
	of := strings.TrimSuffix(path, filepath.Ext(path)) + expectSuffix
	published := path
	if _, err := os.Stat(of); errors.Is(err, fs.ErrNotExist) {
		of, published = filepath.Join(filepath.Dir(path), "expect.yaml"), filepath.Join(filepath.Dir(path), "config.yaml")
	}
	lines, err = expect.Load(of)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	settings, err := config.Load(configKinds(), config.Input{Path: published})
	if err != nil {
		return nil, "", fmt.Errorf("the configuration that %s belongs to: %w", of, err)
	}
	want, err := settings.Hash()
	if err != nil {
		return nil, "", err
	}
	got, err := c.Hash()
	if err != nil {
		return nil, "", err
	}
	if got != want {
		other = "the expectations are for " + filepath.ToSlash(published) + " as it stands"
	}
	return lines, other, nil
}
