package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
)

// steerFlags are the flags of `loupe vectors steer`.
type steerFlags struct {
	modelFlags
	vectors  []string
	layers   string
	mode     string
	keepNorm bool
	when     string
	mask     vectors.TokenMask
	prompts  string
	chat     bool
	system   string
	opt      model.GenerateOptions
	dose     vectors.DoseConfig
	concept  []string
	against  []string
}

// The modes of --mode.
const (
	steerAdd    = "add"
	steerAblate = "ablate"
	steerClamp  = "clamp"
)

func newVectorsSteerCmd(a *app) *cobra.Command {
	f := steerFlags{dose: vectors.DefaultDose()}
	var doses []float64
	cmd := &cobra.Command{
		Use:   "steer MODEL [PROMPT...]",
		Short: "Generate text with vectors added, removed or clamped; dose-response curves",
		Long: `Continue each PROMPT without and with the vectors, side by side. A vector is FILE[:STRENGTH], a control vector (.gguf, .svec) that
acts after each of its layers or the .json card of ` + "`loupe vectors fit`" + `; or SITE=FILE[:STRENGTH], a .npy file or .safetensors#TENSOR
at a site. Several add up. --mode ablate takes the component along the vector away, --mode clamp sets it to the strength.
--when SITE=FILE:THRESHOLD steers only positions whose activation at SITE, projected on that vector's direction, exceeds THRESHOLD.

With --doses the strengths are multiplied by each dose, and the table shows how much of the concept (--concept: the share of such words
in the text, or with --against the difference of the next token's logits) and how much fluency (perplexity under the unsteered model
given the prompt, distinct n-grams) each dose has, with 95 % intervals over prompts. Give several prompts. ` + strings.Replace(refHelp, "REF", "MODEL", 1),
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("name a model; usage: %s", cmd.UseLine())
			}
			f.dose.Strengths = doses
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, args[0], args[1:])
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.vectors, "vector", nil, "[SITE=]FILE[:STRENGTH] (repeatable)")
	flags.StringVar(&f.layers, "layers", "", "only these layers of control vectors, such as 8-14")
	flags.StringVar(&f.mode, "mode", steerAdd, "add, ablate or clamp")
	flags.BoolVar(&f.keepNorm, "keep-norm", false, "rescale activations to the length that they had")
	flags.StringVar(&f.when, "when", "", "condition SITE=FILE:THRESHOLD, decided at each position")
	flags.IntVar(&f.mask.Skip, "skip", 0, "leave so many first tokens of a prompt alone")
	flags.IntVar(&f.mask.Last, "last", 0, "touch only so many last tokens of a prompt; 0: all")
	flags.BoolVar(&f.mask.NoOutput, "prompt-only", false, "leave generated tokens alone")
	flags.BoolVar(&f.mask.NoPrompt, "output-only", false, "leave the prompt alone")
	flags.StringVar(&f.prompts, "prompts", "", "file with a prompt on each line")
	flags.BoolVar(&f.chat, "chat", false, "write the prompt as the user's turn in the model's chat template")
	flags.StringVar(&f.system, "system", "", "system message of the chat")
	flags.IntVar(&f.opt.MaxNew, "max-new", 32, "new tokens; with --doses exactly, else at most")
	flags.Float64Var(&f.opt.Temperature, "temperature", 0, "0: the likeliest token; else draw from softmax(logits/temperature)")
	flags.Uint64Var(&f.opt.Seed, "seed", 0, "seed of the draws, and of the intervals")
	flags.Float64SliceVar(&doses, "doses", nil, "factors of the strengths, ascending, such as -2,-1,0,1,2")
	flags.IntVar(&f.dose.N, "n", f.dose.N, "length of the n-grams of distinct-n")
	flags.StringSliceVar(&f.concept, "concept", nil, "with --doses: words of the concept")
	flags.StringSliceVar(&f.against, "against", nil, "with --doses: words that the concept's are held against, by the logits of the next token")
	f.add(cmd)
	return cmd
}

