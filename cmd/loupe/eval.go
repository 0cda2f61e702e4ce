package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/floats"

	"loupe/internal/lab"
	"loupe/probe/model"
	"loupe/probe/token"
	"loupe/vectors"
	"loupe/vectors/evaluate"
)

func newEvalCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eval",
		Short: "Measure what a change of a model costs",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEvalEditCmd(a))
	return cmd
}

// editFlags are the flags of `loupe eval edit`.
type editFlags struct {
	modelFlags
	vector, mode, edited string
	strength             float64
	damage               evaluate.Config
}

// editRow is an edit, or its control, with its damage.
type editRow struct {
	Edit string `json:"edit"`
	*evaluate.Damage
}

// editReport is what `loupe eval edit` prints.
type editReport struct {
	Model string    `json:"model"`
	Rows  []editRow `json:"rows"`
}

// Print implements [outcome].
func (r *editReport) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	first := r.Rows[0].Damage
	if p := first.Perplexity; p != nil {
		fmt.Fprintf(w, "PERPLEXITY of %d texts, %d tokens\tbefore\tafter\tratio\n", p.Texts, p.Tokens)
		for _, row := range r.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.Edit, lab.Short(row.Perplexity.Before), lab.Short(row.Perplexity.After), lab.Short(row.Perplexity.Ratio))
		}
	}
	if c := first.Choice; c != nil {
		fmt.Fprintf(w, "MULTIPLE CHOICE, %d questions, chance %.2f\tbefore\tafter\tlost\n", c.Questions, c.Chance)
		for _, row := range r.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", row.Edit, lab.Short(row.Choice.Before), lab.Short(row.Choice.After), lab.Short(row.Choice.Lost))
		}
	}
	if e := first.Embedding; e != nil {
		fmt.Fprintf(w, "EMBEDDINGS of %d texts\tcosine\t%d neighbours kept\n", e.Texts, e.K)
		for _, row := range r.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\n", row.Edit, lab.Short(row.Embedding.Cosine), lab.Short(row.Embedding.Neighbours))
		}
	}
	return w.Flush()
}

