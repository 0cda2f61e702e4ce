package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/gomlx/core/tensors"
	"github.com/spf13/cobra"

	"loupe/probe/model"
	"loupe/probe/token"
)

// generation is what `loupe model generate --json` prints.
type generation struct {
	Prompt          string  `json:"prompt"` // as encoded: with --chat the rendered template
	PromptIDs       []int32 `json:"prompt_ids"`
	IDs             []int32 `json:"ids"`
	Text            string  `json:"text"`
	Stopped         bool    `json:"stopped"` // by a stop token or string, not by --max-new
	TokensPerSecond float64 `json:"tokens_per_second"`
}

// generateFlags are the flags of `loupe model generate`.
type generateFlags struct {
	modelFlags
	opt    model.GenerateOptions
	chat   bool
	system string
	stops  []string
	edits  []string
}

func newModelGenerateCmd(a *app) *cobra.Command {
	var f generateFlags
	cmd := &cobra.Command{
		Use:   "generate REF PROMPT",
		Short: "Continue a prompt, with or without an edit at a site",
		Long: `Continue PROMPT and print the text as it comes; the rate goes to standard error. Greedy unless --temperature is positive; the
same seed gives the same text. It ends at the model's end-of-text tokens, at a --stop string or after --max-new tokens.
With --edit a vector is added at a site, at every position: --edit blocks.12.hook_resid_post=v.npy:8. ` + refHelp,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			g, err := f.run(cmd.Context(), a, args[0], args[1], !cmd.Flags().Changed("max-new"))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(g)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.chat, "chat", false, "write the prompt as the user's turn in the model's chat template")
	flags.StringVar(&f.system, "system", "", "system message of the chat")
	flags.IntVar(&f.opt.MaxNew, "max-new", 128, "most new tokens")
	flags.Float64Var(&f.opt.Temperature, "temperature", 0, "0: the likeliest token; else draw from softmax(logits/temperature)")
	flags.IntVar(&f.opt.TopK, "top-k", 0, "draw from this many likeliest tokens; 0: all")
	flags.Float64Var(&f.opt.TopP, "top-p", 0, "draw from the likeliest tokens that hold this much probability; 0: all")
	flags.Uint64Var(&f.opt.Seed, "seed", 0, "seed of the draws")
	flags.StringArrayVar(&f.stops, "stop", nil, "end before this text (repeatable)")
	flags.StringArrayVar(&f.edits, "edit", nil, "add a vector: SITE=FILE:STRENGTH, FILE a .npy file or .safetensors#TENSOR (repeatable)")
	f.add(cmd)
	return cmd
}

// check refuses flags that cannot be meant.
func (f *generateFlags) check() error {
	switch {
	case f.opt.MaxNew < 1:
		return usagef("--max-new %d: at least one token is needed", f.opt.MaxNew)
	case !(f.opt.Temperature >= 0):
		return usagef("--temperature %g: it must not be negative", f.opt.Temperature)
	case f.opt.TopK < 0:
		return usagef("--top-k %d: it must not be negative", f.opt.TopK)
	case !(f.opt.TopP >= 0 && f.opt.TopP <= 1):
		return usagef("--top-p %g: it must be from 0 to 1", f.opt.TopP)
	case f.opt.Temperature == 0 && (f.opt.TopK > 0 || f.opt.TopP > 0):
		return usagef("--top-k and --top-p choose among draws; add --temperature 1")
	case f.system != "" && !f.chat:
		return usagef("--system is a turn of a chat; add --chat")
	case slices.Contains(f.stops, ""):
		return usagef("--stop: an empty text ends everything")
	}
	return nil
}

