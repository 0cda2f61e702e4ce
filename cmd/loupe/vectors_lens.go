package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// lensFlags are the flags of `loupe vectors lens`.
type lensFlags struct {
	modelFlags
	layers    string
	top       int
	position  int
	tuned     string
	train     string
	corpus    text.CorpusConfig
	training  vectors.TunedLensConfig
	texts     int
	length    int
	attribute bool
	attention bool
	prompt    bool
	target    string
	against   string
	ig        vectors.IGConfig
}

func newVectorsLensCmd(a *app) *cobra.Command {
	f := lensFlags{corpus: text.DefaultCorpusConfig(text.KindGoRoot), training: vectors.DefaultTunedLens(), ig: vectors.DefaultIG()}
	cmd := &cobra.Command{
		Use:   "lens MODEL PROMPT",
		Short: "Read each layer of a prompt as next tokens, and say what made the prediction",
		Long: `Print at one position of PROMPT what each layer's residual stream says as next tokens (logit lens): the likeliest tokens, the entropy
and the divergence from the final layer; with --tuned DIR through the trained translators of that folder as well.
--train DIR trains translators first, on ` + "`goroot`" + ` or --corpus-path FILE, for the chosen layers, and prints what they gain on texts that they did not see.

--attribution splits the logit of the target (--target, else the likeliest token; less that of --against) over embedding, attention and MLP of
each layer. --attention describes every head on the prompt. --prompt-attribution says what each token of the prompt adds to the target, by
leaving it out, by integrated gradients, and by attention x value. ` + `MODEL is smollm2, a Hugging Face folder, a .gguf file, or hf:org/name@revision.`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return f.run(cmd.Context(), a, args[0], args[1])
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.layers, "layers", "", "only these layers, such as 0,8-14")
	flags.IntVar(&f.top, "top", 5, "tokens that are shown")
	flags.IntVar(&f.position, "position", -1, "position of the prompt that is read; negative ones count from the end")
	flags.StringVar(&f.tuned, "tuned", "", "folder of a tuned lens")
	flags.StringVar(&f.train, "train", "", "train a tuned lens into this folder")
	flags.StringVar(&f.corpus.Path, "corpus-path", "", "text file with training text; empty: the doc comments of the Go standard library")
	flags.IntVar(&f.texts, "texts", 64, "texts for training; a quarter as many more are held out")
	flags.IntVar(&f.length, "length", 64, "tokens that are read of each text")
	flags.IntVar(&f.training.Steps, "steps", f.training.Steps, "training steps of each layer")
	flags.IntVar(&f.training.Batch, "batch", f.training.Batch, "tokens a step")
	flags.Float64Var(&f.training.Rate, "rate", f.training.Rate, "learning rate at the start")
	flags.Uint64Var(&f.training.Seed, "seed", 0, "of the order of tokens")
	flags.BoolVar(&f.attribute, "attribution", false, "direct logit attribution")
	flags.BoolVar(&f.attention, "attention", false, "table of attention heads")
	flags.BoolVar(&f.prompt, "prompt-attribution", false, "what each token of the prompt adds")
	flags.StringVar(&f.target, "target", "", "token that is explained: a text of one token; empty: the likeliest")
	flags.StringVar(&f.against, "against", "", "token whose logit is taken away")
	flags.StringVar((*string)(&f.ig.Baseline), "baseline", string(f.ig.Baseline), "integrated gradients: mean or zero embedding")
	flags.IntVar(&f.ig.Points, "points", f.ig.Points, "integrated gradients: most points on the path")
	f.add(cmd)
	return cmd
}

