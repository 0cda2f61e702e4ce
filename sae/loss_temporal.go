package sae

// Letters of the shapes: s sequences, t tokens of each, b = s*t rows, d width, f latents, g dimensions of queries and keys,
// h heads, e dimensions of a head.

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// temporalLoss is the squared error of a temporal SAE (arXiv:2511.01836) and, for [NovelReLU], coef * mean over rows of the sum
// of the novel latents. See [Temporal] and temporalGraph.
func temporalLoss(in lossInput) lossOutput {
	f := newForward(in)
	cfg := in.cfg
	novel, predicted := temporalGraph(cfg.Temporal, in.w, f.xc) // [b, f], [b, f]
	if cfg.Temporal.Novel == NovelTopK {
		novel = Where(topKMaskGraph(novel, cfg.K), novel, ZerosLike(novel))
	}
	e := f.decode(Add(novel, predicted))
	out := lossOutput{main: squared(in, e), e: e, fired: firedGraph(novel)}
	if cfg.Temporal.Novel == NovelReLU {
		out.sparsity = Mul(in.coef, ReduceAllMean(ReduceSum(novel, 1)))
	}
	return out
}

// temporalGraph splits what latents make of centred rows xc [b, d], whole sequences one after the other. predicted [b, f] is
// what attention over earlier tokens foresees, layer by layer:
//
//	z = relu(r W_enc / (4 d))
//	p = relu(W_o attend(W_q z, W_k z', W_v z')),  z' the codes of the token before, so that a token does not see itself
//	s = (p W_dec . r) / (|p W_dec| + 1e-6)^2
//	predicted += s p,  r -= s p W_dec
//
// and novel [b, f] are the codes of what is left, relu(r W_enc / (4 d)), before a selection. r starts as xc. The encoder is
// w's or the transposed decoder, both [f, d].
func temporalGraph(cfg TemporalConfig, w weightNodes, xc *Node) (novel, predicted *Node) {
	rows, d := xc.Shape().Dimensions[0], xc.Shape().Dimensions[1]
	dec, enc := w.dec(), w.dec()
	if cfg.Untied {
		enc = w.enc()
	}
	f := dec.Shape().Dimensions[0]
	r := Reshape(xc, rows/cfg.Context, cfg.Context, d) // [s, t, d]
	codes := func() *Node {
		return MaxScalar(MulScalar(Einsum("std,fd->stf", r, enc), 1/float64(4*d)), 0)
	}
	for i := range cfg.Layers {
		z := codes()
		past := Slice(z, AxisRange(), AxisRange(0, cfg.Context-1))
		past = Concatenate([]*Node{ZerosLike(Slice(z, AxisRange(), AxisRange(0, 1))), past}, 1) // [s, t, f]
		p := temporalAttention(cfg, w, i, z, past)
		along := Einsum("stf,fd->std", p, dec)
		size := AddScalar(rootGraph(ReduceAndKeep(Square(along), ReduceSum, 2)), 1e-6)
		scale := Div(ReduceAndKeep(Mul(along, r), ReduceSum, 2), Square(size)) // [s, t, 1]
		predicted = addTo(predicted, Mul(scale, p))
		r = Sub(r, Mul(scale, along))
	}
	return Reshape(codes(), rows, f), Reshape(predicted, rows, f)
}

// temporalAttention is relu(W_o attention), [s, t, f], of queries from z and keys and values from past, both [s, t, f].
func temporalAttention(cfg TemporalConfig, w weightNodes, layer int, z, past *Node) *Node {
	linear := func(x *Node, part string) *Node {
		name := temporalName(layer, part)
		return Add(Einsum("sti,oi->sto", x, w[name+".weight"]), ExpandAxes(w[name+".bias"], 0, 1))
	}
	heads := func(x *Node) *Node { // [s, t, h, e]
		dims := x.Shape().Dimensions
		return Reshape(x, dims[0], dims[1], cfg.Heads, dims[2]/cfg.Heads)
	}
	q, k, v := heads(linear(z, "q_target")), heads(linear(past, "k_ctx")), heads(linear(past, "v_ctx"))
	scores := Einsum("sqhe,skhe->shqk", q, k)
	scores = MulScalar(scores, 1/math.Sqrt(float64(q.Shape().Dimensions[3])))
	at := func(axis int) *Node {
		return Iota(z.Graph(), shapes.Make(dtypes.Int32, scores.Shape().Dimensions...), axis)
	}
	later := GreaterThan(at(3), at(2))
	scores = Where(later, Const(z.Graph(), float32(-1e30)), scores)
	out := Einsum("shqk,skhe->sqhe", Softmax(scores, -1), v)
	return MaxScalar(linear(Reshape(out, z.Shape().Dimensions...), "c_proj"), 0)
}

// temporalName is the name of a part of an attention layer in SAELens's files.
func temporalName(layer int, part string) string {
	return fmt.Sprintf("attn_layers.%d.%s", layer, part)
}

// temporalLayout lists the tensors of a temporal SAE. Weights of attention are [out, in].
func temporalLayout(cfg Config) []weightInfo {
	f, d := cfg.DSAE, cfg.DIn
	var out []weightInfo
	if cfg.Temporal.Untied {
		out = append(out, weightInfo{"W_enc", []int{f, d}})
	}
	out = append(out, weightInfo{"W_dec", []int{f, d}}, weightInfo{"b_dec", []int{d}})
	for i := range cfg.Temporal.Layers {
		for _, part := range temporalParts(f, cfg.Temporal.Bottleneck) {
			name := temporalName(i, part.name)
			out = append(out, weightInfo{name + ".weight", []int{part.out, f}}, weightInfo{name + ".bias", []int{part.out}})
		}
	}
	return out
}

// temporalPart is a linear map of an attention layer, from latents.
type temporalPart struct {
	name string
	out  int
}

func temporalParts(f, bottleneck int) []temporalPart {
	return []temporalPart{{"k_ctx", f / bottleneck}, {"q_target", f / bottleneck}, {"v_ctx", f}, {"c_proj", f}}
}
