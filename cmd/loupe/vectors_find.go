package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// findFlags are the flags of `loupe vectors find`.
type findFlags struct {
	modelFlags
	concept string
	words   []string
	cluster bool
	layers  string
	limit   int
	cfg     vectors.FindConfig
}

// foundVector is a value vector that was found.
type foundVector struct {
	vectors.Neuron
	Statistic string   `json:"statistic"`
	Value     float64  `json:"value"`
	P         float64  `json:"p"`
	BH        float64  `json:"bh"`
	Top       []string `json:"top"`
}

// findReport is what `loupe vectors find` prints.
type findReport struct {
	Model      string        `json:"model"`
	Candidates int           `json:"candidates"`
	Lexicon    int           `json:"lexicon"` // tokens
	Random     int           `json:"random"`  // directions of the null
	Alpha      float64       `json:"alpha"`
	Total      int           `json:"total"` // found
	Found      []foundVector `json:"found"` // the strongest
}

// Print implements [outcome].
func (r *findReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "LAYER:NEURON\tstatistic\tvalue\tp\tBH\ttop tokens\n")
	for _, f := range r.Found {
		fmt.Fprintf(w, "%d:%d\t%s\t%.3f\t%.2g\t%.2g\t%s\n", f.Layer, f.Index, f.Statistic, f.Value, f.P, f.BH, strings.Join(f.Top, " "))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d of %d value vectors of %s at a false discovery rate of %g; the null is %d random directions through the same unembedding\n", r.Total, r.Candidates, r.Model, r.Alpha, r.Random)
	if r.Total == 0 && float64(r.Candidates) > r.Alpha*float64(r.Random+1) {
		fmt.Fprintf(out, "a single vector cannot pass with so few: raise --random towards %.0f, or look at fewer --layers\n", float64(r.Candidates)/r.Alpha)
	}
	return nil
}

