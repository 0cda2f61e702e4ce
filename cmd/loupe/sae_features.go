package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"loupe/internal/arrowio"
	"loupe/probe/store"
	"loupe/probe/token"
	"loupe/sae"
	"loupe/sae/evaluate"
)

// saeFeatures are the flags of `loupe sae features`.
type saeFeatures struct {
	saeEval
	table sae.FeatureConfig
	show  int
}

func newSAEFeaturesCmd(a *app) *cobra.Command {
	f := saeFeatures{saeEval: saeEval{config: evaluate.DefaultConfig()}, table: sae.DefaultFeatureConfig()}
	f.config.Rows = 1_000_000
	cmd := &cobra.Command{
		Use:   "features SAE STORE --out FILE.arrow",
		Short: "Tabulate what each latent stands for",
		Long: "Scan a store and write one row a latent: density, mean and largest activation, top examples with the tokens around them,\n" +
			"the tokens that carry most of the activation, correlated latents, nearest decoder rows, and, where the store's documents have\n" +
			"labels, the class that the latent tells best with its AUC. With the store's model (see --model) there are texts and, for a\n" +
			"language model, the tokens whose logits the latent raises and lowers most. " + saeRef,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.out == "" {
				return usagef("--out is not set; name the file for the table, such as features.arrow")
			}
			return a.featureTable(cmd.Context(), args[0], args[1], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "file for the table (Arrow IPC)")
	flags.StringSliceVar(&f.site, "site", nil, "site of the store (default: the SAE's own); several for a crosscoder")
	flags.StringVar(&f.config.Select.Split, "split", "", "split of the documents to scan (default: all)")
	flags.Int64Var(&f.config.Rows, "tokens", f.config.Rows, "rows to scan, at most, from the first on")
	flags.BoolVar(&f.special, "special", false, "count the rows of special tokens")
	flags.StringVar(&f.model, "model", "", "model that made the store (default: the one that the store names, if it is on this machine)")
	flags.IntVar(&f.table.Examples, "examples", f.table.Examples, "top examples of a latent, from different documents")
	flags.IntVar(&f.table.Context, "context", f.table.Context, "tokens shown on either side of an example")
	flags.IntVar(&f.show, "show", 5, "latents to print")
	return cmd
}

func (a *app) featureTable(ctx context.Context, ref, storeDir string, f saeFeatures) (err error) {
	f.config.Select.ExcludeSpecial = !f.special
	if err := f.config.Validate(); err != nil {
		return usageError{err}
	}
	places, err := expandSAEs([]string{ref})
	if err != nil {
		return err
	}
	if len(places) != 1 {
		return usagef("%s stands for %d SAEs; name one", ref, len(places))
	}
	st, err := store.Open(storeDir, store.OpenOptions{})
	if err != nil {
		return err
	}
	defer st.Close()
	b, err := a.open()
	if err != nil {
		return err
	}
	dicts, err := f.saeEval.open(ctx, b, places)
	defer func() {
		for _, d := range dicts {
			d.Close()
		}
	}()
	if err != nil {
		return err
	}
	bench := &evaluate.Bench{Config: f.config, Backend: b, Store: st, Out: a.err, Log: a.log}
	if bench.Subject, err = f.subject(ctx, a, b, st); err != nil {
		return err
	}
	if bench.Subject != nil {
		bench.Tokenizer = bench.Subject.Tokenizer
		defer func() { err = errors.Join(err, bench.Subject.Close()) }()
	}
	table, err := bench.Features(ctx, dicts[0], f.table)
	if err != nil {
		return err
	}
	if err := arrowio.WriteTable(f.out, table); err != nil {
		return err
	}
	shown, err := showFeatures(table, bench.Tokenizer, f.table, f.show)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(struct {
			Table   string         `json:"table"`
			Latents int            `json:"latents"`
			Columns []string       `json:"columns"`
			Shown   []featureShown `json:"shown"`
		}{f.out, dicts[0].Latents, columnNames(table), shown})
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %d latents, columns %s\n", f.out, dicts[0].Latents, strings.Join(columnNames(table), ", "))
	for _, s := range shown {
		out.WriteString(s.String())
	}
	_, err = fmt.Fprint(a.out, out.String())
	return err
}

func columnNames(t arrowio.Table) []string {
	var names []string
	for _, f := range t.Schema.Fields {
		names = append(names, f.Name)
	}
	return names
}

// featureShown is a latent as it is printed.
type featureShown struct {
	Latent   int      `json:"latent"`
	Density  float64  `json:"density"`
	Max      float64  `json:"max_activation"`
	Concept  string   `json:"concept,omitempty"`
	AUC      float64  `json:"concept_auc,omitempty"`
	Tokens   []string `json:"tokens"`
	Raises   []string `json:"raises,omitempty"`
	Examples []string `json:"examples"` // the active token in brackets
}

func (f featureShown) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "\nlatent %d: on %.3g of the tokens, at most %.3g", f.Latent, f.Density, f.Max)
	if f.Concept != "" {
		fmt.Fprintf(&out, "; tells %s with AUC %.3f", f.Concept, f.AUC)
	}
	fmt.Fprintf(&out, "\n  on      %s\n", strings.Join(f.Tokens, " | "))
	if f.Raises != nil {
		fmt.Fprintf(&out, "  raises  %s\n", strings.Join(f.Raises, " | "))
	}
	for _, e := range f.Examples {
		fmt.Fprintf(&out, "  ...     %s\n", e)
	}
	return out.String()
}

