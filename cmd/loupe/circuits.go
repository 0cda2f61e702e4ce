package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"loupe/circuits"
	"loupe/circuits/table"
	"loupe/circuits/task"
	"loupe/internal/progress"
	"loupe/probe/model"
	"loupe/probe/token"
)

func newCircuitsCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "circuits",
		Short: "Find, judge, draw and exchange the parts of a language model that do a task",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCircuitsPatchCmd(a), newCircuitsAttributeCmd(a), newCircuitsDiscoverCmd(a), newCircuitsEvaluateCmd(a))
	cmd.AddCommand(newCircuitsGraphCmd(a), newCircuitsViewCmd(a), newCircuitsConvertCmd(a), newCircuitsCheckCmd(a), newCircuitsCompareCmd(a))
	return cmd
}

// circuitFlags are the flags of the sub-commands that run a model on a task.
type circuitFlags struct {
	modelFlags
	prompts task.Config
	pairs   string
	start   string
	metric  string
	k       int
	budget  int64 // MiB
	sweep   int
	seed    int64
	dry     bool
}

func newCircuitFlags() circuitFlags {
	f := circuitFlags{prompts: task.DefaultConfig()}
	f.prompts.N = 16
	return f
}

func (f *circuitFlags) add(cmd *cobra.Command) {
	f.modelFlags.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.prompts.Task, "task", f.prompts.Task, "prompts from loupe's templates: "+strings.Join(task.Names(), ", "))
	flags.IntVar(&f.prompts.N, "n", f.prompts.N, "prompts")
	flags.Int64Var(&f.seed, "seed", 1, "seed of the prompts and of all that is drawn")
	flags.StringVar(&f.prompts.Templates, "templates", f.prompts.Templates, "main, paraphrased or all")
	flags.StringVar(&f.prompts.Corrupt, "corrupt", f.prompts.Corrupt, "ioi: swap the repeated name for the other, or abc: three other names")
	flags.IntVar(&f.prompts.Digits, "digits", f.prompts.Digits, "greater-than: digits of a token of the tokenizer")
	flags.StringVar(&f.pairs, "pairs", "", "file with your own prompts in place of --task: .jsonl or .csv with clean, corrupted, answers, wrongs")
	flags.StringVar(&f.start, "start-token", "", "token in front of every prompt where the tokenizer adds none, such as <|endoftext|>")
	flags.StringVar(&f.metric, "metric", "logit-diff", "logit-diff, prob-diff, kl, js, accuracy, cosine:SITE, or a formula over tokens such as \"logit(answer) - logit(' Rome')\"")
	flags.IntVar(&f.k, "k", 1, "of the metric accuracy: the answer is among so many tokens")
	flags.Int64Var(&f.budget, "budget", 0, "memory of one pass in MiB; more prompts than fit run in chunks; 0: no bound")
	flags.IntVar(&f.sweep, "sweep-rows", 0, "rows of one run of a sweep over edges or nodes; 0: 64")
	flags.BoolVar(&f.dry, "dry-run", false, "print shapes and memory; run nothing")
}

// measure returns the metric.
func (f *circuitFlags) measure(tok *token.Tokenizer) (circuits.Metric, error) {
	if name, ok := strings.CutPrefix(f.metric, "cosine:"); ok {
		site, err := model.ParseSite(name)
		if err != nil {
			return circuits.Metric{}, usagef("--metric %q: %w", f.metric, err)
		}
		return circuits.Cosine(site), nil
	}
	if strings.Contains(f.metric, "(") {
		m, err := circuits.Formula(f.metric, func(text string) (int32, error) {
			e, err := tok.Encode(text, token.EncodeOptions{})
			if err == nil && len(e.IDs) != 1 {
				err = fmt.Errorf("%q is %d tokens, not one", text, len(e.IDs))
			}
			if err != nil {
				return 0, err
			}
			return e.IDs[0], nil
		})
		if err != nil {
			return m, usagef("--metric: %w", err)
		}
		return m, nil
	}
	switch f.metric {
	case "logit-diff":
		return circuits.LogitDiff(), nil
	case "prob-diff":
		return circuits.ProbDiff(), nil
	case "kl":
		return circuits.KL(), nil
	case "js":
		return circuits.JS(), nil
	case "accuracy":
		if f.k < 1 {
			return circuits.Metric{}, usagef("--k %d: at least one token", f.k)
		}
		return circuits.AccuracyAtK(f.k), nil
	}
	return circuits.Metric{}, usagef("--metric %q: use logit-diff, prob-diff, kl, js, accuracy, cosine:SITE or a formula such as \"logit(answer) - logit(' Rome')\"", f.metric)
}

