package tracing

import (
	"errors"
	"math"
)

// Influence is how much of the logits' probability goes back to each node, over paths of any length: w (N + N^2 + ...), with N the sizes of the
// adjacency, each row divided by its sum, and w the logits' probabilities. A logit's own is 0.
type Influence struct {
	Values      []float64 // [n]
	Replacement float64   // tokens' share of what tokens and errors have
	// Completeness is the share of the targets' input that is not error, weighted by the targets' influence.
	Completeness float64
	Normalised   []float64 // [r, c]: N
}

// Influence computes it.
func (g *Graph) Influence() (*Influence, error) {
	normalised := make([]float64, len(g.A))
	copy(normalised, g.A)
	normaliseRows(normalised, g.Columns())
	return g.influence(normalised)
}

func (g *Graph) influence(normalised []float64) (*Influence, error) {
	node, weight := make([]int, g.Rows()), make([]float64, g.Rows())
	for r := range node {
		node[r] = g.Node(r)
		if r >= len(g.Features) {
			weight[r] = g.Logits[r-len(g.Features)].Probability
		}
	}
	values, err := influence(normalised, node, g.Columns(), weight)
	if err != nil {
		return nil, err
	}
	f, e, c := len(g.Features), len(g.Errors), g.Columns()
	out := &Influence{Values: append(values, make([]float64, len(g.Logits))...), Normalised: normalised}
	token, lost := sum(values[f+e:]), sum(values[f:f+e])
	out.Replacement = token / (token + lost)
	// Errors and tokens have no input of their own, so that nothing of it is error.
	total := token + lost
	kept := total
	for r := range node {
		at := out.Values[node[r]] + weight[r]
		total += at
		kept += at * (1 - sum(normalised[r*c+f:r*c+f+e]))
	}
	out.Completeness = kept / total
	return out, nil
}

// influence is w (N + N^2 + ...) over columns, of rows n [r, columns] whose nodes are columns or, from columns on, none.
func influence(n []float64, node []int, columns int, weight []float64) ([]float64, error) {
	total, current := make([]float64, columns), append([]float64(nil), weight...)
	next := make([]float64, columns)
	for range len(node) + 1 {
		clear(next)
		for r, w := range current {
			if w != 0 {
				axpy(w, n[r*columns:(r+1)*columns], next)
			}
		}
		any := false
		for i, v := range next {
			total[i] += v
			any = any || v != 0
		}
		if !any {
			return total, nil
		}
		for r := range current {
			current[r] = 0
			if node[r] < columns {
				current[r] = next[node[r]]
			}
		}
	}
	return nil, errors.New("tracing: the graph has a cycle, so that influence has no end; is a target its own source?")
}

// normaliseRows divides the sizes of each row by their sum (1e-10 where it is smaller, as circuit-tracer does).
func normaliseRows(a []float64, columns int) {
	for i := 0; i < len(a); i += columns {
		row, s := a[i:i+columns], 0.0
		for j, v := range row {
			row[j] = math.Abs(v)
			s += row[j]
		}
		s = max(s, 1e-10)
		for j := range row {
			row[j] /= s
		}
	}
}

func sum(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s
}
