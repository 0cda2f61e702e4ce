package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// validateReport is what `loupe vectors validate` prints.
type validateReport struct {
	Model     string `json:"model"`
	Concept   string `json:"concept"`
	Clozes    int    `json:"clozes"` // of the concept
	Unrelated int    `json:"unrelated"`
	*vectors.Validation
}

// Print implements [outcome].
func (r *validateReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "VECTORS\t%s (%d clozes)\tunrelated (%d)\tother vectors: %s\tunrelated\n", r.Concept, r.Clozes, r.Unrelated, r.Concept)
	for _, p := range r.Curve {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", p.Count, lab.Short(p.Concept), lab.Short(p.Unrelated), lab.Short(p.ControlConcept), lab.Short(p.ControlUnrelated))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "changes of log p(answer | prompt), nats, 95 %% over clozes; the model's weights are as before: %v\n", r.Restored)
	return err
}

func newVectorsValidateCmd(a *app) *cobra.Command {
	var f modelFlags
	var concept, neurons string
	var most int
	cfg := vectors.DefaultValidate()
	cmd := &cobra.Command{
		Use:   "validate MODEL",
		Short: "Put noise on value vectors and see whether the model loses the concept and little else",
		Long: `Check that value vectors, such as ` + "`loupe vectors find`" + ` returns, hold a language model's knowledge of a concept (ConceptVectors,
arXiv:2406.11614): noise on them, in a copy of the weights, must lower the likelihood of the concept's clozes, leave unrelated ones,
and do more than noise on random vectors of the same layers. Clozes are of the built-in hierarchy: "A sparrow is a kind of" bird.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := parseNeurons(neurons)
			if err != nil {
				return err
			}
			cfg.Counts = slices.DeleteFunc(cfg.Counts, func(n int) bool { return n >= len(list) })
			cfg.Counts = append(cfg.Counts, len(list))
			if most < 2 {
				return usagef("--clozes %d: use 2 or more", most)
			}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			r, err := a.validateVectors(cmd.Context(), &f, args[0], concept, list, most, cfg)
			if err != nil {
				return err
			}
			return a.printOutcome(r)
		},
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&concept, "concept", "bird", "concept of the built-in hierarchy")
	flags.StringVar(&neurons, "neurons", "", "LAYER:NEURON,... the strongest first")
	flags.IntVar(&most, "clozes", 32, "clozes of each side, at most")
	flags.Float64Var(&cfg.Noise, "noise", cfg.Noise, "of each entry, in units of the layer's root mean square entry; 0: set the vectors to zero")
	flags.IntVar(&cfg.Draws, "draws", cfg.Draws, "draws of the noise that are averaged")
	flags.Uint64Var(&cfg.Seed, "seed", cfg.Seed, "of the noise and the control")
	return cmd
}

func parseNeurons(list string) ([]vectors.Neuron, error) {
	if list == "" {
		return nil, usagef("--neurons is missing; use LAYER:NEURON,... as `loupe vectors find` prints them")
	}
	var out []vectors.Neuron
	for _, item := range strings.Split(list, ",") {
		layer, index, ok := strings.Cut(strings.TrimSpace(item), ":")
		l, errLayer := strconv.Atoi(layer)
		i, errIndex := strconv.Atoi(index)
		if !ok || errLayer != nil || errIndex != nil {
			return nil, usagef("--neurons: %q is not LAYER:NEURON", item)
		}
		out = append(out, vectors.Neuron{Layer: l, Index: i})
	}
	return out, nil
}

func (a *app) validateVectors(ctx context.Context, f *modelFlags, ref, concept string, neurons []vectors.Neuron, most int, cfg vectors.ValidateConfig) (_ *validateReport, err error) {
	h, err := text.NewHierarchy()
	if err != nil {
		return nil, err
	}
	if _, err := h.Super(concept); err != nil {
		return nil, err
	}
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
	questions, err := h.Questions(2, int64(cfg.Seed))
	if err != nil {
		return nil, err
	}
	var own, other []vectors.Cloze
	for _, q := range questions {
		answer := q.Choices[q.Answer]
		prompt, err := tok.Encode(q.Prompt, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, err
		}
		rest, err := tok.Encode(" "+answer, token.EncodeOptions{})
		if err != nil {
			return nil, err
		}
		c := vectors.Cloze{Prompt: prompt.IDs, Answer: rest.IDs}
		if answer == concept && len(own) < most {
			own = append(own, c)
		} else if answer != concept && len(other) < most {
			other = append(other, c)
		}
	}
	v, err := vectors.ValidateVectors(ctx, model.NewEngine(b, nil), m, neurons, own, other, cfg)
	return &validateReport{Model: m.Name, Concept: concept, Clozes: len(own), Unrelated: len(other), Validation: v}, err
}