func newEvalEditCmd(a *app) *cobra.Command {
	f := editFlags{damage: evaluate.DefaultConfig()}
	cmd := &cobra.Command{
		Use:   "edit MODEL",
		Short: "Score the damage of an edit: perplexity, multiple choice, drift of embeddings",
		Long: `Run MODEL as it is and edited over text that has nothing to do with the edit. The edit is --vector CARD, a saved vector or eraser
(the .json of ` + "`loupe vectors fit`" + ` or ablate) that is removed or added at every token of its site, or --edited MODEL, other weights of the same
architecture. A language model is scored by perplexity (documentation of Go's standard library) and multiple choice (generated
questions of what kind a thing is, by log-likelihood); a sentence encoder by the cosine of embeddings before and after and by the
nearest neighbours that stay. Beside a vector stands its control, a random subspace of equal rank or a random direction of equal
length. Intervals are 95 %, over texts or questions.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case (f.vector == "") == (f.edited == ""):
				return usagef("name the edit by --vector or by --edited, one of the two")
			case f.mode != "remove" && f.mode != "add":
				return usagef("--mode %q: use remove or add", f.mode)
			}
			if err := f.damage.Validate(); err != nil {
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
	flags.StringVar(&f.vector, "vector", "", "card of a saved vector or eraser")
	flags.StringVar(&f.mode, "mode", "remove", "remove the vector, or add its first direction")
	flags.Float64Var(&f.strength, "strength", 1, "of the removal or the addition")
	flags.StringVar(&f.edited, "edited", "", "edited model")
	flags.IntVar(&f.damage.Documents, "documents", f.damage.Documents, "texts; 0: none")
	flags.IntVar(&f.damage.Questions, "questions", f.damage.Questions, "multiple-choice questions; 0: none")
	flags.IntVar(&f.damage.Choices, "choices", f.damage.Choices, "choices of a question")
	flags.IntVar(&f.damage.MaxLength, "max-length", f.damage.MaxLength, "tokens of a text")
	flags.IntVar(&f.damage.Neighbours, "neighbours", f.damage.Neighbours, "nearest neighbours of embeddings")
	flags.IntVar(&f.damage.Batch, "batch", f.damage.Batch, "texts that run together")
	flags.Uint64Var(&f.damage.Seed, "seed", f.damage.Seed, "of texts, questions, control and intervals")
	return cmd
}

func (f *editFlags) run(ctx context.Context, a *app, ref string) (_ *editReport, err error) {
	b, err := a.open()
	if err != nil {
		return nil, err
	}
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	opt, err := f.options()
	if err != nil {
		return nil, err
	}
	s := evaluate.Subject{Engine: model.NewEngine(b, nil), Batch: f.damage.Batch, MaxLength: f.damage.MaxLength}
	if s.Tokenizer, err = token.Load(path); err != nil {
		return nil, err
	}
	if s.Model, err = model.Load(ctx, b, path, opt); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Model.Params.Free()) }()
	type edit struct {
		name    string
		subject evaluate.Subject
	}
	var edits []edit
	if f.vector != "" {
		own, control, err := f.edits(s)
		if err != nil {
			return nil, err
		}
		edits = []edit{{f.mode + " " + f.vector, own}, {"random control", control}}
	} else {
		other, err := f.loaded(ctx, b, f.edited)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, other.Params.Free()) }()
		if other.Spec.Digest() != s.Model.Spec.Digest() {
			return nil, fmt.Errorf("%s and %s are of different architectures; name two models with weights of equal shapes", s.Model.Name, other.Name)
		}
		after := s
		after.Model = other
		edits = []edit{{f.edited, after}}
	}
	data, err := f.damage.Texts(ctx)
	if err != nil {
		return nil, err
	}
	before, err := f.damage.Measure(ctx, s, data)
	if err != nil {
		return nil, err
	}
	r := &editReport{Model: s.Model.Name}
	for _, e := range edits {
		after, err := f.damage.Measure(ctx, e.subject, data)
		if err != nil {
			return nil, err
		}
		d, err := f.damage.Compare(ctx, before, after, data)
		if err != nil {
			return nil, err
		}
		r.Rows = append(r.Rows, editRow{e.name, d})
	}
	return r, nil
}

// edits are the subject with the vector's edit, and with a random one of equal rank or length.
func (f *editFlags) edits(s evaluate.Subject) (own, control evaluate.Subject, err error) {
	saved, err := vectors.Load(f.vector, vectors.Use{Model: s.Model.Digest})
	if err != nil {
		return own, control, err
	}
	site, err := model.ParseSite(saved.Site)
	if err != nil {
		return own, control, fmt.Errorf("%s: %w", f.vector, err)
	}
	own, control = s, s
	if f.mode == "add" {
		if saved.Directions == nil {
			return own, control, fmt.Errorf("%s is an eraser without a direction to add; use --mode remove", f.vector)
		}
		v := saved.Directions.RawRowView(0)
		rng := rand.New(rand.NewPCG(f.damage.Seed, 0x72616e646f6d)) // "random"
		random := make([]float64, len(v))
		for i := range random {
			random[i] = rng.NormFloat64()
		}
		floats.Scale(floats.Norm(v, 2)/floats.Norm(random, 2), random)
		add := func(v []float64) func(batch, seq int) (*vectors.Edit, error) {
			return func(batch, seq int) (*vectors.Edit, error) {
				return vectors.Steering{Vector: v, Strength: f.strength}.Edit(s.Model.Spec, site, batch, seq)
			}
		}
		own.Edit, control.Edit = add(v), add(random)
		return own, control, nil
	}
	e, err := saved.Remover()
	if err != nil {
		return own, control, err
	}
	random, err := vectors.RandomProjection(saved.D, e.Rank(), f.damage.Seed)
	if err != nil {
		return own, control, err
	}
	remove := func(e *vectors.Eraser) func(batch, seq int) (*vectors.Edit, error) {
		return func(batch, seq int) (*vectors.Edit, error) { return e.Edit(s.Model.Spec, site, batch, seq, f.strength) }
	}
	own.Edit, control.Edit = remove(e), remove(random)
	return own, control, nil
}