func (f *lensFlags) check() error {
	switch {
	case f.train != "" && f.tuned != "":
		return usagef("--train makes the lens that --tuned reads; use one of them")
	case f.texts < 8 || f.length < 2:
		return usagef("--texts %d, --length %d: use at least 8 texts of 2 tokens", f.texts, f.length)
	case f.top < 1:
		return usagef("--top %d: at least one token", f.top)
	}
	if err := f.training.Validate(); err != nil {
		return usageError{err}
	}
	if err := f.ig.Validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// lensResult is what `loupe vectors lens` prints.
type lensResult struct {
	Prompt      []string              `json:"prompt"` // tokens
	Position    int                   `json:"position"`
	Layers      []lensRow             `json:"layers"`
	Trained     []tunedRow            `json:"trained,omitempty"`
	Target      string                `json:"target,omitempty"`
	Against     string                `json:"against,omitempty"`
	Attribution *attributionTable     `json:"attribution,omitempty"`
	Attention   []vectors.HeadPattern `json:"attention,omitempty"`
	PromptParts []promptRow           `json:"prompt_attribution,omitempty"`
	PromptGaps  *promptGaps           `json:"prompt_gaps,omitempty"`
}

// lensRow is what a layer says at the position.
type lensRow struct {
	Layer   int        `json:"layer"`
	Lens    string     `json:"lens"` // logit or tuned
	Top     []tokenOdd `json:"top"`
	Entropy float64    `json:"entropy"` // nats
	KL      float64    `json:"kl"`      // from the final layer, nats
}

type tokenOdd struct {
	Token string  `json:"token"`
	P     float64 `json:"p"`
}

// lensRun is a prompt in a model.
type lensRun struct {
	f      *lensFlags
	engine *model.Engine
	model  *model.Model
	tokens *token.Tokenizer
	lens   *vectors.Lens
	layers []int
	ids    []int32
	at     int
}

func (f *lensFlags) run(ctx context.Context, a *app, ref, prompt string) error {
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return err
	}
	r := &lensRun{f: f}
	if r.tokens, err = token.Load(path); err != nil {
		return err
	}
	encoded, err := r.tokens.Encode(prompt, token.EncodeOptions{AddSpecial: true})
	if err != nil {
		return err
	}
	r.ids = encoded.IDs
	if r.at = f.position; r.at < 0 {
		r.at += len(r.ids)
	}
	if r.at < 0 || r.at >= len(r.ids) {
		return usagef("--position %d: the prompt has %d tokens", f.position, len(r.ids))
	}
	if r.layers, err = parseLayers(f.layers); err != nil {
		return err
	}
	if r.engine, r.model, err = f.load(ctx, a, path); err != nil {
		return err
	}
	defer r.model.Params.Free()
	for _, l := range r.layers {
		if l >= r.model.Spec.Layers {
			return usagef("--layers %s: the model has layers 0 to %d", f.layers, r.model.Spec.Layers-1)
		}
	}
	if r.layers == nil {
		for l := range r.model.Spec.Layers {
			r.layers = append(r.layers, l)
		}
	}
	if r.lens, err = vectors.LensOf(r.model); err != nil {
		return err
	}
	out := &lensResult{Position: r.at}
	for _, id := range r.ids {
		out.Prompt = append(out.Prompt, r.word(int(id)))
	}
	if err := r.fill(ctx, out); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(out)
	}
	return out.print(a.out)
}

// word is a token as a text.
func (r *lensRun) word(id int) string {
	s, err := r.tokens.Decode([]int32{int32(id)}, false)
	if err != nil || s == "" {
		s, _ = r.tokens.Token(int32(id))
	}
	return s
}

func (r *lensRun) fill(ctx context.Context, out *lensResult) (err error) {
	var tuned *vectors.TunedLens
	if r.f.train != "" {
		if tuned, out.Trained, err = r.trainLens(ctx); err != nil {
			return err
		}
	} else if r.f.tuned != "" {
		if tuned, err = vectors.ReadTunedLens(r.f.tuned, r.lens, r.model.Digest); err != nil {
			return err
		}
	}
	final, err := r.readLayers(ctx, tuned, out)
	if err != nil {
		return err
	}
	if r.f.attention {
		if out.Attention, err = vectors.AttentionTable(ctx, r.engine, r.model, r.ids, r.layers); err != nil {
			return err
		}
	}
	if !r.f.attribute && !r.f.prompt {
		return nil
	}
	target, err := r.chooseTarget(final)
	if err != nil {
		return err
	}
	out.Target = r.word(int(target.Token))
	if target.Against >= 0 {
		out.Against = r.word(int(target.Against))
	}
	if r.f.attribute {
		if out.Attribution, err = r.attribution(ctx, target); err != nil {
			return err
		}
	}
	if r.f.prompt {
		return r.promptAttribution(ctx, target, out)
	}
	return nil
}

// readLayers fills the table of layers and returns the likeliest token of the final one.
func (r *lensRun) readLayers(ctx context.Context, tuned *vectors.TunedLens, out *lensResult) (int, error) {
	last := r.model.Spec.Layers - 1
	var sites []model.Site
	for _, l := range append(slices.Clone(r.layers), last) {
		sites = append(sites, model.Site{Kind: model.ResidPost, Layer: l})
	}
	rows, err := vectors.ReadTokens(ctx, r.engine, r.model, [][]int32{r.ids}, sites, 1)
	if err != nil {
		return 0, err
	}
	at := func(i int) *mat.Dense {
		return mat.DenseCopyOf(rows.Sites[i].Slice(r.at, r.at+1, 0, r.model.Spec.DModel))
	}
	top := min(r.f.top, r.model.Spec.Vocab)
	final, err := r.lens.Read(at(len(r.layers)), top)
	if err != nil {
		return 0, err
	}
	for i, l := range r.layers {
		lenses := []string{"logit"}
		if tuned != nil && tuned.Translators[l] != nil {
			lenses = append(lenses, "tuned")
		}
		for _, name := range lenses {
			reading, err := r.lens.Read(at(i), top)
			if name == "tuned" {
				reading, err = tuned.Read(l, at(i), top)
			}
			if err != nil {
				return 0, err
			}
			kl, err := vectors.KL(final, reading)
			if err != nil {
				return 0, err
			}
			row := lensRow{Layer: l, Lens: name, Entropy: reading.Entropy[0], KL: max(kl[0], 0)}
			for _, id := range reading.Top[0] {
				row.Top = append(row.Top, tokenOdd{r.word(id), math.Exp(reading.LogProb.At(0, id))})
			}
			out.Layers = append(out.Layers, row)
		}
	}
	return final.Top[0][0], nil
}

