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
	Rows   int            `json:"rows"`   // fitted
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
	j := RemovalJudge{X: x, Concept: concept, Others: others, Group: group, Split: split, RemovalConfig: cfg}
	if err := j.check(); err != nil {
		return nil, err
	}
	if rank < 1 || cfg.Random < 1 {
		return nil, fmt.Errorf("probe: removal of rank %d beside %d random subspaces: %w; each is 1 or more", rank, cfg.Random, vectors.ErrArgument)
	}
	removers := []Remover{nil, r}
	_, d := x.Dims()
	for i := range cfg.Random {
		random, err := vectors.RandomProjection(d, rank, cfg.Seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("probe: removal: %w", err)
		}
		removers = append(removers, random)
	}
	out := make([]RemovalStage, len(removers))
	for i, remover := range removers {
		name := "random"
		if i < 2 {
			name = []string{"before", "removed"}[i]
		}
		var err error
		if out[i], err = j.Stage(ctx, name, remover); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RemovalJudge is what every stage of a removal is judged by; Random is not used.
type RemovalJudge struct {
	X       *mat.Dense // [n, d]
	Concept Target
	Others  []Target // of the same rows
	Group   []int    // [n], nil for rows
	Split   Split
	RemovalConfig
}

func (j *RemovalJudge) check() error {
	rows, err := RowsOf(j.X)
	if err != nil {
		return err
	}
	if j.Concept.Task == Regression {
		return fmt.Errorf("probe: removal of %s, a number: %w; give classes", j.Concept.Name, vectors.ErrArgument)
	}
	if err := j.Concept.Check(rows.N, 2); err != nil {
		return err
	}
	if len(j.Split.Train) == 0 || len(j.Split.Test) == 0 || len(j.Methods) == 0 {
		return fmt.Errorf("probe: removal judged on %d rows by %d methods, fitted on %d: %w; each is 1 or more", len(j.Split.Test), len(j.Methods), len(j.Split.Train), vectors.ErrArgument)
	}
	if !(j.C > 0) {
		return fmt.Errorf("probe: removal: c is %v: %w; it is above 0", j.C, vectors.ErrArgument)
	}
	return nil
}

// Stage judges the activations after a remover, nil for none: probes are fitted anew on the training rows and scored on the
// test rows.
func (j *RemovalJudge) Stage(ctx context.Context, name string, r Remover) (RemovalStage, error) {
	s, err := j.stage(ctx, name, r)
	if err != nil {
		return s, fmt.Errorf("probe: removal of %s: stage %s: %w", j.Concept.Name, name, err)
	}
	return s, nil
}

func (j *RemovalJudge) stage(ctx context.Context, name string, r Remover) (RemovalStage, error) {
	s := RemovalStage{Name: name, Rows: len(j.Split.Train)}
	if err := j.check(); err != nil {
		return s, err
	}
	after := j.X
	var err error
	if r != nil {
		if after, err = r.Apply(j.X); err != nil {
			return s, err
		}
	}
	if s.Change, err = vectors.MeasureChange(takeRows(j.X, j.Split.Test), takeRows(after, j.Split.Test)); err != nil {
		return s, err
	}
	if s.LargestWeight, s.LossGain, err = j.exact(ctx, after); err != nil {
		return s, err
	}
	rows, err := RowsOf(after)
	if err != nil {
		return s, err
	}
	for _, m := range j.Methods {
		scores, err := j.probe(ctx, m, rows, []Target{j.Concept})
		if err != nil {
			return s, err
		}
		s.Concept = append(s.Concept, scores...)
	}
	if len(j.Others) > 0 {
		s.Others, err = j.probe(ctx, DefaultMethod(MethodLogistic), rows, j.Others)
	}
	return s, err
}

// probe fits a method to targets on the training rows and measures it on the test rows.
func (j *RemovalJudge) probe(ctx context.Context, m Method, x Rows, targets []Target) ([]RemovalProbe, error) {
	train := make([]Target, len(targets))
	for i, t := range targets {
		train[i] = t.Take(j.Split.Train)
	}
	var trainGroup, testGroup []int
	if j.Group != nil {
		trainGroup, testGroup = pick(j.Group, j.Split.Train), pick(j.Group, j.Split.Test)
	}
	fits, err := m.Fit(ctx, x.Take(j.Split.Train), train, trainGroup, j.Seed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	test := x.Take(j.Split.Test)
	out := make([]RemovalProbe, len(targets))
	for i, t := range targets {
		scores, err := fits[i].Scores(test)
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", m.Name, t.Name, err)
		}
		out[i] = RemovalProbe{Target: t.Name, Method: m.Name}
		if out[i].Metrics, err = Evaluate(ctx, t.Take(j.Split.Test), scores, testGroup, j.Intervals, j.Seed); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// exact fits the linear classifier of the concept on the training rows in float64.
func (j *RemovalJudge) exact(ctx context.Context, x *mat.Dense) (weight, gain float64, err error) {
	rows := takeRows(x, j.Split.Train)
	t := j.Concept.Take(j.Split.Train)
	n := float64(t.Len())
	constant := 0.0
	for _, m := range t.Counts() {
		if m > 0 {
			constant -= float64(m) / n * math.Log(float64(m)/n)
		}
	}
	if t.K() == 2 {
		fit, err := vectors.Logistic(ctx, rows, t.Class, j.C)
		if err != nil {
			return 0, 0, err
		}
		return floats.Norm(fit.Weights, math.Inf(1)), constant - fit.Objective/(j.C*n), nil
	}
	fit, err := vectors.Multinomial(ctx, rows, t.Class, j.C)
	if err != nil {
		return 0, 0, err
	}
	return max(mat.Max(fit.Weights), -mat.Min(fit.Weights)), constant - fit.Objective/(j.C*n), nil
}

func takeRows(x *mat.Dense, index []int) *mat.Dense {
	_, d := x.Dims()
	out := mat.NewDense(len(index), d, nil)
	for i, r := range index {
		out.SetRow(i, x.RawRowView(r))
	}
	return out
}
