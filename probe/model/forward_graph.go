package model

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// forward builds one forward pass. Shapes use the package's legend.
type forward struct {
	g      *Graph
	spec   *Spec
	plan   *Plan
	params map[string]*Node
	edits  []map[string]*Node // run-time tensors of each edit
	taps   map[Site]*Node     // values of sites after their edits
	wanted map[Site]bool      // sites whose value something needs
	cache  *cacheNodes        // nil but in a decoding step
	edges  *edgePass          // nil but with an edge mask
	one    *oneReceiver       // nil but where one receiver of the first block is moved

	ids       *Node // [b,t] int32; nil with embeddings as input
	mask      *Node // [b,t] bool: real tokens
	positions *Node // [b,t] int32
	types     *Node // [b,t] int32; nil without token types
	pool      *Node // [b] int32: the pooled position
	input     *Node // [b,t,d]: embeddings or a residual stream, for plans that start from one

	biases map[int]*Node // attention masks as additive biases by window
	rel    *Node         // [1,h,t,s] relative bias
	angles []ropeAngles  // per rotary embedding of the Spec
}

// param returns a parameter in the computing type.
func (f *forward) param(name string) *Node {
	p, ok := f.params[name]
	if !ok {
		exceptions.Panicf("model: no parameter %q", name)
	}
	if p.DType() != floatType {
		return ConvertDType(p, floatType)
	}
	return p
}

// site applies the edits of a site to its value and remembers it.
func (f *forward) site(k Kind, layer int, x *Node) *Node {
	s := Site{k, layer}
	x = f.applyEdits(s, x)
	f.taps[s] = x
	return x
}

// needs tells whether a capture, gradient, gate or edit refers to the site, for sites that cost extra work.
func (f *forward) needs(k Kind, layer int) bool {
	s := Site{k, layer}
	if f.wanted[s] {
		return true
	}
	for i := range f.plan.Edits {
		if f.plan.Edits[i].Site == k {
			for _, l := range f.plan.Edits[i].layers(f.spec) {
				if l == layer {
					return true
				}
			}
		}
	}
	return false
}

// tap returns the value of a site that has already been computed.
func (f *forward) tap(s Site) *Node {
	x, ok := f.taps[s]
	if !ok {
		exceptions.Panicf("model: site %s is not computed before it is read", s)
	}
	return x
}

// runLayers computes the plan's layers and returns the residual stream [b,t,d] (post-norm models: the normalised one).
func (f *forward) runLayers() *Node {
	from, to := f.plan.layers(f.spec)
	x := f.input
	if from == 0 {
		x = f.embedGraph()
	}
	for i := from; i < to; i++ {
		if f.edges != nil || f.one != nil && i == from {
			x = f.edgeBlockGraph(i, x)
		} else {
			x = f.blockGraph(i, x)
		}
	}
	if f.edges != nil {
		x = Squeeze(f.receive(x, 1), 2)
	}
	return x
}

// embedGraph returns the first block's input [b,t,d].
func (f *forward) embedGraph() *Node {
	s := f.spec
	var x *Node
	if f.plan.Embeds {
		x = f.input
	} else {
		x = lookup(f.param("W_E"), f.ids) // [b,t,d]
		if s.EmbedScale != 0 {
			// the published code rounds the factor to the embedding's type; float32 here
			x = MulScalar(x, float32(s.EmbedScale))
		}
	}
	x = f.site(Embed, 0, x)
	if f.edges != nil {
		f.send(ExpandAxes(x, 2))
	}
	if s.Positions == PosLearned {
		x = Add(x, f.site(PosEmbed, 0, lookup(f.param("W_pos"), f.positions)))
	}
	if s.TypeVocab > 0 {
		x = Add(x, lookup(f.param("W_type"), f.types))
	}
	if s.EmbedNorm {
		x, _, _ = f.normGraph("ln_embed", x)
	}
	return x
}

// lookup returns rows of table [n,d] at ids [b,t] as [b,t,d].
func lookup(table, ids *Node) *Node {
	return Gather(table, ExpandAxes(ids, -1))
}

// finish computes what follows the last block: final norm, pooled outputs, logits.
func (f *forward) finish(x *Node) (logits *Node) {
	s := f.spec
	if _, to := f.plan.layers(s); to < s.Layers {
		return nil
	}
	if s.FinalNorm {
		out, normalized, scale := f.normGraph("ln_final", x)
		f.site(LNFinalScale, 0, scale)
		f.site(LNFinalNormalized, 0, normalized)
		x = f.site(LNFinalOut, 0, out)
	}
	x = f.site(LastHidden, 0, x)
	if s.Pooler != PoolerNone {
		f.poolGraph(x)
	}
	if s.Sentence.Mode != "" {
		f.site(Sentence, 0, f.sentenceGraph(x))
	}
	switch f.plan.Logits {
	case LogitsAll:
		return f.logitsGraph(x)
	case LogitsAt:
		return f.logitsGraph(f.gathered(x))
	}
	return nil
}

