package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"loupe/internal/hub"
	"loupe/probe/text"
	"loupe/sae"
	"loupe/sae/evaluate"
)

// saeEvalData are the flags that name data for suites in place of the generated data.
type saeEvalData struct {
	probing, textField, labelField string
	facts, forget, retain          string
	judge, descriptions            string
}

func (d *saeEvalData) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.probing, "probing", "", "probing: labelled texts, a JSONL, CSV or Parquet file or hf:datasets/org/name (default: generated concepts)")
	f.StringVar(&d.textField, "text-field", "text", "probing: field of the text")
	f.StringVar(&d.labelField, "label-field", "label", "probing: field of the class")
	f.StringVar(&d.facts, "facts", "", "ravel: JSON file with entities, attributes and prompts (default: cities)")
	f.StringVar(&d.forget, "forget", "", "unlearning: JSONL file of questions to forget, with question, choices and answer as in WMDP (default: capitals)")
	f.StringVar(&d.retain, "retain", "", "unlearning: JSONL file of questions to keep (default: opposites, young animals, months)")
	f.StringVar(&d.judge, "judge", "minilm", "autointerp: sentence encoder or language model that scores descriptions")
	f.StringVar(&d.descriptions, "descriptions", "", "autointerp: JSONL file with latent and description, for a single SAE (default: by tokens)")
}

// load reads the data that the suites need into the bench.
func (d saeEvalData) load(ctx context.Context, a *app, b compute.Backend, bench *evaluate.Bench, suites []string, saes int) (err error) {
	wants := func(suite string) bool { return slices.Contains(suites, suite) }
	if bench.Subject != nil {
		bench.Tokenizer = bench.Subject.Tokenizer
	}
	if d.probing != "" && wants("probing") {
		if bench.ProbeSets, err = d.probeSets(ctx, bench.Seed); err != nil {
			return err
		}
	}
	if d.facts != "" && wants("ravel") {
		facts, err := readFile(d.facts, evaluate.ReadFacts)
		if err != nil {
			return err
		}
		bench.Facts = &facts
	}
	if (d.forget == "") != (d.retain == "") {
		return usagef("--forget and --retain belong together; give both or neither")
	}
	if d.forget != "" && wants("unlearning") {
		if bench.Forget, err = readFile(d.forget, evaluate.ReadQuestions); err != nil {
			return err
		}
		if bench.Retain, err = readFile(d.retain, evaluate.ReadQuestions); err != nil {
			return err
		}
	}
	if wants("autointerp") {
		return d.loadJudge(ctx, a, b, bench, saes)
	}
	return nil
}

// loadJudge opens the judge; its weights stay until the program ends.
func (d saeEvalData) loadJudge(ctx context.Context, a *app, b compute.Backend, bench *evaluate.Bench, saes int) error {
	s, err := evaluate.OpenSubject(ctx, b, d.judge, true, nil, a.log)
	if errors.Is(err, hub.ErrNotFound) {
		a.log.Warn("the judge is not on this machine; autointerp is left out", "judge", d.judge, "cure", "run `loupe setup`, or give --judge")
		return nil
	}
	if err != nil {
		return err
	}
	if bench.Judge, err = evaluate.NewJudge(s); err != nil {
		return err
	}
	if d.descriptions == "" {
		return nil
	}
	if saes != 1 {
		return usagef("--descriptions are those of one SAE's latents, and %d are measured; give one", saes)
	}
	bench.Descriptions, err = readFile(d.descriptions, func(r io.Reader) (map[int]string, error) { return sae.ReadDescriptions(r, maxLatents) })
	return err
}

// maxLatents bounds the latents that a file of descriptions may name.
const maxLatents = 1 << 31

// probeSets reads labelled texts.
func (d saeEvalData) probeSets(ctx context.Context, seed uint64) ([]sae.ProbeSet, error) {
	kind := text.KindJSONL
	switch ext := strings.ToLower(filepath.Ext(d.probing)); {
	case strings.HasPrefix(d.probing, "hf:"):
		kind = text.KindHub
	case ext == ".csv":
		kind = text.KindCSV
	case ext == ".parquet":
		kind = text.KindParquet
	case ext != ".jsonl":
		return nil, usagef("--probing %q: give a .jsonl, .csv or .parquet file, or hf:datasets/org/name", d.probing)
	}
	cfg := text.DefaultCorpusConfig(kind)
	cfg.Path, cfg.TextField, cfg.LabelFields = d.probing, d.textField, []string{d.labelField}
	return evaluate.CorpusProbeSets(ctx, cfg, d.labelField, seed)
}

// readFile parses a file; its name is put before an error.
func readFile[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, err
	}
	defer f.Close()
	v, err := parse(f)
	if err != nil {
		return v, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}