// run generates. With fit the number of new tokens is cut to what the model's positions leave.
func (f *generateFlags) run(ctx context.Context, a *app, ref, prompt string, fit bool) (*generation, error) {
	additions := make([]addition, len(f.edits))
	for i, arg := range f.edits {
		var err error
		if additions[i], err = parseAddition(arg); err != nil {
			return nil, err
		}
	}
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	tokens, err := token.Load(path)
	if err != nil {
		return nil, err
	}
	if f.chat {
		if prompt, err = render(tokens, f.system, []string{prompt}); err != nil {
			return nil, err
		}
	}
	encoded, err := tokens.Encode(prompt, token.EncodeOptions{AddSpecial: !f.chat})
	if err != nil {
		return nil, err
	}
	engine, m, err := f.load(ctx, a, path)
	if err != nil {
		return nil, err
	}
	defer m.Params.Free()
	opt := f.opt
	if room := m.Spec.MaxPos - len(encoded.IDs); fit && m.Spec.MaxPos > 0 && room > 0 {
		opt.MaxNew = min(opt.MaxNew, room)
	}
	if opt.Stop, err = stopTokens(tokens, path); err != nil {
		return nil, err
	}
	for _, add := range additions {
		if err := add.check(m.Spec); err != nil {
			return nil, err
		}
		opt.Edits = append(opt.Edits, add.edit())
	}
	if len(additions) > 0 {
		opt.Values = func(batch, seq, _ int) ([]map[string]*tensors.Tensor, error) {
			values := make([]map[string]*tensors.Tensor, len(additions))
			for i, add := range additions {
				values[i] = add.values(m.Spec, batch, seq)
			}
			return values, nil
		}
	}
	g := &generation{Prompt: prompt, PromptIDs: encoded.IDs}
	return g, g.stream(ctx, a, engine, m, tokens, opt, f.stops)
}

// stream generates and prints the text as it becomes certain.
func (g *generation) stream(ctx context.Context, a *app, engine *model.Engine, m *model.Model, tokens *token.Tokenizer, opt model.GenerateOptions, stops []string) error {
	text, err := newTextStream(tokens, g.PromptIDs, stops)
	if err != nil {
		return err
	}
	var failed error
	show := func(s string, err error) bool {
		g.Text += s
		if err == nil && !a.json {
			_, err = fmt.Fprint(a.out, s)
		}
		failed = errors.Join(failed, err)
		return failed == nil
	}
	var marks []time.Time
	opt.OnToken = func(_ int, id int32) bool {
		marks = append(marks, time.Now())
		return !slices.Contains(opt.Stop, id) && show(text.next(id)) && !text.ended
	}
	rows, err := engine.Generate(ctx, m, [][]int32{g.PromptIDs}, opt)
	if err != nil {
		return err
	}
	show(text.rest())
	g.IDs = rows[0]
	g.Stopped = text.ended || slices.Contains(opt.Stop, g.IDs[len(g.IDs)-1])
	if failed != nil {
		return failed
	}
	if !a.json {
		fmt.Fprintln(a.out)
	}
	// the first two tokens wait for compiles
	if n := len(marks); n > 2 {
		g.TokensPerSecond = float64(n-2) / marks[n-1].Sub(marks[1]).Seconds()
		fmt.Fprintf(a.err, "%d tokens, %.1f tokens/s after the first two\n", len(g.IDs), g.TokensPerSecond)
	} else {
		fmt.Fprintf(a.err, "%d tokens\n", len(g.IDs))
	}
	return nil
}

// stopTokens are the end-of-text tokens of the tokenizer and, in a folder, of generation_config.json.
func stopTokens(t *token.Tokenizer, path string) ([]int32, error) {
	var out []int32
	if eos := t.Specials().EOS; eos != token.None {
		out = append(out, eos)
	}
	if strings.EqualFold(filepath.Ext(path), ".gguf") {
		return out, nil
	}
	name := filepath.Join(path, "generation_config.json")
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	var config struct {
		EOS any `json:"eos_token_id"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; fetch the file again", name, err)
	}
	list, ok := config.EOS.([]any)
	if !ok {
		list = []any{config.EOS}
	}
	for _, v := range list {
		if id, ok := v.(float64); ok && !slices.Contains(out, int32(id)) {
			out = append(out, int32(id))
		}
	}
	return out, nil
}
