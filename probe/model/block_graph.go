package model

import (
	"math"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

var (
	ln1Sites = [3]Kind{LN1Scale, LN1Normalized, LN1Out}
	ln2Sites = [3]Kind{LN2Scale, LN2Normalized, LN2Out}
)

// blockGraph computes block i on its input [b,t,d] and returns the next block's input.
func (f *forward) blockGraph(i int, x *Node) *Node {
	s := f.spec
	x = f.site(ResidPre, i, x)
	if s.Place == PostNorm {
		mid := f.site(ResidMid, i, Add(x, f.attnGraph(i, x)))
		mid = f.blockNorm(i, "ln1", ln1Sites, mid)
		post := f.site(ResidPost, i, Add(mid, f.mlpGraph(i, mid)))
		post = f.blockNorm(i, "ln2", ln2Sites, post)
		return f.site(NormalizedResidPost, i, post)
	}
	before := func(name string, kinds [3]Kind, x *Node) *Node {
		if s.Place == OutputNorm {
			return x
		}
		return f.blockNorm(i, name, kinds, x)
	}
	if s.Parallel {
		attn := f.attnGraph(i, before("ln1", ln1Sites, x))
		mlp := f.mlpGraph(i, before("ln2", ln2Sites, x))
		return f.site(ResidPost, i, Add(x, Add(attn, mlp)))
	}
	x = f.site(ResidMid, i, Add(x, f.attnGraph(i, before("ln1", ln1Sites, x))))
	return f.site(ResidPost, i, Add(x, f.mlpGraph(i, before("ln2", ln2Sites, x))))
}

// afterSubLayer applies the norm on a sub-layer's output of models that have one.
func (f *forward) afterSubLayer(i int, name string, sub Kind, x *Node) *Node {
	if f.spec.Place != SandwichNorm && f.spec.Place != OutputNorm {
		return x
	}
	x = f.site(sub, i, x)
	out, _, _ := f.normGraph(blockName(i, name), x)
	return out
}

// mlpGraph returns what block i's MLP adds to the residual stream [b,t,d].
func (f *forward) mlpGraph(i int, x *Node) *Node {
	s := f.spec
	x = f.site(MLPIn, i, x)
	var hidden *Node // [b,t,f]
	if s.Gated {
		gate := f.site(MLPPre, i, f.linear(i, "gate", s.MLPBias, x))
		up := f.site(MLPPreLinear, i, f.linear(i, "in", s.MLPBias, x))
		hidden = Mul(activation(s.Act, gate), up)
	} else {
		hidden = activation(s.Act, f.site(MLPPre, i, f.linear(i, "in", s.MLPBias, x)))
	}
	hidden = f.site(MLPPost, i, hidden)
	out := f.linear(i, "out", s.MLPBias, hidden)
	return f.site(MLPOut, i, f.afterSubLayer(i, "ln2_post", MLPSubOut, out))
}

// activation computes the named function elementwise.
func activation(name string, x *Node) *Node {
	switch name {
	case "gelu": // x Phi(x)
		return Mul(x, MulScalar(OnePlus(Erf(MulScalar(x, 1/math.Sqrt2))), 0.5))
	case "gelu_tanh":
		inner := MulScalar(Add(x, MulScalar(Mul(x, Square(x)), 0.044715)), math.Sqrt(2/math.Pi))
		return Mul(x, MulScalar(OnePlus(Tanh(inner)), 0.5))
	case "quick_gelu":
		return Mul(x, Logistic(MulScalar(x, 1.702)))
	case "silu":
		return Mul(x, Logistic(x))
	case "relu":
		return MaxScalar(x, 0)
	}
	exceptions.Panicf("model: unknown activation %q", name)
	return nil
}
