package probe

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/vectors"
)

// SparseConfig says how k-sparse probes choose their columns.
type SparseConfig struct {
	K      int    `json:"k" doc:"number of columns"`
	Select string `json:"select" enum:"mean-difference,elastic-net" doc:"columns whose class means differ most in standard deviations, or the first that the elastic net lets in"`
}

// DefaultSparse is Gurnee's choice of columns.
func DefaultSparse() SparseConfig { return SparseConfig{K: 16, Select: "mean-difference"} }

// Validate names the field that is out of range.
func (c SparseConfig) Validate() error {
	switch {
	case c.K < 1:
		return fmt.Errorf("probe: k-sparse: k is %d: %w; it is 1 or more", c.K, vectors.ErrArgument)
	case c.Select != "mean-difference" && c.Select != "elastic-net":
		return fmt.Errorf("probe: k-sparse: select is %q: %w; use mean-difference or elastic-net", c.Select, vectors.ErrArgument)
	}
	return nil
}

// KSparse is a logistic probe of a concept on k columns (Gurnee et al., arXiv:2305.01610). It returns the columns,
// ascending.
func KSparse(ctx context.Context, x Rows, t Target, cfg SparseConfig, logistic LogisticConfig, net ElasticNetConfig) (Linear, []int, error) {
	if err := cfg.Validate(); err != nil {
		return Linear{}, nil, err
	}
	rows, err := classRows(x, t, 1)
	if err != nil {
		return Linear{}, nil, fmt.Errorf("probe: k-sparse: %w", err)
	}
	if t.Task != Binary {
		return Linear{}, nil, fmt.Errorf("probe: k-sparse: target %s is %s: %w; it needs a binary one", t.Name, t.Task, vectors.ErrArgument)
	}
	_, deviation := x.spread(rows)
	var order []int
	if cfg.Select == "elastic-net" {
		net.MaxNonzero = cfg.K
		path, err := ElasticNet(ctx, x, t, net)
		if err != nil {
			return Linear{}, nil, err
		}
		order = byEntry(path, deviation)
	} else {
		order = byMeanDifference(x, t, rows, deviation)
	}
	if len(order) == 0 {
		return Linear{}, nil, constantError(t.Name)
	}
	columns := slices.Sorted(slices.Values(order[:min(cfg.K, len(order))]))
	fit, err := Logistic(ctx, x.Columns(columns), []Target{t}, logistic)
	if err != nil {
		return Linear{}, nil, err
	}
	wide := Linear{D: x.D, Weights: make([]float64, x.D), Bias: fit[0].Bias, Objective: fit[0].Objective, Evaluations: fit[0].Evaluations}
	for i, c := range columns {
		wide.Weights[c] = fit[0].Weights[i]
	}
	return wide, columns, nil
}

// byMeanDifference orders the columns that vary by falling difference of class means over the standard deviation.
func byMeanDifference(x Rows, t Target, rows []int, deviation []float64) []int {
	counts := t.Counts()
	gap := make([]float64, x.D)
	for _, i := range rows {
		share := 1 / float64(counts[t.Class[i]])
		if t.Class[i] == 0 {
			share = -share
		}
		for j, v := range x.Row(i) {
			gap[j] += share * float64(v)
		}
	}
	var order []int
	for j, s := range deviation {
		if s > 0 {
			gap[j] = math.Abs(gap[j]) / s
			order = append(order, j)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gap[b], gap[a]) })
	return order
}

// byEntry orders the columns of a path by the point at which they enter, those of one point by falling weight of
// the scaled column.
func byEntry(path []PathPoint, deviation []float64) []int {
	var order []int
	for _, p := range path {
		var entering []int
		for _, j := range p.Support {
			if !slices.Contains(order, j) {
				entering = append(entering, j)
			}
		}
		size := func(j int) float64 { return math.Abs(p.Weights[j]) * deviation[j] }
		slices.SortStableFunc(entering, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
		order = append(order, entering...)
	}
	return order
}
