package circuits

import (
	"fmt"
	"maps"
	"math"
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
	if b.metric.Reference || b.metric.choice > 0 {
		in.Reference = o.Input("reference")
	}
	if b.k > 0 {
		in.Tokens, in.Weights = o.Input("tokens"), o.Input("weights")
	}
	if b.metric.choice > 0 {
		return chosen(in, o.Input("choice"))
	}
	return b.metric.Graph(in)
}

// weighted returns sum_k weight x[token] [b] of x [b,v].
func weighted(x *Node, in MetricInputs) *Node {
	row := Iota(x.Graph(), shapes.Make(dtypes.Int32, in.Tokens.Shape().Dimensions...), 0)
	return ReduceSum(Mul(Gather(x, Stack([]*Node{row, in.Tokens}, -1)), in.Weights), -1)
}

// logitLosses are the differentiable losses of next-token logits. One program computes them all and a run-time tensor picks one,
// so that changing the metric compiles nothing.
var logitLosses = []func(in MetricInputs) *Node{
	func(in MetricInputs) *Node { return Neg(weighted(in.X, in)) },
	func(in MetricInputs) *Node { return Neg(weighted(Softmax(in.X, -1), in)) },
	func(in MetricInputs) *Node { return divergence(LogSoftmax(in.Reference, -1), LogSoftmax(in.X, -1)) },
	func(in MetricInputs) *Node {
		p, q := LogSoftmax(in.Reference, -1), LogSoftmax(in.X, -1)
		mid := AddScalar(Add(Max(p, q), Log1P(Exp(Neg(Abs(Sub(p, q)))))), -math.Ln2)
		return MulScalar(Add(divergence(p, mid), divergence(q, mid)), 0.5)
	},
}

// chosen returns the loss of logitLosses that choice [n] names.
func chosen(in MetricInputs, choice *Node) *Node {
	var out *Node
	for i, loss := range logitLosses {
		x := loss(in)
		picked := GreaterThan(Reshape(Slice(choice, AxisElem(i))), ScalarZero(x.Graph(), dtypes.Float32))
		x = Where(BroadcastToDims(picked, x.Shape().Dimensions...), x, ZerosLike(x))
		if out == nil {
			out = x
		} else {
			out = Add(out, x)
		}
	}
	return out
}

// LogitDiff is minus the difference between the mean logit of the right tokens and that of the wrong ones.
func LogitDiff() Metric {
	return Metric{
		Name: "logit_diff", choice: 1,
		weigh: func(right, wrong int) (float32, float32) { return 1 / float32(right), -1 / float32(max(wrong, 1)) },
	}
}

// ProbDiff is minus the difference between the probability of the right tokens and that of the wrong ones, the metric of
// greater-than (Hanna et al., arXiv:2305.00586).
func ProbDiff() Metric {
	return Metric{Name: "prob_diff", choice: 2, weigh: func(int, int) (float32, float32) { return 1, -1 }}
}

// KL is KL(p || q) in nats, p the next-token distribution on the clean input and q that of the run.
func KL() Metric { return Metric{Name: "kl", choice: 3, Reference: true} }

// JS is the Jensen-Shannon divergence in nats between the next-token distributions on the clean input and in the run.
func JS() Metric { return Metric{Name: "js", choice: 4, Reference: true} }

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