func newVectorsFindCmd(a *app) *cobra.Command {
	f := findFlags{cfg: vectors.DefaultFind()}
	cmd := &cobra.Command{
		Use:   "find MODEL",
		Short: "Find MLP value vectors of a language model whose top tokens are about one thing",
		Long: `Look at the value vectors of a language model's MLPs through the unembedding (ConceptVectors, arXiv:2406.11614): which have more tokens
of a lexicon among their top tokens than random directions do, or top tokens that lie closer together (--cluster). P-values are
against random directions, corrected over all vectors that were looked at by Benjamini and Hochberg.

The lexicon is --words, or the words of a --concept of the built-in suite or hierarchy; words that are one token count.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.concept == "" && len(f.words) == 0 && !f.cluster {
				return usagef("name --concept, --words or --cluster")
			}
			if err := f.cfg.Validate(); err != nil {
				return usageError{err}
			}
			r, err := f.run(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return a.printOutcome(r)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.concept, "concept", "", "concept of the built-in suite or hierarchy")
	flags.StringSliceVar(&f.words, "words", nil, "words of the lexicon")
	flags.BoolVar(&f.cluster, "cluster", false, "also look for top tokens that lie close together in the unembedding")
	flags.StringVar(&f.layers, "layers", "", "only these layers, such as 10-20")
	flags.IntVar(&f.limit, "limit", 20, "print the strongest so many")
	flags.IntVar(&f.cfg.K, "top", f.cfg.K, "top tokens of a vector")
	flags.IntVar(&f.cfg.Random, "random", f.cfg.Random, "random directions of the null")
	flags.Float64Var(&f.cfg.Alpha, "alpha", f.cfg.Alpha, "false discovery rate")
	flags.Uint64Var(&f.cfg.Seed, "seed", f.cfg.Seed, "of the random directions")
	return cmd
}

// conceptWords are the words of a concept of the suite or the hierarchy.
func conceptWords(concept string) ([]string, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	words, err := suite.Words(concept)
	if err == nil {
		return words, nil
	}
	h, other := text.NewHierarchy()
	if other != nil {
		return nil, other
	}
	if own, missing := h.Words(concept); missing == nil {
		return own, nil
	}
	return nil, fmt.Errorf("%w; or one of the hierarchy: %s", err, strings.Join(h.Concepts(), ", "))
}

// lexicon are the tokens that are one of the words, with and without a space before it and a capital.
func lexicon(tok *token.Tokenizer, words []string) ([]int, error) {
	seen := map[int]bool{}
	var out []int
	for _, w := range words {
		for _, form := range []string{w, " " + w, strings.ToUpper(w[:1]) + w[1:], " " + strings.ToUpper(w[:1]) + w[1:], w + "s", " " + w + "s"} {
			e, err := tok.Encode(form, token.EncodeOptions{})
			if err != nil {
				return nil, err
			}
			if e.Len() == 1 && !seen[int(e.IDs[0])] {
				seen[int(e.IDs[0])] = true
				out = append(out, int(e.IDs[0]))
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("none of the words is one token of this model: %s; give others", strings.Join(words, ", "))
	}
	return out, nil
}

func (f *findFlags) run(ctx context.Context, a *app, ref string) (_ *findReport, err error) {
	b, err := a.open()
	if err != nil {
		return nil, err
	}
	m, err := f.loaded(ctx, b, ref)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Params.Free()) }()
	tok, err := token.Load(m.Dir)
	if err != nil {
		return nil, err
	}
	e, err := vectors.Unembedding(m)
	if err != nil {
		return nil, err
	}
	v, d := e.Dims()
	r := &findReport{Model: m.Name, Alpha: f.cfg.Alpha, Random: f.cfg.Random}
	words := f.words
	if f.concept != "" {
		own, err := conceptWords(f.concept)
		if err != nil {
			return nil, err
		}
		words = append(words, own...)
	}
	var statistics []vectors.TopStatistic
	if len(words) > 0 {
		ids, err := lexicon(tok, words)
		if err != nil {
			return nil, err
		}
		r.Lexicon = len(ids)
		s, err := vectors.LexiconPurity("lexicon", ids, v)
		if err != nil {
			return nil, err
		}
		statistics = append(statistics, s)
	}
	if f.cluster {
		s, err := vectors.ClusterCoherence("cluster", e)
		if err != nil {
			return nil, err
		}
		statistics = append(statistics, s)
	}
	layers, err := f.layerList(m.Spec)
	if err != nil {
		return nil, err
	}
	candidates := mat.NewDense(len(layers)*m.Spec.DMLP, d, nil)
	for i, l := range layers {
		values, err := vectors.ValueVectors(m, l)
		if err != nil {
			return nil, err
		}
		candidates.Slice(i*m.Spec.DMLP, (i+1)*m.Spec.DMLP, 0, d).(*mat.Dense).Copy(values)
	}
	r.Candidates, _ = candidates.Dims()
	found, err := vectors.FindVectors(ctx, e, candidates, statistics, f.cfg)
	if err != nil {
		return nil, err
	}
	r.Total = len(found)
	for _, c := range found[:min(f.limit, len(found))] {
		row := foundVector{Neuron: vectors.Neuron{Layer: layers[c.Candidate/m.Spec.DMLP], Index: c.Candidate % m.Spec.DMLP}, Statistic: c.Statistic, Value: c.Value, P: c.P, BH: c.BH}
		for _, id := range c.Top[:min(8, len(c.Top))] {
			t, err := tok.Decode([]int32{int32(id)}, false)
			if err != nil {
				return nil, err
			}
			row.Top = append(row.Top, strings.TrimSpace(t))
		}
		r.Found = append(r.Found, row)
	}
	return r, nil
}

// layerList are the layers that --layers names, all by default.
func (f *findFlags) layerList(s *model.Spec) ([]int, error) {
	chosen, err := parseLayers(f.layers)
	if err != nil {
		return nil, err
	}
	if len(chosen) == 0 {
		for l := range s.Layers {
			chosen = append(chosen, l)
		}
	}
	for _, l := range chosen {
		if l < 0 || l >= s.Layers {
			return nil, usagef("--layers %s: the model has layers 0 to %d", f.layers, s.Layers-1)
		}
	}
	return chosen, nil
}
