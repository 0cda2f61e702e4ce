package removal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/study"
	"loupe/probe"
	"loupe/probe/model"
	"loupe/probe/sweep"
	"loupe/probe/text"
	"loupe/vectors"
	"loupe/vectors/evaluate"
)

// Study is the study behind `loupe vectors ablate`.
func Study() study.Study {
	return study.Study{
		Kind: ConfigKind(), Title: "A concept removed: what is left, and what it cost",
		Run:   func(ctx context.Context, s *study.Session, conf any) error { return ablate(ctx, s, conf.(*Config)) },
		Steps: func(conf any) []string { return steps(conf.(*Config)) },
	}
}

// The kinds of rows.
const (
	Before   = "nothing removed"
	Method   = "method"
	Random   = "random subspace"
	Shuffled = "shuffled labels"
)

// Row is one removal, or a control, in one model.
type Row struct {
	Model  string               `json:"model"`
	Kind   string               `json:"kind"`
	Name   string               `json:"name"` // as in tables
	Method string               `json:"method,omitempty"`
	Rank   int                  `json:"rank"`
	Stage  probe.RemovalStage   `json:"stage"`
	Others []probe.RemovalProbe `json:"others"` // of other concepts on their own texts; none for an oracle, which needs labels
	Damage *evaluate.Damage     `json:"damage,omitempty"`
	Card   string               `json:"card,omitempty"` // of the saved vector, in the run folder
}

func steps(c *Config) []string {
	var out []string
	sentences := ""
	if k := c.Corpus.Kind; k == text.KindConcepts || k == text.KindHierarchy {
		sentences = fmt.Sprintf(" of %d concepts, %d + %d pairs each", len(c.Corpus.Concepts), c.Corpus.TrainPairs, c.Corpus.HeldOutPairs)
	}
	for _, m := range c.Models {
		out = append(out, fmt.Sprintf("%s: capture %s over corpus %s%s", c.key(m), m.Site, c.Corpus.Kind, sentences),
			fmt.Sprintf("%s: remove %v by %v; controls: nothing, %d random subspace(s) of each rank, shuffled labels for %v", c.key(m), c.Target.Values, c.Methods, c.Random, c.Shuffled),
			fmt.Sprintf("%s: for each of them %v probes of the concept, a linear probe of %d other target(s), damage on %d texts and %d questions", c.key(m), c.Probes, len(c.Others), c.Damage.Documents, c.Damage.Questions))
	}
	return out
}

func ablate(ctx context.Context, s *study.Session, c *Config) error {
	if err := os.MkdirAll(s.Dir().File("weights"), 0o755); err != nil {
		return fmt.Errorf("removal: %w", err)
	}
	var all []Row
	for _, m := range c.Models {
		rows, err := oneModel(ctx, s, c, m)
		if err != nil {
			return fmt.Errorf("%s: %w", c.key(m), err)
		}
		all = append(all, rows...)
		s.Done(c.key(m))
	}
	return publish(s, c, all)
}

// subject is one model with its labelled activations.
type subject struct {
	*Config
	session *study.Session
	lab     *lab.Lab
	at      ModelConfig
	site    model.Site
	key     string
	digest  string // of the store
	set     sweep.Set
	x       *mat.Dense
	labels  vectors.Labels
	others  []sweep.Set
	judge   probe.RemovalJudge
	damage  evaluate.Data
	bucket  int // directions that an edit of the running model holds
	before  *evaluate.Measured
}

