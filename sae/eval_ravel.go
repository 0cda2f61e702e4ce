package sae

import (
	"context"
	"fmt"
	"math/rand/v2"

	"loupe/internal/stats"
)

// RavelConfig says how interchange masks are learned.
type RavelConfig struct {
	Epochs int     `json:"epochs" yaml:"epochs"` // passes over the training pairs
	Pairs  int     `json:"pairs" yaml:"pairs"`   // pairs of rows a attribute, half for training
	Batch  int     `json:"batch" yaml:"batch"`
	LR     float64 `json:"lr" yaml:"lr"`       // Adam
	Start  float64 `json:"start" yaml:"start"` // temperature of the mask, falling geometrically
	End    float64 `json:"end" yaml:"end"`
	Level  float64 `json:"level" yaml:"level"` // of the intervals
}

// DefaultRavelConfig returns SAEBench's learning rate and epochs; the temperatures are ours, so that a mask can cross over
// within a few dozen steps.
func DefaultRavelConfig() RavelConfig {
	return RavelConfig{Epochs: 2, Pairs: 1024, Batch: 16, LR: 1e-3, Start: 1e-2, End: 1e-3, Level: 0.95}
}

// Validate names the field that is out of range.
func (c RavelConfig) Validate() error {
	switch {
	case c.Epochs < 1 || c.Pairs < 4 || c.Batch < 1:
		return fmt.Errorf("sae: ravel: epochs %d, pairs %d, batch %d: give 1, 4 and 1 or more", c.Epochs, c.Pairs, c.Batch)
	case !(c.LR > 0) || !(c.End > 0) || !(c.Start >= c.End):
		return fmt.Errorf("sae: ravel: lr %v, temperature from %v to %v: give positive values, falling", c.LR, c.Start, c.End)
	case !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("sae: ravel: level is %v; it must lie between 0 and 1", c.Level)
	}
	return nil
}

// AttributeReader reads an attribute's value off activations: a model that goes on from them, or a probe. x is [n, d]; base is
// [n], the rows of the data whose place the activations take; want is [n], the values whose mean negative log likelihood is
// differentiated. It returns the values read, [n], and the gradient with respect to x, [n, d].
type AttributeReader interface {
	Read(ctx context.Context, x []float32, base []int, attribute int, want []int) (read []int, grad []float32, err error)
}

// RavelData are activations of entities with attributes.
type RavelData struct {
	X       []float32 // [n, d]
	Latents *Sparse   // [n, F], the latents of X
	Decoder []float32 // [F, d]
	Value   [][]int   // [attributes][n]
}

// RavelScore is disentanglement for one attribute.
type RavelScore struct {
	Attribute   int            `json:"attribute"`
	Latents     []int32        `json:"latents"`     // those that are interchanged
	Cause       stats.Interval `json:"cause"`       // the attribute takes the source's value
	Isolation   stats.Interval `json:"isolation"`   // the other attributes keep the base's
	Disentangle float64        `json:"disentangle"` // mean of the two
}

// Ravel asks whether latents hold attributes apart (Huang et al., RAVEL, arXiv:2402.17700; SAEBench). For each attribute a
// mask over latents is learned on half of the pairs and judged on the others with values rounded to 0 and 1:
//
//	x' = x_base + sum_i m_i (f_i(source) - f_i(base)) W_i,   m = sigmoid(l / T)
//
// The reconstruction error of the base stays. Base and source differ in the attribute for cause, and in the other attribute
// for isolation; the loss is the sum of both. Only rows of which the reader reads every attribute rightly take part.
func Ravel(ctx context.Context, data RavelData, reader AttributeReader, rng *rand.Rand, cfg RavelConfig) ([]RavelScore, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := data.check(); err != nil {
		return nil, err
	}
	known, err := data.known(ctx, reader)
	if err != nil {
		return nil, err
	}
	var out []RavelScore
	for a := range data.Value {
		pairs, err := data.pairs(known, a, cfg.Pairs, rng)
		if err != nil {
			return nil, err
		}
		half := len(pairs) / 2
		mask, err := data.learn(ctx, reader, pairs[:half], rng, cfg)
		if err != nil {
			return nil, fmt.Errorf("sae: ravel: attribute %d: %w", a, err)
		}
		score, err := data.judge(ctx, reader, pairs[half:], mask, a, cfg.Level)
		if err != nil {
			return nil, fmt.Errorf("sae: ravel: attribute %d: %w", a, err)
		}
		out = append(out, score)
	}
	return out, nil
}

func (r RavelData) width() int { return len(r.Decoder) / max(r.Latents.Cols, 1) }

func (r RavelData) check() error {
	if r.Latents == nil || r.Latents.Rows() == 0 || len(r.Decoder)%r.Latents.Cols != 0 || len(r.X) != r.Latents.Rows()*r.width() {
		return fmt.Errorf("sae: ravel: %d activations and %d decoder values do not fit the latents", len(r.X), len(r.Decoder))
	}
	if len(r.Value) < 2 {
		return fmt.Errorf("sae: ravel: %d attributes; isolation needs two or more", len(r.Value))
	}
	for a, v := range r.Value {
		if len(v) != r.Latents.Rows() {
			return fmt.Errorf("sae: ravel: attribute %d has %d values for %d rows", a, len(v), r.Latents.Rows())
		}
	}
	return nil
}

// known lists the rows whose attributes are all read rightly.
func (r RavelData) known(ctx context.Context, reader AttributeReader) ([]int, error) {
	right, all := make([]bool, r.Latents.Rows()), make([]int, r.Latents.Rows())
	for i := range right {
		right[i], all[i] = true, i
	}
	for a, want := range r.Value {
		read, _, err := reader.Read(ctx, r.X, all, a, want)
		if err != nil {
			return nil, fmt.Errorf("sae: ravel: read attribute %d: %w", a, err)
		}
		for i := range right {
			right[i] = right[i] && read[i] == want[i]
		}
	}
	var rows []int
	for i, ok := range right {
		if ok {
			rows = append(rows, i)
		}
	}
	if len(rows) < 2 {
		return nil, fmt.Errorf("sae: ravel: of %d rows the reader reads %d rightly: %w", len(right), len(rows), stats.ErrTooFew)
	}
	return rows, nil
}
