package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/vectors"
)

// comparison is a layer of two models, or two saved vectors.
type comparison struct {
	What    string         `json:"what"`
	Vectors int            `json:"vectors"`
	Jaccard stats.Interval `json:"jaccard"`
	Cosine  stats.Interval `json:"cosine"`
	L2      stats.Interval `json:"l2"`
	Changed int            `json:"changed"` // vectors that are not the same
}

// comparisons is what `loupe vectors compare` prints.
type comparisons struct {
	A    string       `json:"a"`
	B    string       `json:"b"`
	K    int          `json:"k"`
	Rows []comparison `json:"rows"`
}

// Print implements [outcome].
func (c *comparisons) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "OF\tvectors\tchanged\tJaccard@%d\tcosine\tL2\n", c.K)
	for _, r := range c.Rows {
		jaccard := lab.Short(r.Jaccard)
		if c.K == 0 {
			jaccard = "-"
		}
		if r.Vectors == 1 {
			fmt.Fprintf(w, "%s\t1\t%d\t%s\t%.4f\t%.4f\n", r.What, r.Changed, strings.SplitN(jaccard, " ", 2)[0], r.Cosine.Value, r.L2.Value)
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", r.What, r.Vectors, r.Changed, jaccard, lab.Short(r.Cosine), lab.Short(r.L2))
	}
	return w.Flush()
}

func newVectorsCompareCmd(a *app) *cobra.Command {
	f := modelFlags{}
	var k int
	var layers, ref string
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Compare two vectors, or the value vectors of two models, by their top tokens, cosine and length",
		Long: `A and B are two cards of ` + "`loupe vectors fit`" + `, or two models of one architecture, such as a model before and after unlearning. Of models
the value vectors of the MLPs are compared layer by layer: the Jaccard overlap of the top tokens through each model's own
unembedding, the cosine, and the distance, as means with 95 % intervals over vectors (arXiv:2406.11614). Cards of a language model are
projected through --model.`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if k < 1 {
				return usagef("--top %d: use 1 or more", k)
			}
			var c *comparisons
			var err error
			if strings.HasSuffix(args[0], ".json") && strings.HasSuffix(args[1], ".json") {
				c, err = a.compareCards(cmd.Context(), &f, args, ref, k)
			} else {
				c, err = a.compareModels(cmd.Context(), &f, args, layers, k)
			}
			if err != nil {
				return err
			}
			return a.printOutcome(c)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&k, "top", 200, "top tokens of a vector")
	cmd.Flags().StringVar(&layers, "layers", "", "layers of the models, such as 0-5,8 (default: all)")
	cmd.Flags().StringVar(&ref, "model", "", "cards: language model through whose unembedding top tokens are read")
	return cmd
}

// loaded loads a model onto b; the caller frees it.
func (f *modelFlags) loaded(ctx context.Context, b compute.Backend, ref string) (*model.Model, error) {
	path, err := f.resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	opt, err := f.options()
	if err != nil {
		return nil, err
	}
	return model.Load(ctx, b, path, opt)
}

func (a *app) compareModels(ctx context.Context, f *modelFlags, args []string, layers string, k int) (_ *comparisons, err error) {
	b, err := a.open()
	if err != nil {
		return nil, err
	}
	before, err := f.loaded(ctx, b, args[0])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, before.Params.Free()) }()
	after, err := f.loaded(ctx, b, args[1])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, after.Params.Free()) }()
	chosen, err := parseLayers(layers)
	if err != nil {
		return nil, err
	}
	var list []int
	for l := range before.Spec.Layers {
		if len(chosen) == 0 || slices.Contains(chosen, l) {
			list = append(list, l)
		}
	}
	changes, err := vectors.CompareModels(ctx, before, after, list, k)
	if err != nil {
		return nil, err
	}
	c := &comparisons{A: before.Name, B: after.Name, K: k}
	for i, rows := range changes {
		r, err := summarise(ctx, fmt.Sprintf("layer %d", list[i]), rows)
		if err != nil {
			return nil, err
		}
		c.Rows = append(c.Rows, r)
	}
	return c, nil
}

// summarise averages changes over vectors.
func summarise(ctx context.Context, what string, rows []vectors.VectorChange) (comparison, error) {
	c := comparison{What: what, Vectors: len(rows)}
	columns := [3][]float64{}
	for _, r := range rows {
		for i, v := range []float64{r.Jaccard, r.Cosine, r.L2} {
			columns[i] = append(columns[i], v)
		}
		if r.L2 > 0 {
			c.Changed++
		}
	}
	for i, to := range []*stats.Interval{&c.Jaccard, &c.Cosine, &c.L2} {
		if len(rows) == 1 {
			v := columns[i][0]
			*to = stats.Interval{Value: v, Low: v, High: v, N: 1}
			continue
		}
		mean, err := lab.MeanOver(ctx, columns[i], lab.UpTo(len(rows)), 1)
		if err != nil {
			return c, err
		}
		*to = mean
	}
	return c, nil
}

func (a *app) compareCards(ctx context.Context, f *modelFlags, args []string, ref string, k int) (_ *comparisons, err error) {
	first, err := vectors.Load(args[0], vectors.Use{})
	if err != nil {
		return nil, err
	}
	second, err := vectors.Load(args[1], vectors.Use{D: first.D, Site: first.Site})
	if err != nil {
		return nil, err
	}
	if first.Directions == nil || second.Directions == nil {
		return nil, fmt.Errorf("%s and %s: an eraser without a direction has none to compare; fit a direction, such as diff-means", filepath.Base(args[0]), filepath.Base(args[1]))
	}
	c := &comparisons{A: first.Name, B: second.Name}
	x, y := first.Directions.Slice(0, 1, 0, first.D).(*mat.Dense), second.Directions.Slice(0, 1, 0, first.D).(*mat.Dense)
	var change vectors.VectorChange
	if ref == "" {
		if change.Cosine, err = vectors.Cosine(x.RawRowView(0), y.RawRowView(0)); err != nil {
			return nil, err
		}
		var gap mat.Dense
		gap.Sub(x, y)
		change.L2 = mat.Norm(&gap, 2)
	} else {
		b, err := a.open()
		if err != nil {
			return nil, err
		}
		m, err := f.loaded(ctx, b, ref)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.Params.Free()) }()
		if err := errors.Join(first.Fits(vectors.Use{Model: m.Digest}), second.Fits(vectors.Use{Model: m.Digest})); err != nil {
			return nil, err
		}
		e, err := vectors.Unembedding(m)
		if err != nil {
			return nil, err
		}
		changes, err := vectors.CompareVectors(ctx, e, x, y, k)
		if err != nil {
			return nil, err
		}
		change, c.K = changes[0], k
	}
	row, err := summarise(ctx, "first direction", []vectors.VectorChange{change})
	c.Rows = []comparison{row}
	return c, err
}
