package sparsecbm

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/internal/topictext"
	"loupe/probe"
	"loupe/vectors/bottleneck"
)

// The bottlenecks with a trained head, in the order of the tables.
const (
	postHoc     = "post-hoc"
	l1          = "l1"
	gumbel      = "gumbel"
	contrastive = "contrastive"
	gates       = "gates"
)

var trained = []string{postHoc, l1, gumbel, contrastive, gates}

// sizes are the numbers of phrases of each topic at which leakage is measured, besides all of them.
var sizes = []int{1, 3}

// setShares are the shares of concepts that interventions set to their true values.
var setShares = []float64{0.25, 0.5, 1}

// embedded is one seed's data as the encoder sees it.
type embedded struct {
	*topictext.Data
	k             int
	train, held   *mat.Dense // [n, d]
	bank, classes bottleneck.Bank
}

func embed(ctx context.Context, enc *bottleneck.Encoder, c *Config, data *topictext.Data) (*embedded, error) {
	d := &embedded{Data: data, k: len(c.Data.Topics)}
	for _, part := range []struct {
		texts []string
		to    **mat.Dense
	}{{data.Train.Text, &d.train}, {data.HeldOut.Text, &d.held}, {data.Phrases, &d.bank.Vectors}, {c.Data.Topics, &d.classes.Vectors}} {
		x, err := enc.Embed(ctx, part.texts)
		if err != nil {
			return nil, err
		}
		*part.to = x
	}
	d.bank.Names, d.classes.Names = data.Phrases, c.Data.Topics
	return d, nil
}