// readPrompts generates the prompts, or reads the user's.
func (f *circuitFlags) readPrompts() ([]task.Prompt, error) {
	if f.pairs == "" {
		f.prompts.Seed = f.seed
		prompts, err := task.Generate(f.prompts)
		if err != nil {
			return nil, usageError{err}
		}
		return prompts, nil
	}
	read := map[string]func(io.Reader) ([]task.Prompt, error){".jsonl": task.ReadJSONL, ".csv": task.ReadCSV}[filepath.Ext(f.pairs)]
	if read == nil {
		return nil, usagef("--pairs %s: a file of prompts ends in .jsonl or .csv", f.pairs)
	}
	file, err := os.Open(f.pairs)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	prompts, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.pairs, err)
	}
	return prompts, nil
}

// circuitRun is a model with a task.
type circuitRun struct {
	*circuits.Task
	ref      string
	name     string // of the task
	digest   string // of the pairs
	rows     int
	seq      int
	rejected []task.Rejected
	memory   *circuits.Memory
	shown    progress.Progress // rows that went through the model
}

// open loads the model and binds the task; with --dry-run only the shapes are known, and Task is nil.
func (f *circuitFlags) open(ctx context.Context, a *app, ref string) (*circuitRun, error) {
	prompts, err := f.readPrompts()
	if err != nil {
		return nil, err
	}
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	tok, err := token.Load(path)
	if err != nil {
		return nil, err
	}
	metric, err := f.measure(tok)
	if err != nil {
		return nil, err
	}
	var align task.AlignConfig
	if f.start != "" {
		id, ok := tok.ID(f.start)
		if !ok {
			return nil, usagef("--start-token %q is no token of %s", f.start, ref)
		}
		align.Start = &id
	}
	examples, rejected, err := task.Align(tok, prompts, align)
	if err != nil {
		return nil, err
	}
	pairs, err := circuits.PairsOf(examples)
	if err != nil {
		return nil, err
	}
	r := &circuitRun{ref: ref, name: f.prompts.Task, digest: pairsDigest(pairs), rows: pairs.Rows, seq: pairs.Seq, rejected: rejected}
	if f.pairs != "" {
		r.name = filepath.Base(f.pairs)
	}
	opt := circuits.Options{SweepRows: f.sweep, Budget: f.budget << 20}
	stored, err := f.options()
	if err != nil {
		return nil, err
	}
	info, err := model.Inspect(path, stored)
	if err != nil {
		return nil, err
	}
	if r.memory, err = circuits.EstimateMemory(info.Spec, pairs.Rows, pairs.Seq, opt); err != nil {
		return nil, err
	}
	if f.dry {
		return r, nil
	}
	engine, m, err := f.load(ctx, a, path)
	if err != nil {
		return nil, err
	}
	r.shown = progress.New(progress.Options{Label: "circuits", Unit: "rows", Out: a.err, Log: a.log})
	opt.Ran = func(rows int) { r.shown.Add(int64(rows)) }
	if r.Task, err = circuits.NewTask(ctx, engine, m, pairs, metric, opt); err != nil {
		r.shown.Done()
		return nil, errors.Join(err, m.Params.Free())
	}
	return r, nil
}

// close frees the model.
func (r *circuitRun) close() error {
	if r.Task == nil {
		return nil
	}
	r.shown.Done()
	return r.Model.Params.Free()
}

// provenance says what scores of the run are computed from.
func (r *circuitRun) provenance(f *circuitFlags, scores *circuits.Scores) table.Provenance {
	return table.Provenance{
		Loupe: buildVersion().Version, Model: r.ref, ModelDigest: r.Model.Digest, Width: r.Model.Spec.DModel, Task: r.name, Pairs: r.digest,
		Rows: r.Pairs.Rows, Seq: r.Pairs.Seq, Metric: f.metric, Method: scores.Method, Ablation: string(circuits.Patching), Seed: f.seed,
		CleanLoss: meanOf(r.Task.CleanLoss), Corrupted: meanOf(r.CorruptedLoss),
	}
}

// pairsDigest is the SHA-256 of a batch's tokens, mask and answers.
func pairsDigest(p *circuits.Pairs) string {
	h := sha256.New()
	lists := [][]int32{{int32(p.Rows), int32(p.Seq)}, p.Clean, p.Corrupted, p.Mask}
	lists = append(append(lists, p.Answer...), p.Wrong...)
	for _, x := range lists {
		binary.Write(h, binary.LittleEndian, int64(len(x)))
		binary.Write(h, binary.LittleEndian, x)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func meanOf(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