func (f *steerFlags) check() error {
	switch {
	case len(f.vectors) == 0:
		return usagef("--vector is missing; %s", vectorForm)
	case !slices.Contains([]string{steerAdd, steerAblate, steerClamp}, f.mode):
		return usagef("--mode %q: use add, ablate or clamp", f.mode)
	case f.mode == steerClamp && f.keepNorm:
		return usagef("--keep-norm would undo --mode clamp; leave one out")
	case f.opt.MaxNew < 1 || !(f.opt.Temperature >= 0):
		return usagef("--max-new %d, --temperature %g: at least one token, and no negative temperature", f.opt.MaxNew, f.opt.Temperature)
	case f.system != "" && !f.chat:
		return usagef("--system is a turn of a chat; add --chat")
	case len(f.dose.Strengths) > 0 && len(f.concept) == 0:
		return usagef("--doses needs --concept WORD,WORD,... to measure")
	case len(f.dose.Strengths) == 0 && len(f.concept)+len(f.against) > 0:
		return usagef("--concept and --against measure doses; add --doses -2,-1,0,1,2")
	case len(f.dose.Strengths) > 0 && f.mode == steerAblate:
		return usagef("--mode ablate has no strength to vary; leave --doses out")
	}
	if err := f.mask.Validate(); err != nil {
		return usageError{err}
	}
	if len(f.dose.Strengths) == 0 {
		return nil
	}
	f.dose.MaxNew, f.dose.Temperature, f.dose.Seed, f.dose.Mask = f.opt.MaxNew, f.opt.Temperature, f.opt.Seed, f.mask
	f.dose.Bootstrap = lab.Bootstrap(int64(f.opt.Seed))
	if err := f.dose.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// steered is what `loupe vectors steer` works with.
type steered struct {
	engine  *model.Engine
	model   *model.Model
	tokens  *token.Tokenizer
	place   func(dose float64) ([]vectors.Placed, error)
	texts   []string  // prompts as encoded
	prompts [][]int32 // their tokens
}

func (f *steerFlags) run(ctx context.Context, a *app, ref string, prompts []string) error {
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return err
	}
	s := &steered{}
	if s.tokens, err = token.Load(path); err != nil {
		return err
	}
	if s.texts, s.prompts, err = f.encode(s.tokens, prompts); err != nil {
		return err
	}
	layers, err := parseLayers(f.layers)
	if err != nil {
		return err
	}
	if s.engine, s.model, err = f.load(ctx, a, path); err != nil {
		return err
	}
	defer s.model.Params.Free()
	list, err := parseVectors(f.vectors, layers, s.model.Digest)
	if err != nil {
		return err
	}
	condition, at, err := f.condition()
	if err != nil {
		return err
	}
	s.place = func(dose float64) ([]vectors.Placed, error) {
		var out []vectors.Placed
		for _, v := range list {
			var do vectors.Intervention = vectors.Steering{Vector: v.Vector, Strength: dose * v.Strength, KeepNorm: f.keepNorm}
			switch f.mode {
			case steerAblate:
				do = vectors.Steering{Vector: v.Vector, Ablate: true, KeepNorm: f.keepNorm}
			case steerClamp:
				do = vectors.Clamp{Vector: v.Vector, Value: dose * v.Strength}
			}
			if condition != nil {
				read := at
				do = vectors.Gated{Condition: *condition, Do: do, At: &read}
			}
			out = append(out, vectors.Placed{Site: v.Site, Do: do})
		}
		return out, nil
	}
	if len(f.dose.Strengths) > 0 {
		return f.curve(ctx, a, s)
	}
	return f.compare(ctx, a, s, path)
}

// encode reads --prompts, and turns prompts into tokens.
func (f *steerFlags) encode(tokens *token.Tokenizer, prompts []string) (texts []string, ids [][]int32, err error) {
	if f.prompts != "" {
		lines, err := readLines(f.prompts)
		if err != nil {
			return nil, nil, err
		}
		prompts = append(prompts, lines...)
	}
	if len(prompts) == 0 {
		return nil, nil, usagef("give a prompt, or --prompts FILE")
	}
	for _, p := range prompts {
		if f.chat {
			if p, err = render(tokens, f.system, []string{p}); err != nil {
				return nil, nil, err
			}
		}
		encoded, err := tokens.Encode(p, token.EncodeOptions{AddSpecial: !f.chat})
		if err != nil {
			return nil, nil, err
		}
		texts, ids = append(texts, p), append(ids, encoded.IDs)
	}
	return texts, ids, nil
}

// condition reads --when.
func (f *steerFlags) condition() (*vectors.Condition, model.Site, error) {
	if f.when == "" {
		return nil, model.Site{}, nil
	}
	add, err := parseAddition(f.when)
	if err != nil {
		return nil, model.Site{}, fmt.Errorf("--when: %w", err)
	}
	return &vectors.Condition{Vector: wide(add.vector), Threshold: float64(add.strength), Score: vectors.ScoreProjection}, add.site, nil
}

// steeredText is a prompt with what follows it.
type steeredText struct {
	Prompt  string `json:"prompt"`
	Plain   string `json:"plain"`
	Steered string `json:"steered"`
}

