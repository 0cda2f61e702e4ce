package probe

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Remover takes a concept out of activations [n, d]: a vectors.Eraser, a vectors.LatentClamp, or any other frozen map.
type Remover interface {
	Apply(x *mat.Dense) (*mat.Dense, error)
}

// RemovalConfig says how a removal is judged.
type RemovalConfig struct {
	Methods   []Method       `json:"methods" doc:"probes that look for the concept afterwards"`
	Random    int            `json:"random" doc:"random subspaces of equal rank that are removed in its place"`
	C         float64        `json:"c" doc:"weight of the loss of the linear classifier that is fitted exactly on the fitted rows"`
	Intervals IntervalConfig `json:"intervals" doc:"of the held-out scores"`
	Seed      uint64         `json:"seed" doc:"of the probes, the random subspaces and the intervals"`
}

// DefaultRemoval looks with a linear, a quadratic and an MLP probe.
func DefaultRemoval() RemovalConfig {
	return RemovalConfig{
		Methods: []Method{DefaultMethod(MethodLogistic), DefaultMethod(MethodQuadratic), DefaultMethod(MethodMLP)},
		Random:  3, C: 1, Intervals: DefaultIntervals(),
	}
}

// RemovalProbe is what one method reads of one target on held-out rows.
type RemovalProbe struct {
	Target string `json:"target"`
	Method string `json:"method"`
	Metrics
}

// RemovalStage are activations before the removal, after it, or with a random subspace removed in its place.
type RemovalStage struct {
	Name   string         `json:"stage"`  // before, removed, random
	Change vectors.Change `json:"change"` // of the held-out rows
	// LargestWeight and LossGain are of the exact linear classifier of the concept on the fitted rows: its largest weight in
	// magnitude, and how far its loss lies below that of the best constant, nats a row. A complete linear erasure leaves 0
	// and 0, where a held-out accuracy only scatters about chance.
	LargestWeight float64        `json:"largest_weight"`
	LossGain      float64        `json:"loss_gain"`
	Concept       []RemovalProbe `json:"concept"`
	Others        []RemovalProbe `json:"others"` // the linear probe of what should have stayed
}

// AfterRemoval looks for a concept after its removal. x is [n, d] with the concept's classes and other targets of the same
// rows; r was fitted on the training rows of the split and removes rank directions. Probes are fitted anew at each stage on
// the training rows and judged on the test rows: a concept that a nonlinear probe still reads was not removed, and what a
// random subspace of equal rank takes away is not to the removal's credit. group [n] keeps rows together, nil for rows.
func AfterRemoval(ctx context.Context, x *mat.Dense, concept Target, others []Target, group []int, split Split, r Remover, rank int, cfg RemovalConfig) ([]RemovalStage, error) {
	rows, err := RowsOf(x)
	if err != nil {
		return nil, err
	}
	if concept.Task == Regression {
		return nil, fmt.Errorf("probe: removal of %s, a number: %w; give classes", concept.Name, vectors.ErrArgument)
	}
	if err := concept.Check(rows.N, 2); err != nil {
		return nil, err
	}
	if len(split.Train) == 0 || len(split.Test) == 0 || rank < 1 || cfg.Random < 1 || len(cfg.Methods) == 0 {
		return nil, fmt.Errorf("probe: removal of rank %d judged on %d rows by %d methods, fitted on %d, beside %d random subspaces: %w; each is 1 or more", rank, len(split.Test), len(cfg.Methods), len(split.Train), cfg.Random, vectors.ErrArgument)
	}
	if !(cfg.C > 0) {
		return nil, fmt.Errorf("probe: removal: c is %v: %w; it is above 0", cfg.C, vectors.ErrArgument)
	}
	removers := []Remover{nil, r}
	for i := range cfg.Random {
		random, err := vectors.RandomProjection(rows.D, rank, cfg.Seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("probe: removal: %w", err)
		}
		removers = append(removers, random)
	}
	out := make([]RemovalStage, len(removers))
	for i, remover := range removers {
		j := judge{ctx, concept, others, group, split, cfg}
		name := "random"
		if i < 2 {
			name = []string{"before", "removed"}[i]
		}
		if out[i], err = j.stage(name, x, remover); err != nil {
			return nil, fmt.Errorf("probe: removal of %s: stage %s: %w", concept.Name, name, err)
		}
	}
	return out, nil
}

// judge is what every stage is judged by.
type judge struct {
	ctx     context.Context
	concept Target
	others  []Target
	group   []int
	split   Split
	cfg     RemovalConfig
}

func (j judge) stage(name string, x *mat.Dense, r Remover) (RemovalStage, error) {
	s := RemovalStage{Name: name}
	after := x
	var err error
	if r != nil {
		if after, err = r.Apply(x); err != nil {
			return s, err
		}
	}
	if s.Change, err = vectors.MeasureChange(takeRows(x, j.split.Test), takeRows(after, j.split.Test)); err != nil {
		return s, err
	}
	if s.LargestWeight, s.LossGain, err = j.exact(after); err != nil {
		return s, err
	}
	rows, err := RowsOf(after)
	if err != nil {
		return s, err
	}
	for _, m := range j.cfg.Methods {
		scores, err := j.probe(m, rows, []Target{j.concept})
		if err != nil {
			return s, err
		}
		s.Concept = append(s.Concept, scores...)
	}
	if len(j.others) > 0 {
		s.Others, err = j.probe(DefaultMethod(MethodLogistic), rows, j.others)
	}
	return s, err
}

// probe fits a method to targets on the training rows and measures it on the test rows.
func (j judge) probe(m Method, x Rows, targets []Target) ([]RemovalProbe, error) {
	train := make([]Target, len(targets))
	for i, t := range targets {
		train[i] = t.Take(j.split.Train)
	}
	var trainGroup, testGroup []int
	if j.group != nil {
		trainGroup, testGroup = pick(j.group, j.split.Train), pick(j.group, j.split.Test)
	}
	fits, err := m.Fit(j.ctx, x.Take(j.split.Train), train, trainGroup, j.cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	test := x.Take(j.split.Test)
	out := make([]RemovalProbe, len(targets))
	for i, t := range targets {
		scores, err := fits[i].Scores(test)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", m.Name, t.Name, err)
		}
		out[i] = RemovalProbe{Target: t.Name, Method: m.Name}
		if out[i].Metrics, err = Evaluate(j.ctx, t.Take(j.split.Test), scores, testGroup, j.cfg.Intervals, j.cfg.Seed); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// exact fits the linear classifier of the concept on the training rows in float64.
func (j judge) exact(x *mat.Dense) (weight, gain float64, err error) {
	rows := takeRows(x, j.split.Train)
	t := j.concept.Take(j.split.Train)
	n := float64(t.Len())
	constant := 0.0
	for _, m := range t.Counts() {
		if m > 0 {
			constant -= float64(m) / n * math.Log(float64(m)/n)
		}
	}
	if t.K() == 2 {
		fit, err := vectors.Logistic(j.ctx, rows, t.Class, j.cfg.C)
		if err != nil {
			return 0, 0, err
		}
		return floats.Norm(fit.Weights, math.Inf(1)), constant - fit.Objective/(j.cfg.C*n), nil
	}
	fit, err := vectors.Multinomial(j.ctx, rows, t.Class, j.cfg.C)
	if err != nil {
		return 0, 0, err
	}
	return max(mat.Max(fit.Weights), -mat.Min(fit.Weights)), constant - fit.Objective/(j.cfg.C*n), nil
}

func takeRows(x *mat.Dense, index []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(index), d, nil)
	for i, r := range index {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}