// showFeatures picks n latents: those that tell a class best where there are labels, else those of median density, as far as they
// were active.
func showFeatures(t arrowio.Table, tok *token.Tokenizer, cfg sae.FeatureConfig, n int) ([]featureShown, error) {
	density, err := arrowio.ColumnOf[float64](t, "density")
	if err != nil {
		return nil, err
	}
	top, err := arrowio.ColumnOf[float64](t, "max_activation")
	if err != nil {
		return nil, err
	}
	var alive []int
	for l, d := range density {
		if d > 0 {
			alive = append(alive, l)
		}
	}
	concept, _ := arrowio.ColumnOf[string](t, "concept")
	auc, _ := arrowio.ColumnOf[float64](t, "concept_auc")
	if auc != nil {
		slices.SortStableFunc(alive, func(a, b int) int { return cmp.Compare(auc[b], auc[a]) })
	} else if len(alive) > 0 {
		sorted := slices.Clone(alive)
		slices.SortStableFunc(sorted, func(a, b int) int { return cmp.Compare(density[a], density[b]) })
		middle := density[sorted[len(sorted)/2]]
		slices.SortStableFunc(alive, func(a, b int) int {
			return cmp.Compare(math.Abs(math.Log(density[a]/middle)), math.Abs(math.Log(density[b]/middle)))
		})
	}
	var out []featureShown
	for _, l := range alive[:min(n, len(alive))] {
		s := featureShown{Latent: l, Density: density[l], Max: top[l]}
		if auc != nil {
			s.Concept, s.AUC = concept[l], auc[l]
		}
		if s.Tokens, err = featureTokens(t, "token", tok, l, cfg.Tokens); err != nil {
			return nil, err
		}
		if t.Index("top_token") >= 0 {
			if s.Raises, err = featureTokens(t, "top_token", tok, l, cfg.Logits); err != nil {
				return nil, err
			}
		}
		if s.Examples, err = examplesOf(t, tok, l, cfg); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// featureTokens names the tokens in row l of a column of lists.
func featureTokens(t arrowio.Table, column string, tok *token.Tokenizer, l, size int) ([]string, error) {
	all, err := arrowio.ColumnOf[int32](t, column)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range all[l*size : (l+1)*size] {
		if id >= 0 {
			out = append(out, decodeToken(tok, id))
		}
	}
	return out, nil
}

func decodeToken(tok *token.Tokenizer, id int32) string {
	if tok != nil {
		if text, err := tok.Decode([]int32{id}, false); err == nil {
			return strings.TrimSpace(text)
		}
	}
	return fmt.Sprint(id)
}

// examplesOf writes a latent's first two examples, with the active token in brackets.
func examplesOf(t arrowio.Table, tok *token.Tokenizer, l int, cfg sae.FeatureConfig) ([]string, error) {
	all, err := arrowio.ColumnOf[int32](t, "example_token")
	if err != nil {
		return nil, err
	}
	window := 2*cfg.Context + 1
	var out []string
	for e := range min(2, cfg.Examples) {
		ids := all[(l*cfg.Examples+e)*window : (l*cfg.Examples+e+1)*window]
		if ids[cfg.Context] < 0 {
			break
		}
		var words []string
		for i, id := range ids {
			if id < 0 {
				continue
			}
			word := decodeToken(tok, id)
			if i == cfg.Context {
				word = "[" + word + "]"
			}
			words = append(words, word)
		}
		out = append(out, strings.Join(words, " "))
	}
	return out, nil
}