// measure fits everything on the training texts and notes what is right on the held-out ones.
func (d *embedded) measure(ctx context.Context, c *Config, seed uint64) (*topictext.Tally, error) {
	t := topictext.NewTally(d.HeldOut.Word)
	steps := []func() error{
		func() error { return d.probe(ctx, t) },
		func() error { return d.untrained(t, seed) },
		func() error { return d.bottlenecks(ctx, c, t, seed) },
		func() error { return d.leakage(ctx, c, t, seed) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// probe is the linear probe of the embeddings, the upper bound.
func (d *embedded) probe(ctx context.Context, t *topictext.Tally) error {
	x, err := probe.RowsOf(d.train)
	if err != nil {
		return err
	}
	held, err := probe.RowsOf(d.held)
	if err != nil {
		return err
	}
	target := probe.Target{Name: "topic", Task: probe.Multiclass, Class: d.Train.Topic, Classes: d.classes.Names}
	fits, err := probe.Multinomial(ctx, x, []probe.Target{target}, probe.DefaultLogistic())
	if err != nil {
		return err
	}
	scores, err := fits[0].Scores(held)
	if err != nil {
		return err
	}
	return t.Right("probe", mat.NewDense(held.N, d.k, scores), d.HeldOut.Topic)
}

// untrained are the answers without training: the class's name itself, and concept matrix search.
func (d *embedded) untrained(t *topictext.Tally, seed uint64) error {
	byName, err := bottleneck.FitScorer(d.classes, d.train, bottleneck.Cosine)
	if err != nil {
		return err
	}
	raw, err := byName.Raw(d.held)
	if err != nil {
		return err
	}
	if err := t.Right("zero-shot", raw, d.HeldOut.Topic); err != nil {
		return err
	}
	s, err := bottleneck.FitScorer(d.bank, d.train, bottleneck.Cosine)
	if err != nil {
		return err
	}
	held, err := s.Apply(d.held)
	if err != nil {
		return err
	}
	classes, err := s.Apply(d.classes.Vectors)
	if err != nil {
		return err
	}
	heldRaw, err := s.Raw(d.held)
	if err != nil {
		return err
	}
	classesRaw, err := s.Raw(d.classes.Vectors)
	if err != nil {
		return err
	}
	_, from := bottleneck.ShuffleNames(d.bank, seed)
	for _, search := range []struct {
		name   string
		scores *mat.Dense
		of     *mat.Dense
		power  int
	}{
		{"search", held, classes, 1}, {"search, cubed", held, classes, 3}, {"search, raw cosines", heldRaw, classesRaw, 1},
		{"search, names shuffled", held, columns(classes, from), 1},
	} {
		found, err := bottleneck.MatrixSearch(search.scores, search.of, search.power)
		if err != nil {
			return err
		}
		if err := t.Right(search.name, found, d.HeldOut.Topic); err != nil {
			return err
		}
	}
	return nil
}

// bottlenecks fits the five heads on all concepts.
func (d *embedded) bottlenecks(ctx context.Context, c *Config, t *topictext.Tally, seed uint64) error {
	fit, err := d.postHoc(ctx, c, d.bank)
	if err != nil {
		return err
	}
	logits, err := fit.Logits(d.held)
	if err != nil {
		return err
	}
	if err := t.Right("post-hoc with residual", logits, d.HeldOut.Topic); err != nil {
		return err
	}
	train, err := fit.Scorer.Apply(d.train)
	if err != nil {
		return err
	}
	held, err := fit.Scorer.Apply(d.held)
	if err != nil {
		return err
	}
	if err := d.inspect(t, postHoc, fit.Head, held, held, c.Active, seed); err != nil {
		return err
	}
	if err := d.intervene(t, fit.Head, train, held, seed); err != nil {
		return err
	}
	for name, cfg := range map[string]bottleneck.SparseConfig{l1: c.L1, gumbel: c.Gumbel, contrastive: c.Contrastive} {
		s, err := bottleneck.FitSparse(ctx, train, d.Train.Topic, d.k, cfg, seed)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		z, err := s.Concepts(held)
		if err != nil {
			return err
		}
		if err := d.inspect(t, name, s.Head, z, held, c.Active, seed); err != nil {
			return err
		}
		zero := floats.Count(func(w float64) bool { return w == 0 }, s.Layer.RawMatrix().Data)
		t.Value(name+" layer zero", float64(zero)/float64(len(s.Layer.RawMatrix().Data)))
	}
	h, err := bottleneck.FitGates(ctx, train, d.Train.Topic, d.k, c.Gates, seed)
	if err != nil {
		return err
	}
	return d.inspect(t, gates, h, held, held, c.Active, seed)
}

func (d *embedded) postHoc(ctx context.Context, c *Config, b bottleneck.Bank) (*bottleneck.PostHoc, error) {
	s, err := bottleneck.FitScorer(b, d.train, bottleneck.Cosine)
	if err != nil {
		return nil, err
	}
	return bottleneck.FitPostHoc(ctx, s, d.train, d.Train.Topic, d.k, c.PostHoc)
}

// inspect notes a bottleneck's accuracy with all and with few concepts, with its best or random ones deleted, whether the
// concept that speaks most for the decision is of the text's topic, and how far activations follow the scores of their names.
func (d *embedded) inspect(t *topictext.Tally, name string, h bottleneck.Head, z, scores *mat.Dense, active int, seed uint64) error {
	_, contributions, err := bottleneck.Contributions(h, z)
	if err != nil {
		return err
	}
	kept, err := bottleneck.KeepTop(z, contributions, active)
	if err != nil {
		return err
	}
	dropped, err := bottleneck.DropTop(z, contributions, active)
	if err != nil {
		return err
	}
	random, err := bottleneck.DropRandom(z, contributions, active, seed)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		what string
		z    *mat.Dense
	}{{"", z}, {" kept", kept}, {" dropped", dropped}, {" dropped at random", random}} {
		logits, err := h.Logits(part.z)
		if err != nil {
			return err
		}
		if err := t.Right(name+part.what, logits, d.HeldOut.Topic); err != nil {
			return err
		}
	}
	_, from := bottleneck.ShuffleNames(d.bank, seed)
	n, m := z.Dims()
	own, shuffled, used := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		row := contributions.RawRowView(i)
		best := floats.MaxIdx(row)
		if d.Of[best] == d.HeldOut.Topic[i] {
			own[i] = 1
		}
		if d.Of[from[best]] == d.HeldOut.Topic[i] {
			shuffled[i] = 1
		}
		used[i] = float64(floats.Count(func(v float64) bool { return v != 0 }, row))
	}
	t.Hits[name+" named"], t.Hits[name+" named, names shuffled"], t.Hits[name+" used"] = own, shuffled, used
	weights := 0
	for _, w := range h.Nonzero() {
		weights += w
	}
	t.Value(name+" weights", float64(weights)/float64(d.k))
	follows := 0.0
	for j := range m {
		a, b := mat.Col(nil, j, z), mat.Col(nil, j, scores)
		if stat.StdDev(a, nil) > 0 { // an activation that L1 has emptied follows nothing
			follows += stat.Correlation(a, b, nil) / float64(m)
		}
	}
	t.Value(name+" follows", follows)
	return nil
}

// intervene sets a share of the concepts to the values that they have on average in texts of their topic, and of other topics.
func (d *embedded) intervene(t *topictext.Tally, h bottleneck.Head, train, held *mat.Dense, seed uint64) error {
	v, err := bottleneck.FitIntervention(train, presence(d.Train.Topic, d.Of))
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(seed, 0x736574)).Perm(len(d.Of)) // "set"
	_, from := bottleneck.ShuffleNames(d.bank, seed)
	mixed := make([]int, len(d.Of))
	for j, at := range from {
		mixed[j] = d.Of[at]
	}
	for _, truth := range []struct {
		what string
		of   []int
	}{{"set", d.Of}, {"set, names shuffled", mixed}} {
		for _, share := range setShares {
			set, err := v.Apply(held, presence(d.HeldOut.Topic, truth.of), order[:int(share*float64(len(order)))])
			if err != nil {
				return err
			}
			logits, err := h.Logits(set)
			if err != nil {
				return err
			}
			if err := t.Right(fmt.Sprintf("%s %.0f%%", truth.what, 100*share), logits, d.HeldOut.Topic); err != nil {
				return err
			}
		}
	}
	return nil
}

