package vectors

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// PromptTarget is what a prompt's tokens are held responsible for: the logit of a token after the prompt, less that of another.
type PromptTarget struct {
	Token   int32
	Against int32 // token whose logit is taken away; -1 for none
}

func (t PromptTarget) check(s *model.Spec, ids []int32) error {
	switch {
	case !s.Decoder:
		return fmt.Errorf("vectors: prompt attribution: a %s encoder has no next token: %w; use a decoder", s.Family, ErrArgument)
	case len(ids) < 2:
		return fmt.Errorf("vectors: prompt attribution of %d tokens: %w; give two or more", len(ids), ErrArgument)
	case t.Token < 0 || int(t.Token) >= s.Vocab || t.Against < -1 || int(t.Against) >= s.Vocab || t.Token == t.Against:
		return fmt.Errorf("vectors: prompt attribution of token %d against %d: %w; give two different tokens of %d, or -1 for none", t.Token, t.Against, ErrArgument, s.Vocab)
	}
	return nil
}

// of reads the target from logits [v].
func (t PromptTarget) of(logits []float32) float64 {
	v := float64(logits[t.Token])
	if t.Against >= 0 {
		v -= float64(logits[t.Against])
	}
	return v
}

// PromptScores are what each token of a prompt adds to the target.
type PromptScores struct {
	Scores   []float64 `json:"scores"`   // [t]
	Target   float64   `json:"target"`   // the target's value on the prompt
	Baseline float64   `json:"baseline"` // and on the baseline, where the method has one
	Gap      float64   `json:"gap"`      // |sum of scores - (target - baseline)|, where the method says that it is 0
}

// LeaveOneOut scores each token by how much the target falls when the token is taken out of the prompt (the others move up).
func LeaveOneOut(ctx context.Context, e *model.Engine, m *model.Model, ids []int32, target PromptTarget, batch int) (*PromptScores, error) {
	if err := target.check(m.Spec, ids); err != nil {
		return nil, err
	}
	texts := [][]int32{ids}
	for i := range ids {
		without := append(append([]int32{}, ids[:i]...), ids[i+1:]...)
		texts = append(texts, without)
	}
	logits, err := NextLogits(ctx, e, m, texts, batch, nil)
	if err != nil {
		return nil, err
	}
	out := &PromptScores{Target: target.of(logits[0])}
	for _, row := range logits[1:] {
		out.Scores = append(out.Scores, out.Target-target.of(row))
	}
	return out, nil
}

// IGBaseline is where the path of integrated gradients starts.
type IGBaseline string

// Baselines: the mean row of the embedding matrix at every position; zeros. Where a model's first norm divides by the length of
// the embedding, the path from zero has most of its change at its very start and needs many more points.
const (
	BaselineMean IGBaseline = "mean"
	BaselineZero IGBaseline = "zero"
)

// IGConfig says how the path is sampled.
type IGConfig struct {
	Baseline  IGBaseline `json:"baseline" yaml:"baseline" doc:"where the path starts" enum:"mean,zero"`
	Tolerance float64    `json:"tolerance" yaml:"tolerance" doc:"share of the target's change that all parts of the path may miss together"`
	Points    int        `json:"points" yaml:"points" doc:"most points on the path"`
	Batch     int        `json:"batch" yaml:"batch" doc:"points that run together, one part of the path"`
}

// DefaultIG takes up to 400 points from the mean embedding, for a gap of at most 1 %.
func DefaultIG() IGConfig {
	return IGConfig{Baseline: BaselineMean, Tolerance: 0.01, Points: 400, Batch: 8}
}

// Validate names the field that is out of range.
func (c IGConfig) Validate() error {
	switch {
	case c.Baseline != BaselineMean && c.Baseline != BaselineZero:
		return fmt.Errorf("vectors: integrated gradients: baseline %q: %w; it is %q or %q", c.Baseline, ErrArgument, BaselineMean, BaselineZero)
	case c.Batch < 2 || c.Points < c.Batch || !(c.Tolerance >= 0):
		return fmt.Errorf("vectors: integrated gradients: %d points in batches of %d, tolerance %v: %w; a batch has 2 or more, points are at least a batch, the tolerance is 0 or more", c.Points, c.Batch, c.Tolerance, ErrArgument)
	}
	return nil
}

// readFlat runs a program and hands its outputs to read before they are freed.
func readFlat(ctx context.Context, p *model.Program, m *model.Model, in model.Inputs, read func(out *model.Outputs) error) (err error) {
	out, err := p.Run(ctx, m.Params, in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	return read(out)
}

// siteValues copies a captured site.
func siteValues(out *model.Outputs, s model.Site) ([]float64, error) {
	flat, err := tensors.CopyFlatData[float32](out.Site(s))
	if err != nil {
		return nil, err
	}
	return float64s(flat), nil
}
