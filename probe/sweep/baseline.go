package sweep

import (
	"context"
	"errors"

	"loupe/probe"
	"loupe/vectors"
)

// The baselines.
const (
	Words  = "bag of words"
	Tokens = "bag of tokens"
	Length = "length"
)

// Baseline is what the configured method reads from something simpler than activations, on the same split.
type Baseline struct {
	Kind   string        `json:"kind"`
	Target string        `json:"target"`
	Score  probe.Metrics `json:"score"`
	Figure float64       `json:"figure"`
	Words  int           `json:"words"` // of the bag
}

// bagLimit is the largest bag.
const bagLimit = 4096

// baselines fits the batch's targets to a bag of words and to the length. A method for tokens falls back on the logistic
// probe; one for pairs has no baseline, since both sides have the same words but one.
func (c *Config) baselines(ctx context.Context, b *batch) ([]Baseline, error) {
	if c.Method.Name == probe.MethodCCS {
		return nil, nil
	}
	own := *c
	if c.Method.Name == probe.MethodAttention {
		own.Method = probe.DefaultMethod(probe.MethodLogistic)
	}
	var out []Baseline
	if c.Controls.Words {
		kind, x, err := b.bag()
		if err != nil {
			return nil, err
		}
		rows, err := own.baseline(ctx, b, kind, x)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	if c.Controls.Length {
		if own.Method.Name == probe.MethodKSparse || own.Method.Name == probe.MethodElasticNet || own.Method.Name == probe.MethodQuadratic {
			own.Method.Name = probe.MethodLogistic // one column leaves nothing to choose
		}
		rows, err := own.baseline(ctx, b, Length, probe.Lengths(b.lengths))
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

func (b *batch) bag() (string, probe.Rows, error) {
	if b.words != nil {
		x, _, err := probe.BagOfWords(b.words, b.split.Train, bagLimit)
		return Words, x, err
	}
	x, _, err := probe.BagOfTokens(b.tokens, b.split.Train, bagLimit)
	return Tokens, x, err
}

func (c *Config) baseline(ctx context.Context, b *batch, kind string, x probe.Rows) ([]Baseline, error) {
	targets := make([]probe.Target, len(b.targets))
	for i, t := range b.targets {
		targets[i] = t.Take(b.split.Train)
	}
	var out []Baseline
	fits, err := c.fit(ctx, inputs{rows: x.Take(b.split.Train)}, targets, pick(b.group, b.split.Train))
	for i, t := range b.targets {
		row := Baseline{Kind: kind, Target: t.Name}
		test := t.Take(b.split.Test)
		scores := make([]float64, test.Len()*test.Outputs()) // where the feature does not vary: nothing is read
		if err == nil {
			var scoreErr error
			if scores, scoreErr = fits[i].scores(inputs{rows: x.Take(b.split.Test)}); scoreErr != nil {
				return nil, scoreErr
			}
		} else if !isConstant(err) {
			return nil, err
		}
		m, err := probe.Evaluate(ctx, test, scores, pick(b.group, b.split.Test), c.Intervals, c.Seed)
		if err != nil {
			return nil, err
		}
		row.Score, row.Figure = m, figure(t.Task, m)
		if kind != Length {
			row.Words = x.D
		}
		out = append(out, row)
	}
	return out, nil
}

// isConstant tells whether a fit failed because nothing varies, as lengths may not.
func isConstant(err error) bool { return errors.Is(err, vectors.ErrSingular) }