func oneModel(ctx context.Context, s *study.Session, c *Config, m ModelConfig) (rows []Row, err error) {
	l, err := s.Open(ctx, m.Model)
	if err != nil {
		return nil, err
	}
	p := &subject{Config: c, session: s, lab: l, at: m, key: c.key(m)}
	if p.site, err = model.ParseSite(m.Site); err != nil {
		return nil, err
	}
	if err := errors.Join(l.Model.Spec.Has(p.site), p.read(ctx)); err != nil {
		return nil, err
	}
	add := func(name string, do func() (Row, error)) error {
		r, err := study.Step(s, p.key+"-"+name, do)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		rows = append(rows, r)
		return nil
	}
	if err := add("before", func() (Row, error) { return p.row(ctx, Row{Kind: Before, Name: Before}, nil) }); err != nil {
		return nil, err
	}
	for _, name := range c.Methods {
		if err := add(name, func() (Row, error) { return p.fit(ctx, name, false) }); err != nil {
			return nil, err
		}
	}
	var ranks []int
	for _, r := range rows[1:] {
		if r.Rank > 0 && r.Rank < p.set.X.D && !slices.Contains(ranks, r.Rank) {
			ranks = append(ranks, r.Rank)
		}
	}
	slices.Sort(ranks)
	for _, rank := range ranks {
		for i := range c.Random {
			if err := add(fmt.Sprintf("random-%d-%d", rank, i), func() (Row, error) { return p.random(ctx, rank, i) }); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range c.Shuffled {
		if err := add("shuffled-"+name, func() (Row, error) { return p.fit(ctx, name, true) }); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// read captures the texts, where the store is not there yet, and reads the labelled activations.
func (p *subject) read(ctx context.Context) (err error) {
	d := p.data(p.at, "", p.Target)
	dir, err := lab.StoreDir(p.session.Stores, p.Name, d.Capture)
	if err != nil {
		return err
	}
	capture := d.Capture
	capture.Store = dir
	corpus, err := text.Open(p.Corpus)
	if err != nil {
		return err
	}
	_, st, err := p.lab.Capture(ctx, corpus, capture)
	if err != nil {
		return err
	}
	p.digest = st.Manifest().Digest
	if err := st.Close(); err != nil {
		return err
	}
	for i, t := range append([]sweep.TargetConfig{p.Target}, p.Others...) {
		sets, err := p.sets(ctx, dir, t)
		if err != nil {
			return err
		}
		if i > 0 {
			p.others = append(p.others, sets...)
			continue
		}
		if len(sets) != 1 {
			return fmt.Errorf("removal: %d targets to remove: %w; choose one by target.values or target.positive", len(sets), vectors.ErrArgument)
		}
		p.set = sets[0]
	}
	p.x = p.set.X.Dense()
	p.labels = vectors.Labels{Class: p.set.Target.Class, K: p.set.Target.K()}
	p.judge = probe.RemovalJudge{X: p.x, Concept: p.set.Target, Group: p.set.Group, Split: p.set.Split, RemovalConfig: probe.RemovalConfig{
		Methods: p.probes(), C: 1, Intervals: p.Intervals, Seed: uint64(p.Seed),
	}}
	if p.damage, err = p.Damage.Texts(ctx); err != nil {
		return err
	}
	most := max(p.labels.K-1, 1, p.Settings.Rank)
	if slices.Contains(p.Methods, vectors.MethodINLP) {
		most = max(most, p.Settings.Rounds*max(p.labels.K-1, 1)+1)
	}
	p.bucket, err = model.RankBucket(min(most, p.set.X.D))
	if err != nil { // more than an edit of low rank holds: every edit is then a full affine map
		p.bucket = 0
	}
	return nil
}

func (p *subject) sets(ctx context.Context, dir string, t sweep.TargetConfig) (sets []sweep.Set, err error) {
	j, err := sweep.OpenData(ctx, p.data(p.at, dir, t))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	err = j.Sets(func(s sweep.Set) error {
		sets = append(sets, s)
		return nil
	})
	return sets, err
}

// labelled is an oracle with the labels of the rows that it is given.
type labelled struct {
	oracle func(*mat.Dense, vectors.Labels) (*mat.Dense, error)
	labels vectors.Labels
}

// Apply implements [probe.Remover].
func (l labelled) Apply(x *mat.Dense) (*mat.Dense, error) { return l.oracle(x, l.labels) }

// fit fits a method to the training rows, with their labels or with shuffled ones, and judges it.
func (p *subject) fit(ctx context.Context, name string, shuffled bool) (Row, error) {
	r := Row{Kind: Method, Name: name, Method: name}
	t := p.set.Target
	if shuffled {
		r.Kind, r.Name = Shuffled, name+", shuffled labels"
		t = probe.ShuffledLabels(t, p.set.Group, uint64(p.Seed)+101)
	}
	train := p.set.Split.Train
	found, err := vectors.FitMethod(ctx, name, p.set.X.Take(train).Dense(), vectors.Labels{Class: t.Take(train).Class, K: t.K()}, p.Settings)
	if err != nil {
		return r, err
	}
	r.Rank = found.Rank
	if found.Oracle != nil {
		return p.row(ctx, r, labelled{found.Oracle, vectors.Labels{Class: t.Class, K: t.K()}})
	}
	e := found.Eraser
	if e == nil {
		if e, err = vectors.Ablation(found.Directions); err != nil {
			return r, err
		}
	}
	if r.Rank == 0 {
		return r, fmt.Errorf("removal: %s found nothing to remove: %w; are the labels those of the texts?", name, vectors.ErrClasses)
	}
	if r, err = p.row(ctx, r, e); err != nil || shuffled {
		return r, err
	}
	r.Card, err = p.save(found, e)
	return r, err
}

// random removes a random subspace about the mean of the training rows.
func (p *subject) random(ctx context.Context, rank, draw int) (Row, error) {
	e, err := vectors.RandomProjection(p.set.X.D, rank, uint64(p.Seed)+uint64(draw)<<16)
	if err != nil {
		return Row{}, err
	}
	return p.row(ctx, Row{Kind: Random, Name: fmt.Sprintf("random subspace, rank %d", rank), Rank: rank}, e)
}

// row judges a remover, nil for none.
func (p *subject) row(ctx context.Context, r Row, remover probe.Remover) (_ Row, err error) {
	r.Model = p.key
	if r.Stage, err = p.judge.Stage(ctx, r.Name, remover); err != nil {
		return r, err
	}
	if _, oracle := remover.(labelled); !oracle {
		for _, o := range p.others {
			score, err := p.other(ctx, o, remover)
			if err != nil {
				return r, err
			}
			r.Others = append(r.Others, score)
		}
	}
	if e, ok := remover.(*vectors.Eraser); ok {
		r.Damage, err = p.cost(ctx, e)
	}
	return r, err
}

// other is a linear probe of another target on its own texts.
func (p *subject) other(ctx context.Context, o sweep.Set, remover probe.Remover) (probe.RemovalProbe, error) {
	x := o.X
	if remover != nil {
		after, err := remover.Apply(x.Dense())
		if err != nil {
			return probe.RemovalProbe{}, err
		}
		if x, err = probe.RowsOf(after); err != nil {
			return probe.RemovalProbe{}, err
		}
	}
	m := probe.DefaultMethod(probe.MethodLogistic)
	group := func(rows []int) []int {
		out := make([]int, len(rows))
		for i, r := range rows {
			out[i] = o.Group[r]
		}
		return out
	}
	fits, err := m.Fit(ctx, x.Take(o.Split.Train), []probe.Target{o.Target.Take(o.Split.Train)}, group(o.Split.Train), uint64(p.Seed))
	if err != nil {
		return probe.RemovalProbe{}, err
	}
	scores, err := fits[0].Scores(x.Take(o.Split.Test))
	if err != nil {
		return probe.RemovalProbe{}, err
	}
	out := probe.RemovalProbe{Target: o.Target.Name, Method: m.Name}
	out.Metrics, err = probe.Evaluate(ctx, o.Target.Take(o.Split.Test), scores, group(o.Split.Test), p.Intervals, uint64(p.Seed))
	return out, err
}

// cost is what the eraser does to the running model, at every token of the site. All erasers run in one program.
func (p *subject) cost(ctx context.Context, e *vectors.Eraser) (*evaluate.Damage, error) {
	at := func(e *vectors.Eraser, strength float64) evaluate.Subject {
		return evaluate.Subject{Engine: p.lab.Engine, Model: p.lab.Model, Tokenizer: p.lab.Tokenizer, Batch: p.Damage.Batch, MaxLength: p.Damage.MaxLength,
			Edit: func(batch, seq int) (*vectors.Edit, error) {
				return e.Edit(p.lab.Model.Spec, p.site, batch, seq, strength)
			}}
	}
	wide := padded(e, p.bucket)
	if p.before == nil {
		m, err := p.Damage.Measure(ctx, at(wide, 0), p.damage)
		if err != nil {
			return nil, err
		}
		p.before = &m
	}
	after, err := p.Damage.Measure(ctx, at(wide, 1), p.damage)
	if err != nil {
		return nil, err
	}
	return p.Damage.Compare(ctx, *p.before, after, p.damage)
}

// padded is the eraser with directions of zeros up to rank, so that erasers of several ranks share a program.
func padded(e *vectors.Eraser, rank int) *vectors.Eraser {
	d, r := len(e.Bias), e.Rank()
	if r >= rank {
		return e
	}
	out := &vectors.Eraser{Left: mat.NewDense(d, rank, nil), Right: mat.NewDense(rank, d, nil), Bias: e.Bias}
	if r > 0 {
		out.Left.Copy(e.Left)
		out.Right.Copy(e.Right)
	}
	return out
}

// save keeps a method's vectors in the run folder's weights/.
func (p *subject) save(found *vectors.Fitted, e *vectors.Eraser) (string, error) {
	settings, err := json.Marshal(p.Settings)
	if err != nil {
		return "", fmt.Errorf("removal: %w", err)
	}
	data, err := json.Marshal(map[string]any{"corpus": p.Corpus, "target": p.Target, "split": p.Split})
	if err != nil {
		return "", fmt.Errorf("removal: %w", err)
	}
	t := p.set.Target
	s := &vectors.Saved{Directions: found.Directions, Eraser: e, Card: vectors.Card{
		Name: p.key + "-" + t.Name + "-" + found.Method, Method: found.Method, Concept: t.Name, Classes: t.Classes,
		Family: p.lab.Model.Spec.Family, Site: p.set.Site, Layer: p.set.Layer, Position: p.set.Position, D: p.set.X.D,
		Fitted: vectors.FittedOn{Store: p.digest, Rows: len(p.set.Split.Train), Test: len(p.set.Split.Test), Seed: uint64(p.Seed)}, Settings: settings, Data: data,
	}}
	s.Model.ID, s.Model.Digest = p.lab.Model.Name, p.lab.Model.Digest
	if _, err := s.Save(p.session.Dir().File("weights")); err != nil {
		return "", err
	}
	return "weights/" + s.Name + ".json", nil
}
