package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loupe/experiments/erase/compare"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/experiments/erase/saved"
	"loupe/internal/config"
	"loupe/internal/lab"
	"loupe/probe/train"
)

// eraseFitFlags are the flags of `loupe erase fit`.
type eraseFitFlags struct {
	method, out string
	set         []string
	dry, resume bool
}

// eraseFitReport is what `loupe erase fit` prints.
type eraseFitReport struct {
	Method   string         `json:"method"`
	Model    string         `json:"model"`
	Erased   []string       `json:"erased"`
	Acts     string         `json:"acts"`
	Out      string         `json:"out"`
	Seconds  float64        `json:"seconds"`
	Notes    map[string]any `json:"notes,omitempty"`
	Existing bool           `json:"existing,omitempty"` // the edit was there
	Dry      bool           `json:"dry_run,omitempty"`
}

// Print implements [outcome].
func (r *eraseFitReport) Print(out io.Writer) error {
	verb := "erased"
	switch {
	case r.Dry:
		verb = "would erase"
	case r.Existing:
		verb = "has already erased"
	}
	if _, err := fmt.Fprintf(out, "%s %s %s from %s (acts on %s) -> %s\n", r.Method, verb, strings.Join(r.Erased, ", "), r.Model, r.Acts, r.Out); err != nil {
		return err
	}
	if w, ok := r.Notes["warnings"]; ok {
		if _, err := fmt.Fprintf(out, "warning: %v\n", w); err != nil {
			return err
		}
	}
	if r.Dry || r.Existing {
		return nil
	}
	_, err := fmt.Fprintf(out, "%.3f s\n", r.Seconds)
	return err
}

func newEraseFitCmd(a *app) *cobra.Command {
	var f eraseFitFlags
	cmd := &cobra.Command{
		Use:   "fit CONFIG",
		Short: "Erase all concepts of a task at once and save the edit",
		Long: `Fit one method of CONFIG, a file of kind erase, to all concepts of task.erase at once, and write the edit to --out: edit.json says what
was erased and how, edit.safetensors holds the factors of a map or an eraser; an edit of weights is written as a model folder in
Hugging Face's layout, with edit.json in it.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out == "" {
				return usagef("--out is empty; name the folder of the edit")
			}
			r, err := a.eraseFit(cmd.Context(), args[0], f)
			if err != nil {
				return err
			}
			return a.printOutcome(r)
		},
	}
	addSetFlag(cmd, &f.set)
	flags := cmd.Flags()
	flags.StringVar(&f.method, "method", "", "label of one of CONFIG's methods; needed where it has several")
	flags.StringVar(&f.out, "out", "", "folder of the edit")
	flags.BoolVar(&f.dry, "dry-run", false, "check everything and say what would be done")
	flags.BoolVar(&f.resume, "resume", false, "leave an edit that is there")
	return cmd
}

func (a *app) eraseFit(ctx context.Context, path string, f eraseFitFlags) (_ *eraseFitReport, err error) {
	loaded, err := a.loadConfig(configKinds(), config.Input{Path: path, Kind: compare.Kind, Set: f.set})
	if err != nil {
		return nil, err
	}
	c := loaded.Value.(*compare.Config)
	chosen, err := c.Pick(f.method)
	if err != nil {
		return nil, usageError{err}
	}
	m, settings, err := chosen.Resolve()
	if err != nil {
		return nil, err
	}
	task := c.Task
	task.Seed = c.Seed
	t, err := method.NewTask(task)
	if err != nil {
		return nil, err
	}
	if len(task.Erase) == 0 {
		return nil, usagef("%s: task.erase is empty, which would erase all of %s; name the concepts", path, task.Domain)
	}
	r := &eraseFitReport{Method: m.Name, Model: c.Model, Erased: task.Erase, Acts: m.Acts, Out: f.out, Dry: f.dry}
	if f.dry {
		return r, nil
	}
	if _, err := os.Stat(f.out); err == nil {
		if r.Existing = f.resume; r.Existing {
			return r, nil
		}
		return nil, usagef("%s exists; name another folder, or leave what is there with --resume", f.out)
	}
	b, err := a.open()
	if err != nil {
		return nil, err
	}
	l, err := lab.Open(ctx, b, c.Model, nil, lab.Options{Err: a.err})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	e, err := encoder.New(l.Engine, l.Model, l.Tokenizer, c.Pool)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	v, err := m.Fit(ctx, e, t, settings)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	r.Seconds, r.Notes = time.Since(start).Seconds(), v.Notes
	edit := saved.Edit{Method: m.Name, Paper: m.Paper, Settings: settings, Erased: task.Erase, Domain: task.Domain, Seed: task.Seed, Seconds: r.Seconds}
	for _, target := range t.Erase {
		edit.Anchors = append(edit.Anchors, target.Anchor)
	}
	if v.Params != nil && v.Hook == nil {
		err = train.SaveFolder(l.Model, v.Params, f.out, edit)
	} else {
		err = saved.Save(f.out, e, v, edit)
	}
	if v.Params != nil && v.Params != l.Model.Params {
		err = errors.Join(err, v.Params.FreeUnshared(l.Model.Params))
	}
	return r, err
}