// compare prints each prompt's continuation without and with the vectors.
func (f *steerFlags) compare(ctx context.Context, a *app, s *steered, path string) error {
	opt := f.opt
	var err error
	if opt.Stop, err = stopTokens(s.tokens, path); err != nil {
		return err
	}
	plain, err := s.engine.Generate(ctx, s.model, s.prompts, opt)
	if err != nil {
		return err
	}
	list, err := s.place(1)
	if err != nil {
		return err
	}
	if err := vectors.Steer(s.model.Spec, list, s.prompts, f.mask, nil, &opt); err != nil {
		return err
	}
	moved, err := s.engine.Generate(ctx, s.model, s.prompts, opt)
	if err != nil {
		return err
	}
	var rows []steeredText
	for i := range s.prompts {
		row := steeredText{Prompt: s.texts[i]}
		if row.Plain, err = continuation(s.tokens, s.prompts[i], plain[i]); err != nil {
			return err
		}
		if row.Steered, err = continuation(s.tokens, s.prompts[i], moved[i]); err != nil {
			return err
		}
		rows = append(rows, row)
	}
	if a.json {
		return a.printJSON(rows)
	}
	for _, r := range rows {
		fmt.Fprintf(a.out, "%s\n  plain    %q\n  steered  %q\n", r.Prompt, r.Plain, r.Steered)
	}
	return nil
}

// doseTable is what --doses prints as JSON.
type doseTable struct {
	*vectors.DoseCurve
	Texts [][]string `json:"texts"` // by dose and prompt
}

// curve prints the dose-response table.
func (f *steerFlags) curve(ctx context.Context, a *app, s *steered) error {
	score, what, err := f.scorer(s)
	if err != nil {
		return err
	}
	curve, err := vectors.DoseResponse(ctx, s.engine, s.model, s.prompts, s.place, score, f.dose)
	if err != nil {
		return err
	}
	t := doseTable{DoseCurve: curve}
	for _, d := range curve.Doses {
		var texts []string
		for i, ids := range d.Outputs {
			text, err := continuation(s.tokens, s.prompts[i], ids)
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		t.Texts = append(t.Texts, texts)
	}
	if a.json {
		return a.printJSON(t)
	}
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "DOSE\tCONCEPT (%s)\tPERPLEXITY\tDISTINCT-%d\tFIRST TEXT\n", what, f.dose.N)
	for i, d := range curve.Doses {
		fmt.Fprintf(w, "%g\t%s\t%s\t%s\t%.60q\n", d.Strength, lab.Short(d.Concept), lab.Short(d.Perplexity), lab.Short(d.Distinct), t.Texts[i][0])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	trend := "the concept is the same at all doses"
	if curve.Trend != nil {
		trend = fmt.Sprintf("trend of the concept over doses: Spearman %.3f, Jonckheere p = %.2g (rising)", curve.Spearman, curve.Trend.PIncreasing)
	}
	fmt.Fprintf(a.out, "\n%d prompts, %d tokens each; %s\n", len(s.prompts), f.dose.MaxNew, trend)
	const ratio = 1.5
	if best, err := curve.Strongest(ratio); err == nil {
		fmt.Fprintf(a.out, "most of the concept within %g times the unsteered perplexity: dose %g\n", ratio, best.Strength)
	}
	return nil
}

// scorer measures the concept by --concept and --against.
func (f *steerFlags) scorer(s *steered) (vectors.Scorer, string, error) {
	concept, err := wordTokens(s.tokens, f.concept)
	if err != nil {
		return nil, "", err
	}
	if len(f.against) == 0 {
		score, err := vectors.LexiconScorer(concept)
		return score, "share of words", err
	}
	against, err := wordTokens(s.tokens, f.against)
	if err != nil {
		return nil, "", err
	}
	score, err := vectors.LogitScorer(s.engine, s.model, concept, against, f.dose.Batch)
	return score, "logit difference", err
}

// wordTokens are the first tokens of words, as they are and after a space.
func wordTokens(tokens *token.Tokenizer, words []string) ([]int32, error) {
	var out []int32
	for _, w := range words {
		for _, text := range []string{w, " " + w} {
			encoded, err := tokens.Encode(text, token.EncodeOptions{})
			if err != nil {
				return nil, err
			}
			at := slices.IndexFunc(encoded.Tokens, func(t string) bool { return strings.Trim(t, " \u2581\u0120") != "" }) // not a mere space
			if at < 0 {
				return nil, usagef("the word %q has no token", w)
			}
			if id := encoded.IDs[at]; !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out, nil
}

// readLines reads the lines of a text file that are not blank.
func readLines(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(raw) {
		return nil, fmt.Errorf("%s is not UTF-8 text", path)
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no line of text", path)
	}
	return out, nil
}

// continuation is the text of tokens that follow a prompt.
func continuation(tokens *token.Tokenizer, prompt, ids []int32) (string, error) {
	before, err := tokens.Decode(prompt, true)
	if err != nil {
		return "", err
	}
	all, err := tokens.Decode(slices.Concat(prompt, ids), true)
	if err != nil {
		return "", err
	}
	return all[sharedPrefix(before, all):], nil
}
