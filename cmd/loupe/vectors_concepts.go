package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	probes "loupe/probe"
	"loupe/probe/sweep"
	"loupe/vectors"
)

// conceptsFlags are the flags of `loupe vectors concepts`.
type conceptsFlags struct {
	data        sweep.Data
	methods     []string
	importances []string
	concepts    int
	splits      int
	random      int
	penalty     float64
}

func newVectorsConceptsCmd(a *app) *cobra.Command {
	f := conceptsFlags{data: sweep.DefaultData()}
	var site, position, label string
	cmd := &cobra.Command{
		Use:   "concepts STORE",
		Short: "Extract concepts from a store without labels, and say how much each counts for a labelled class",
		Long: `Extract concepts from the training rows of a site by --method (kmeans, pca, nmf, seminmf), about their mean, and print how well they write
held-out rows, how sparse their codes are and how stable they are over random halves, beside rows with shuffled columns.
Then fit a softmax classifier of --label to the training rows, and print how much each concept counts for the probability of a held-out row's
class, by --importance (gradient, integrated, occlusion, sobol, shapley): its mean over the rows of each class, and the area under
the probability as concepts go (deletion, low is good) and come (insertion, high is good), beside random orders.

  loupe vectors concepts stores/s --site blocks.3.hook_resid_post --label concept --method nmf --concepts 8`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if site == "" || label == "" {
				return usagef("--site and --label are needed; usage: %s", cmd.UseLine())
			}
			if f.concepts < 1 || f.splits < 1 || f.random < 1 {
				return usagef("--concepts %d, --splits %d, --random %d: each is 1 or more", f.concepts, f.splits, f.random)
			}
			f.data.Store, f.data.Sites, f.data.Positions = args[0], []string{site}, []string{position}
			f.data.Target = sweep.TargetConfig{Task: string(probes.Multiclass), Label: label}
			return f.run(cmd.Context(), a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&site, "site", "", "site of the store")
	flags.StringVar(&position, "position", "mean", "mean, first, last, cls, span-mean, span-first, span-last or a number")
	flags.StringVar(&label, "label", "", "label column of the store that says the class")
	flags.StringSliceVar(&f.methods, "method", []string{"nmf"}, "extraction: kmeans, pca, nmf, seminmf")
	flags.StringSliceVar(&f.importances, "importance", []string{"gradient", "integrated", "occlusion", "sobol", "shapley"}, "importances that are compared")
	flags.IntVar(&f.concepts, "concepts", 10, "concepts of each extraction")
	flags.IntVar(&f.splits, "splits", 3, "random halves that stability is measured on")
	flags.IntVar(&f.random, "random", 5, "random orders of concepts, the control")
	flags.Float64Var(&f.penalty, "penalty", 1, "C of the classifier")
	flags.Uint64Var(&f.data.Seed, "seed", 0, "of extraction, splits and random orders")
	return cmd
}

// extractorOf is an extraction by its name on the command line.
func extractorOf(name string) (vectors.Extractor, error) {
	hals := vectors.DefaultHALS()
	all := map[string]vectors.Extractor{
		"kmeans": vectors.DefaultKMeans(), "pca": vectors.PCAExtractor{}, "nmf": vectors.NMFExtractor{Config: hals, Signed: true}, "seminmf": vectors.SemiNMFExtractor{Config: hals},
	}
	x, ok := all[name]
	if !ok {
		return nil, usagef("--method %q; it is kmeans, pca, nmf or seminmf", name)
	}
	return vectors.AboutMean{Extractor: x}, nil
}

// importanceOf is an importance by its name on the command line.
func importanceOf(name string) (vectors.Importance, error) {
	all := map[string]vectors.Importance{
		"gradient": vectors.GradientImportance{}, "integrated": vectors.IntegratedImportance{Points: 16}, "occlusion": vectors.OcclusionImportance{},
		"sobol": vectors.SobolImportance{Points: 128}, "shapley": vectors.ShapleyImportance{Exact: 8, Permutations: 32},
	}
	x, ok := all[name]
	if !ok {
		return nil, usagef("--importance %q; it is gradient, integrated, occlusion, sobol or shapley", name)
	}
	return x, nil
}

func (f *conceptsFlags) run(ctx context.Context, a *app) (err error) {
	var extractors []vectors.Extractor
	for _, name := range f.methods {
		x, err := extractorOf(name)
		if err != nil {
			return err
		}
		extractors = append(extractors, x)
	}
	var importances []vectors.Importance
	for _, name := range f.importances {
		x, err := importanceOf(name)
		if err != nil {
			return err
		}
		importances = append(importances, x)
	}
	job, err := sweep.OpenData(ctx, f.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, job.Close()) }()
	var results []*conceptsResult
	err = job.Sets(func(s sweep.Set) error {
		if results != nil {
			return usagef("--site %q stands for several sites of %s; name one", f.data.Sites[0], f.data.Store)
		}
		c, err := newConceptRows(ctx, s, f.penalty)
		if err != nil {
			return err
		}
		for _, x := range extractors {
			r, err := f.measure(ctx, c, x, importances)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(results)
	}
	for _, r := range results {
		if err := r.print(a.out); err != nil {
			return err
		}
	}
	return nil
}

// conceptRows are the training and held-out rows of a labelled set, and a classifier of the training rows.
type conceptRows struct {
	set         sweep.Set
	train, held *mat.Dense
	class       []int // of held-out rows
	softmax     *vectors.Softmax
}

func newConceptRows(ctx context.Context, s sweep.Set, penalty float64) (*conceptRows, error) {
	c := &conceptRows{set: s, train: s.X.Take(s.Split.Train).Dense(), held: s.X.Take(s.Split.Test).Dense(), class: s.Target.Take(s.Split.Test).Class}
	var err error
	c.softmax, err = vectors.Multinomial(ctx, c.train, s.Target.Take(s.Split.Train).Class, penalty)
	return c, err
}

// ofClass are the places of the held-out rows of a class.
func (c *conceptRows) ofClass(class int) []int {
	var out []int
	for i, k := range c.class {
		if k == class {
			out = append(out, i)
		}
	}
	return out
}

// conceptsResult is what one extraction finds.
type conceptsResult struct {
	Extraction string          `json:"extraction"`
	Concepts   int             `json:"concepts"`
	Site       string          `json:"site"`
	Position   string          `json:"position"`
	Train      int             `json:"train"`
	HeldOut    int             `json:"held_out"`
	Quality    vectors.Quality `json:"quality"`
	Stability  float64         `json:"stability"`
	Shuffled   float64         `json:"stability_shuffled"`
	Importance []importanceRow `json:"importance"` // random orders first
}

// importanceRow is how well one importance ranks concepts.
type importanceRow struct {
	Name      string        `json:"name"`
	Deletion  float64       `json:"deletion"`
	Insertion float64       `json:"insertion"`
	Most      []mostConcept `json:"most,omitempty"`
}

// mostConcept is the concept of the largest mean importance for a class.
type mostConcept struct {
	Class   string  `json:"class"`
	Concept int     `json:"concept"`
	Mean    float64 `json:"mean"`
}

// measure extracts concepts in one way and measures them.
func (f *conceptsFlags) measure(ctx context.Context, c *conceptRows, x vectors.Extractor, importances []vectors.Importance) (*conceptsResult, error) {
	found, err := x.Extract(ctx, c.train, f.concepts, f.data.Seed)
	if err != nil {
		return nil, err
	}
	train, _ := c.train.Dims()
	r := &conceptsResult{Extraction: x.Name(), Concepts: f.concepts, Site: c.set.Site, Position: c.set.Position, Train: train, HeldOut: len(c.class)}
	if r.Quality, err = found.Quality(ctx, c.held); err != nil {
		return nil, err
	}
	for to, rows := range map[*float64]*mat.Dense{&r.Stability: c.train, &r.Shuffled: vectors.ShuffleColumns(c.train, f.data.Seed)} {
		stable, err := vectors.Stability(ctx, x, rows, f.concepts, f.splits, f.data.Seed)
		if err != nil {
			return nil, err
		}
		*to = floats.Sum(stable) / float64(f.splits)
	}
	codes, err := found.Encode(ctx, c.held)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(f.data.Seed, 0x636f6e6365707473)) // "concepts"
	random := importanceRow{Name: "random"}
	for range f.random {
		order := mat.NewDense(len(c.class), f.concepts, nil)
		order.Apply(func(int, int, float64) float64 { return rng.Float64() }, order)
		down, up, err := c.areas(ctx, found, codes, func(_ vectors.Score, _ *mat.Dense, places []int) (*mat.Dense, error) {
			return takeRows(order, places), nil
		}, nil)
		if err != nil {
			return nil, err
		}
		random.Deletion, random.Insertion = random.Deletion+down/float64(f.random), random.Insertion+up/float64(f.random)
	}
	r.Importance = append(r.Importance, random)
	for _, m := range importances {
		row := importanceRow{Name: m.Name()}
		row.Deletion, row.Insertion, err = c.areas(ctx, found, codes, func(score vectors.Score, u *mat.Dense, _ []int) (*mat.Dense, error) {
			return m.Attribute(ctx, score, u, f.data.Seed)
		}, func(class int, importance *mat.Dense) {
			mean := make([]float64, f.concepts)
			n, _ := importance.Dims()
			for i := range n {
				floats.AddScaled(mean, 1/float64(n), importance.RawRowView(i))
			}
			k := floats.MaxIdx(mean)
			row.Most = append(row.Most, mostConcept{c.set.Target.Classes[class], k, mean[k]})
		})
		if err != nil {
			return nil, err
		}
		r.Importance = append(r.Importance, row)
	}
	return r, nil
}

// print writes one extraction as text.
func (r *conceptsResult) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "CONCEPTS\t%d by %s of %d rows of %s at %s, measured on %d held-out ones\n", r.Concepts, r.Extraction, r.Train, r.Site, r.Position, r.HeldOut)
	fmt.Fprintf(w, "UNEXPLAINED\t%.3f of the variance, %.3f of the norm\n", r.Quality.FVU, r.Quality.Relative)
	fmt.Fprintf(w, "SPARSITY\t%.1f concepts a row, Hoyer %.3f\n", r.Quality.Abundance, r.Quality.Sparsity)
	fmt.Fprintf(w, "STABILITY\t%.3f over random halves; columns shuffled %.3f\n\n", r.Stability, r.Shuffled)
	fmt.Fprintf(w, "IMPORTANCE\tDELETION\tINSERTION\tCONCEPT OF MOST MEAN IMPORTANCE\n")
	for _, row := range r.Importance {
		var most []string
		for _, m := range row.Most {
			most = append(most, fmt.Sprintf("%s: %d (%.3f)", m.Class, m.Concept, m.Mean))
		}
		fmt.Fprintf(w, "%s\t%.3f\t%.3f\t%s\n", row.Name, row.Deletion, row.Insertion, strings.Join(most, ", "))
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// areas are the mean areas under deletion and insertion of the probability of each held-out row's class; of is the importance of
// the rows of a class, which seen, where not nil, is told.
func (c *conceptRows) areas(ctx context.Context, found *vectors.Concepts, codes *mat.Dense, of func(score vectors.Score, u *mat.Dense, places []int) (*mat.Dense, error), seen func(class int, importance *mat.Dense)) (down, up float64, err error) {
	var all [2][]float64
	for class := range c.set.Target.Classes {
		places := c.ofClass(class)
		if len(places) == 0 {
			continue
		}
		u, score := takeRows(codes, places), found.Score(vectors.ClassProbability{Softmax: c.softmax, Class: class})
		importance, err := of(score, u, places)
		if err != nil {
			return 0, 0, err
		}
		if seen != nil {
			seen(class, importance)
		}
		for k, curve := range []func(context.Context, vectors.Score, *mat.Dense, *mat.Dense) (*mat.Dense, error){vectors.Deletion, vectors.Insertion} {
			curves, err := curve(ctx, score, u, importance)
			if err != nil {
				return 0, 0, err
			}
			areas, err := vectors.AreaUnder(curves)
			if err != nil {
				return 0, 0, err
			}
			all[k] = slices.Concat(all[k], areas)
		}
	}
	n := float64(len(all[0]))
	return floats.Sum(all[0]) / n, floats.Sum(all[1]) / n, nil
}

// takeRows are some rows of m.
func takeRows(m *mat.Dense, places []int) *mat.Dense {
	_, r := m.Dims()
	out := mat.NewDense(len(places), r, nil)
	for j, i := range places {
		out.SetRow(j, m.RawRowView(i))
	}
	return out
}
