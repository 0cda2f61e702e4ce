package model

import (
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// Objective is a scalar of the forward pass to differentiate. Name identifies it in the plan's digest together with
// its inputs: two objectives with one name must build one graph.
type Objective struct {
	Name   string
	Inputs []Input
	// Rows: Graph returns one value per batch row [b] instead of a scalar; gradients are of their sum.
	Rows  bool
	Graph func(o ObjectiveInputs) *Node `json:"-"`
}

// ObjectiveInputs is what an objective sees. Logits is nil when the plan asks for none.
type ObjectiveInputs struct {
	Logits *Node // [b,p,v] or [b,t,v]
	Mask   *Node // [b,t] bool, real tokens
	Site   func(Site) *Node
	Input  func(name string) *Node
	Param  func(name string) *Node // a parameter, in float32
}

// TokenLogits is the objective sum over rows, gathered positions and k candidates of weight x logit(token): a logit
// difference is the weights +1 and -1. Inputs: "tokens" int32 [b,p,k] and "weights" float32 [b,p,k]. The plan must
// use LogitsAt with positions p.
func TokenLogits(batch, positions, candidates int) *Objective {
	dims := []int{batch, positions, candidates}
	return &Objective{
		Name:   "token_logits",
		Inputs: []Input{{"tokens", dtypes.Int32, dims}, {"weights", dtypes.Float32, dims}},
		Graph: func(o ObjectiveInputs) *Node {
			g := o.Logits.Graph()
			rowOf := Iota(g, shapeOf(dtypes.Int32, dims...), 0)
			posOf := Iota(g, shapeOf(dtypes.Int32, dims...), 1)
			at := Stack([]*Node{rowOf, posOf, o.Input("tokens")}, -1) // [b,p,k,3]
			return ReduceAllSum(Mul(Gather(o.Logits, at), o.Input("weights")))
		},
	}
}

// SiteDot is the objective sum(weights * site), with input "weights" of the site's shape.
func SiteDot(s *Spec, site Site, batch, seq int) *Objective {
	return &Objective{
		Name:   "dot:" + site.String(),
		Inputs: []Input{{"weights", dtypes.Float32, s.Dims(site.Kind, batch, seq)}},
		Graph:  func(o ObjectiveInputs) *Node { return ReduceAllSum(Mul(o.Site(site), o.Input("weights"))) },
	}
}