// chooseTarget reads --target and --against.
func (r *lensRun) chooseTarget(likeliest int) (vectors.PromptTarget, error) {
	out := vectors.PromptTarget{Token: int32(likeliest), Against: -1}
	for _, w := range []struct {
		text string
		to   *int32
	}{{r.f.target, &out.Token}, {r.f.against, &out.Against}} {
		if w.text == "" {
			continue
		}
		encoded, err := r.tokens.Encode(w.text, token.EncodeOptions{})
		if err != nil {
			return out, err
		}
		if len(encoded.IDs) != 1 {
			return out, usagef("%q has %d tokens; name a text of one token (a leading space counts)", w.text, len(encoded.IDs))
		}
		*w.to = encoded.IDs[0]
	}
	return out, nil
}

func (out *lensResult) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(to, "at position %d, %q\n", out.Position, out.Prompt[out.Position])
	if len(out.Trained) > 0 {
		fmt.Fprintln(w, "LAYER\tTOKENS HELD OUT\tKL LOGIT LENS\tKL TUNED LENS\tGAIN")
		for _, r := range out.Trained {
			fmt.Fprintf(w, "%d\t%d\t%.4f\t%.4f\t%.4f [%.4f, %.4f]\n", r.Layer, r.Tokens, r.Logit, r.Tuned, r.Gain.Value, r.Gain.Low, r.Gain.High)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "LAYER\tLENS\tKL\tENTROPY\tTOKENS")
	for _, l := range out.Layers {
		fmt.Fprintf(w, "%d\t%s\t%.3f\t%.3f\t", l.Layer, l.Lens, l.KL, l.Entropy)
		for _, t := range l.Top {
			fmt.Fprintf(w, "%q %.3f  ", t.Token, t.P)
		}
		fmt.Fprintln(w)
	}
	if t := out.Attribution; t != nil {
		fmt.Fprintf(w, "\nDIRECT LOGIT ATTRIBUTION of %s: %.4f\n", out.targetName(), t.Target)
		for _, p := range t.Parts {
			fmt.Fprintf(w, "%s\t%.4f\n", p.Component, p.Value)
		}
		fmt.Fprintf(w, "sum misses the logit by\t%.2g\n", t.Gap)
	}
	if len(out.PromptParts) > 0 {
		fmt.Fprintf(w, "\nPROMPT ATTRIBUTION of %s: %.4f\nTOKEN\tLEAVE ONE OUT\tINTEGRATED GRADIENTS\tATTENTION X VALUE\n", out.targetName(), out.PromptGaps.Target)
		for _, p := range out.PromptParts {
			fmt.Fprintf(w, "%q\t%.4f\t%.4f\t%s\n", p.Token, p.LeaveOneOut, p.Gradients, optional(p.AttentionValue))
		}
		g := out.PromptGaps
		fmt.Fprintf(w, "sum\t\t%.4f\t\nmust be\t\t%.4f\t(within %.2g)\n", g.Sum, g.Target-g.Baseline, g.Attention)
	}
	if len(out.Attention) > 0 {
		fmt.Fprintln(w, "\nLAYER\tHEAD\tENTROPY\tDISTANCE\tSELF\tPREVIOUS\tFIRST\tSAME\tINDUCTION\tREPEATS")
		for _, h := range out.Attention {
			fmt.Fprintf(w, "%d\t%d\t%.3f\t%.2f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%d\n", h.Layer, h.Head, h.Entropy, h.Distance, h.Self, h.Previous, h.First, h.Same, h.Induction, h.InductionN)
		}
	}
	return w.Flush()
}

func (out *lensResult) targetName() string {
	if out.Against == "" {
		return fmt.Sprintf("the logit of %q", out.Target)
	}
	return fmt.Sprintf("the logit of %q less that of %q", out.Target, out.Against)
}

// optional prints a number that may not exist.
func optional(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", *x)
}
