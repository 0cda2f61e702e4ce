package circuits

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// graph is the objective of a plan: the losses [b].
func (b *binding) graph(o model.ObjectiveInputs) *Node {
	in := MetricInputs{Constant: func(name string) *Node { return o.Input("constant." + name) }}
	if b.metric.Site == nil {
		in.X = Squeeze(o.Logits, 1) // [b,1,v]
	} else {
		in.X = o.Site(*b.metric.Site)
		if in.X.Rank() == 3 {
			at := o.Input("position")
			in.X = Gather(in.X, Stack([]*Node{Iota(in.X.Graph(), at.Shape(), 0), at}, -1))
		}
	}
	if b.metric.Reference {
		in.Reference = o.Input("reference")
	}
	if b.k > 0 {
		in.Tokens, in.Weights = o.Input("tokens"), o.Input("weights")
	}
	return b.metric.Graph(in)
}

// weighted returns sum_k weight x[token] [b] of x [b,v].
func weighted(x *Node, in MetricInputs) *Node {
	row := Iota(x.Graph(), shapes.Make(dtypes.Int32, in.Tokens.Shape().Dimensions...), 0)
	return ReduceSum(Mul(Gather(x, Stack([]*Node{row, in.Tokens}, -1)), in.Weights), -1)
}

// LogitDiff is minus the difference between the mean logit of the right tokens and that of the wrong ones.
func LogitDiff() Metric {
	return Metric{
		Name:  "logit_diff",
		weigh: func(right, wrong int) (float32, float32) { return 1 / float32(right), -1 / float32(max(wrong, 1)) },
		Graph: func(in MetricInputs) *Node { return Neg(weighted(in.X, in)) },
	}
}

// ProbDiff is minus the difference between the probability of the right tokens and that of the wrong ones, the metric of
// greater-than (Hanna et al., arXiv:2305.00586).
func ProbDiff() Metric {
	return Metric{
		Name:  "prob_diff",
		weigh: func(_, wrong int) (float32, float32) { return 1, -1 },
		Graph: func(in MetricInputs) *Node { return Neg(weighted(Softmax(in.X, -1), in)) },
	}
}

// KL is KL(p || q) in nats, p the next-token distribution on the clean input and q that of the run.
func KL() Metric {
	return Metric{
		Name: "kl", Reference: true,
		Graph: func(in MetricInputs) *Node { return divergence(LogSoftmax(in.Reference, -1), LogSoftmax(in.X, -1)) },
	}
}

// JS is the Jensen-Shannon divergence in nats between the next-token distributions on the clean input and in the run.
func JS() Metric {
	return Metric{
		Name: "js", Reference: true,
		Graph: func(in MetricInputs) *Node {
			p, q := LogSoftmax(in.Reference, -1), LogSoftmax(in.X, -1)
			m := Log(MulScalar(Add(Exp(p), Exp(q)), 0.5))
			return MulScalar(Add(divergence(p, m), divergence(q, m)), 0.5)
		},
	}
}

// divergence is sum_i exp(p_i) (p_i - q_i) over the last axis.
func divergence(p, q *Node) *Node { return ReduceSum(Mul(Exp(p), Sub(p, q)), -1) }

// AccuracyAtK is minus one where fewer than k tokens have a larger logit than the first answer, else zero.
func AccuracyAtK(k int) Metric {
	return Metric{
		Name: fmt.Sprintf("accuracy_at_%d", k), Step: true,
		weigh: func(int, int) (float32, float32) { return 1, 0 },
		Graph: func(in MetricInputs) *Node {
			first := Slice(in.Tokens, AxisRange(), AxisRange(0, 1))
			row := Iota(in.X.Graph(), first.Shape(), 0)
			answer := Gather(in.X, Stack([]*Node{row, first}, -1)) // [b,1]
			above := ConvertDType(GreaterThan(in.X, BroadcastToDims(answer, in.X.Shape().Dimensions...)), dtypes.Float32)
			return Neg(ConvertDType(LessThan(ReduceSum(above, -1), Scalar(in.X.Graph(), dtypes.Float32, float64(k)-0.5)), dtypes.Float32))
		},
	}
}

// ProbeLogit is minus the score w.x + bias of a linear probe of a site at the last real position.
func ProbeLogit(site model.Site, w []float32, bias float32) Metric {
	return Metric{
		Name: "probe:" + site.String(), Site: &site,
		Constants: map[string]*tensors.Tensor{"w": tensors.FromFlatDataAndDimensions(w, len(w)), "bias": tensors.FromScalar(bias)},
		Graph: func(in MetricInputs) *Node {
			return Neg(Add(ReduceSum(Mul(in.X, ExpandAxes(in.Constant("w"), 0)), -1), in.Constant("bias")))
		},
	}
}

// Cosine is one minus the cosine between a site's vector in the run and on the clean input: for encoders, with
// model.Sentence, the change of the embedding.
func Cosine(site model.Site) Metric {
	return Metric{
		Name: "cosine:" + site.String(), Site: &site, Reference: true,
		Graph: func(in MetricInputs) *Node {
			size := func(x *Node) *Node { return Sqrt(ReduceSum(Square(x), -1)) }
			dot := ReduceSum(Mul(in.X, in.Reference), -1)
			return OneMinus(Div(dot, MaxScalar(Mul(size(in.X), size(in.Reference)), 1e-12)))
		},
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