// logitsGraph returns next-token logits [..,v] of [b,p,d].
func (f *forward) logitsGraph(x *Node) *Node {
	name := "W_U"
	if f.spec.Tied {
		name = "W_E"
	}
	dims := x.Shape().Dimensions
	logits := Einsum("nd,vd->nv", Reshape(x, -1, f.spec.DModel), f.param(name))
	logits = Reshape(logits, dims[0], dims[1], f.spec.Vocab)
	return softcap(logits, f.spec.LogitSoftcap)
}

// softcap is c tanh(x/c), or x when c is 0.
func softcap(x *Node, c float64) *Node {
	if c == 0 {
		return x
	}
	return MulScalar(Tanh(DivScalar(x, c)), c)
}

// poolGraph computes the pooler and, where the model has one, the projection.
func (f *forward) poolGraph(x *Node) {
	s := f.spec
	row := Iota(f.g, shapeOf(dtypes.Int32, f.plan.Batch), 0)
	pooled := Gather(x, Stack([]*Node{row, f.pool}, -1)) // [b,d]
	if s.Pooler == PoolerFirst {
		pooled = Tanh(Add(Einsum("bd,od->bo", pooled, f.param("W_pool")), ExpandAxes(f.param("b_pool"), 0)))
	}
	pooled = f.site(Pooler, 0, pooled)
	if s.Projection > 0 {
		f.site(TextEmbeds, 0, Einsum("bd,od->bo", pooled, f.param("W_proj")))
	}
}

// sentenceGraph pools [b,t,d] to [b,d] by the model's own configuration.
func (f *forward) sentenceGraph(x *Node) *Node {
	var out *Node
	real := ExpandAxes(ConvertDType(f.mask, floatType), -1) // [b,t,1]
	count := ReduceSum(real, 1)                             // [b,1]
	switch mode := f.spec.Sentence.Mode; mode {
	case "mean":
		out = Div(ReduceSum(Mul(x, real), 1), MaxScalar(count, 1e-9))
	case "mean_sqrt_len":
		out = Div(ReduceSum(Mul(x, real), 1), Sqrt(MaxScalar(count, 1e-9)))
	case "max":
		far := Scalar(f.g, floatType, -1e9)
		out = ReduceMax(Where(broadcastTo(ExpandAxes(f.mask, -1), x), x, far), 1)
	case "cls", "last":
		at := f.pool
		if mode == "last" {
			at = f.last()
		}
		row := Iota(f.g, shapeOf(dtypes.Int32, f.plan.Batch), 0)
		out = Gather(x, Stack([]*Node{row, at}, -1))
	default:
		exceptions.Panicf("model: unknown sentence pooling %q", mode)
	}
	if f.spec.Sentence.Normalize {
		out = Div(out, MaxScalar(vectorNorm(out), 1e-12))
	}
	return out
}

// last returns the position of each row's last real token [b].
func (f *forward) last() *Node {
	index := Iota(f.g, shapeOf(dtypes.Int32, f.plan.Batch, f.plan.Seq), 1)
	return ReduceMax(Where(f.mask, index, ZerosLike(index)), 1)
}

// gathered returns the rows of x [b,t,..] at the plan's gathered positions as [b,p,..].
func (f *forward) gathered(x *Node) *Node {
	at := f.params[gatherInput] // [b,p] int32
	row := Iota(f.g, at.Shape(), 0)
	return Gather(x, Stack([]*Node{row, at}, -1))
}

// normGraph normalises the last axis of x: with weights and bias, without them, and the divisor [..,1].
func (f *forward) normGraph(name string, x *Node) (out, normalized, scale *Node) {
	s := f.spec
	centred := x
	if s.Norm == LayerNorm {
		centred = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	}
	scale = Sqrt(AddScalar(ReduceAndKeep(Square(centred), ReduceMean, -1), s.NormEps))
	if f.plan.FreezeNorms {
		scale = StopGradient(scale)
	}
	normalized = Div(centred, scale)
	w := ExpandLeftToRank(f.param(name+".w"), x.Rank())
	switch s.Norm {
	case LayerNorm:
		out = Add(Mul(normalized, w), ExpandLeftToRank(f.param(name+".b"), x.Rank()))
	case RMSNormOne:
		out = Mul(normalized, OnePlus(w))
	default:
		out = Mul(normalized, w)
	}
	return out, normalized, scale
}

// blockNorm is normGraph of a block's norm at its sites.
func (f *forward) blockNorm(i int, name string, kinds [3]Kind, x *Node) *Node {
	out, normalized, scale := f.normGraph(fmt.Sprintf("blocks.%d.%s", i, name), x)
	f.site(kinds[1], i, normalized)
	f.site(kinds[0], i, scale)
	return f.site(kinds[2], i, out)
}

// linear computes x W^T (+ bias) of a block's matrix; x is [b,t,in].
func (f *forward) linear(i int, name string, bias bool, x *Node) *Node {
	dims := x.Shape().Dimensions
	w := f.param(fmt.Sprintf("blocks.%d.W_%s", i, name))
	y := Einsum("ni,oi->no", Reshape(x, -1, dims[len(dims)-1]), w)
	if bias {
		y = Add(y, ExpandAxes(f.param(fmt.Sprintf("blocks.%d.b_%s", i, name)), 0))
	}
	return Reshape(y, dims[0], dims[1], w.Shape().Dimensions[0])
}
