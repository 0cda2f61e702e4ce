package tracing

import (
	"math"
)

// Feature is an active feature.
type Feature struct {
	Layer, Position, Index int
	Activation             float64
	Pre                    float64 // its pre-activation, which is what its row explains
}

// Error is what a dictionary leaves of a site at one position.
type Error struct{ Layer, Position int }

// Logit is a token that the model may say next.
type Logit struct {
	Token       int32
	Logit       float64 // less the mean over the vocabulary
	Probability float64
}

// Graph is an attribution graph.
type Graph struct {
	Layers   int // of the model
	Tokens   []int32
	Features []Feature // by (layer, position, index)
	Errors   []Error   // by (layer, position)
	Logits   []Logit   // most probable first

	// A [r, c] is what each source adds to each target: rows are features then logits, columns features, errors and tokens.
	A []float64
	// Bias [r] is what biases and positions add, Target [r] the pre-activation or logit that a row's sum and bias make.
	Bias, Target []float64
	// Active counts the features that are active: more than len(Features) where Config.MaxFeatures left some out.
	Active int
}

// Rows is the number of targets, Columns that of sources, Nodes that of all nodes.
func (g *Graph) Rows() int    { return len(g.Features) + len(g.Logits) }
func (g *Graph) Columns() int { return len(g.Features) + len(g.Errors) + len(g.Tokens) }
func (g *Graph) Nodes() int   { return g.Columns() + len(g.Logits) }

// Row returns the sources' effects on target r. The caller must not change it.
func (g *Graph) Row(r int) []float64 {
	c := g.Columns()
	return g.A[r*c : (r+1)*c]
}

// Node is the node of row r.
func (g *Graph) Node(r int) int {
	if r < len(g.Features) {
		return r
	}
	return g.Columns() + r - len(g.Features)
}

// Adjacency is the whole matrix [n, n], target by source, with the rows of errors and tokens, and the columns of logits, empty.
func (g *Graph) Adjacency() []float64 {
	n := g.Nodes()
	out := make([]float64, n*n)
	for r := range g.Rows() {
		copy(out[g.Node(r)*n:], g.Row(r))
	}
	return out
}

// Gap is the largest difference between a row's sum with its bias and its target, over 1 + |target|: how far the graph is from saying
// all. It is rounding unless features were left out.
func (g *Graph) Gap() float64 {
	worst := 0.0
	for r := range g.Rows() {
		sum := g.Bias[r]
		for _, v := range g.Row(r) {
			sum += v
		}
		worst = max(worst, math.Abs(sum-g.Target[r])/(1+math.Abs(g.Target[r])))
	}
	return worst
}
