package vectors

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// HeadPattern describes where a head looks in one text, as means over the queries for which the number exists. Same and Induction
// exist for queries whose token has occurred before; without one they are 0 and their count says so.
type HeadPattern struct {
	Layer    int     `json:"layer"`
	Head     int     `json:"head"`
	Entropy  float64 `json:"entropy"`  // nats, of a query's weights
	Distance float64 `json:"distance"` // tokens from query to key, |t - s| weighted
	Self     float64 `json:"self"`     // weight on the query's own token
	Previous float64 `json:"previous"` // weight on the token before, queries from the second on
	First    float64 `json:"first"`    // weight on the first token, queries from the second on
	Same     float64 `json:"same"`     // weight on earlier occurrences of the query's token
	// Induction is the weight on the tokens that followed earlier occurrences of the query's token, before the query itself:
	// an induction head's sign.
	Induction  float64 `json:"induction"`
	SameN      int     `json:"same_n"`      // queries whose token occurred before
	InductionN int     `json:"induction_n"` // queries whose token occurred before the previous position
}

// rowSumTolerance is how far the weights of a query may sum from 1: a float32 softmax.
const rowSumTolerance = 1e-4

// DescribePattern describes a head's pattern [t, t] over a text of t tokens, queries by keys. Rows must sum to 1 and weights lie
// in [0, 1]; anything else is not a pattern and an error.
func DescribePattern(pattern *mat.Dense, ids []int32) (HeadPattern, error) {
	n, keys, err := checkRows("pattern", pattern)
	if err != nil {
		return HeadPattern{}, err
	}
	if n != keys || n != len(ids) {
		return HeadPattern{}, fmt.Errorf("vectors: pattern [%d, %d] over %d tokens: %w", n, keys, len(ids), ErrShape)
	}
	var h HeadPattern
	for q := range n {
		row := pattern.RawRowView(q)
		sum, same, induction := 0.0, 0.0, 0.0
		hasSame, hasInduction := false, false
		for k, w := range row {
			if w < 0 || w > 1+rowSumTolerance {
				return HeadPattern{}, fmt.Errorf("vectors: pattern[%d, %d] is %v: %w; weights lie between 0 and 1", q, k, w, ErrArgument)
			}
			sum += w
			if w > 0 {
				h.Entropy -= w * math.Log(w)
			}
			h.Distance += w * math.Abs(float64(q-k))
			if k < q && ids[k] == ids[q] {
				same += w
				hasSame = true
			}
			if k >= 1 && k < q && ids[k-1] == ids[q] {
				induction += w
				hasInduction = true
			}
		}
		if math.Abs(sum-1) > rowSumTolerance {
			return HeadPattern{}, fmt.Errorf("vectors: weights of query %d sum to %v, not 1: %w; is the text padded?", q, sum, ErrArgument)
		}
		h.Self += row[q]
		if q > 0 {
			h.Previous += row[q-1]
			h.First += row[0]
		}
		if hasSame {
			h.Same += same
			h.SameN++
		}
		if hasInduction {
			h.Induction += induction
			h.InductionN++
		}
	}
	share := func(x *float64, n int) {
		if n > 0 {
			*x /= float64(n)
		}
	}
	share(&h.Entropy, n)
	share(&h.Distance, n)
	share(&h.Self, n)
	share(&h.Previous, n-1)
	share(&h.First, n-1)
	share(&h.Same, h.SameN)
	share(&h.Induction, h.InductionN)
	return h, nil
}

// AttentionTable describes every head of some layers (nil: all) on a text, in order of layers and heads.
func AttentionTable(ctx context.Context, e *model.Engine, m *model.Model, ids []int32, layers []int) (table []HeadPattern, err error) {
	if layers == nil {
		for l := range m.Spec.Layers {
			layers = append(layers, l)
		}
	}
	plan := model.Plan{Batch: 1, Seq: len(ids)}
	for _, l := range layers {
		plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.Pattern, Layer: l}})
		plan.To = max(plan.To, l+1)
	}
	p, err := e.Compile(m.Spec, plan)
	if err != nil {
		return nil, fmt.Errorf("vectors: attention table: %w", err)
	}
	out, err := p.Run(ctx, m.Params, model.Inputs{IDs: ids})
	if err != nil {
		return nil, fmt.Errorf("vectors: attention table: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	n := len(ids)
	for i, l := range layers {
		flat, err := tensors.CopyFlatData[float32](out.Capture(plan.Captures[i]))
		if err != nil {
			return nil, fmt.Errorf("vectors: attention table: %w", err)
		}
		for h := range m.Spec.Heads {
			row, err := DescribePattern(mat.NewDense(n, n, float64s(flat[h*n*n:(h+1)*n*n])), ids)
			if err != nil {
				return nil, fmt.Errorf("layer %d, head %d: %w", l, h, err)
			}
			row.Layer, row.Head = l, h
			table = append(table, row)
		}
	}
	return table, nil
}