// leakage fits post-hoc heads on named concepts and on as many random directions.
func (d *embedded) leakage(ctx context.Context, c *Config, t *topictext.Tally, seed uint64) error {
	c = &Config{Data: c.Data, PostHoc: c.PostHoc}
	c.PostHoc.Residual = false
	all := c.Data.Phrases
	for _, size := range append(append([]int{}, sizes...), all) {
		if size > all {
			continue
		}
		var few []int
		for j := range d.Of {
			if j%all < size {
				few = append(few, j)
			}
		}
		named := d.bank.Take(few)
		for what, b := range map[string]bottleneck.Bank{"named": named, "random": bottleneck.RandomBank(named, seed)} {
			fit, err := d.postHoc(ctx, c, b)
			if err != nil {
				return fmt.Errorf("%d %s concepts of a topic: %w", size, what, err)
			}
			logits, err := fit.Logits(d.held)
			if err != nil {
				return err
			}
			if err := t.Right(fmt.Sprintf("%s, %d", what, len(few)), logits, d.HeldOut.Topic); err != nil {
				return err
			}
		}
	}
	return nil
}

// presence says for each text whether each concept is of its topic.
func presence(topic, of []int) *mat.Dense {
	out := mat.NewDense(len(topic), len(of), nil)
	for i, y := range topic {
		for j, c := range of {
			if c == y {
				out.Set(i, j, 1)
			}
		}
	}
	return out
}

// columns returns the columns of x that index names, in its order.
func columns(x *mat.Dense, index []int) *mat.Dense {
	n, _ := x.Dims()
	out := mat.NewDense(n, len(index), nil)
	for j, at := range index {
		out.SetCol(j, mat.Col(nil, at, x))
	}
	return out
}
