package model

import (
	"fmt"
	"math"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
)

// masked is added to the scores of keys that a query may not see: far below any score, so that their weight is
// exactly zero, and absorbing any score, so that a query without keys attends evenly (as the published code does).
const masked = -1e30

func blockName(i int, name string) string { return fmt.Sprintf("blocks.%d.%s", i, name) }

// attnGraph returns what block i's attention adds to the residual stream [b,t,d].
func (f *forward) attnGraph(i int, x *Node) *Node {
	s := f.spec
	b, t := x.Shape().Dimensions[0], x.Shape().Dimensions[1]
	project := func(name string, kind Kind, heads int) *Node {
		return f.site(kind, i, Reshape(f.linear(i, name, s.QKVBias, x), b, t, heads, s.DHead))
	}
	q := project("Q", Q, s.Heads)   // [b,t,h,e]
	k := project("K", K, s.KVHeads) // [b,t,k,e]
	v := project("V", V, s.KVHeads) // [b,t,k,e]
	q, k = f.qkNorm(i, "q_norm", q), f.qkNorm(i, "k_norm", k)
	if s.Positions == PosRotary {
		angles := f.angles[s.RopeOf[i]]
		q = f.site(RotQ, i, rotate(q, angles))
		k = f.site(RotK, i, rotate(k, angles))
	}
	var z *Node
	if f.cache != nil {
		z = f.cachedAttention(i, q, k, v)
	} else {
		z = f.fullAttention(i, q, k, v)
	}
	z = f.site(Z, i, z) // [b,t,h,e]
	var out *Node
	if f.needs(Result, i) {
		w := Reshape(f.param(blockName(i, "W_O")), s.DModel, s.Heads, s.DHead)
		result := f.site(Result, i, Einsum("bthe,dhe->bthd", z, w))
		out = ReduceSum(result, 2)
		if s.OBias {
			out = Add(out, ExpandLeftToRank(f.param(blockName(i, "b_O")), 3))
		}
	} else {
		out = f.linear(i, "O", s.OBias, Reshape(z, b, t, s.Heads*s.DHead))
	}
	return f.site(AttnOut, i, f.afterSubLayer(i, "ln1_post", AttnSubOut, out))
}

// qkNorm normalises queries or keys [b,t,h,e] before the rotation.
func (f *forward) qkNorm(i int, name string, x *Node) *Node {
	switch f.spec.QKNorm {
	case QKNormHead:
		x, _, _ = f.normGraph(blockName(i, name), x)
	case QKNormWidth:
		d := x.Shape().Dimensions
		wide, _, _ := f.normGraph(blockName(i, name), Reshape(x, d[0], d[1], d[2]*d[3]))
		x = Reshape(wide, d...)
	}
	return x
}

// fullAttention attends within the batch and returns z [b,t,h,e]; keys and values are grouped [b,t,k,e] or [b,t,h,e].
func (f *forward) fullAttention(i int, q, k, v *Node) *Node {
	s := f.spec
	b, t := q.Shape().Dimensions[0], q.Shape().Dimensions[1]
	keys := k.Shape().Dimensions[2]
	groups := s.Heads / keys
	grouped := Reshape(q, b, t, keys, groups, s.DHead)
	scores := Reshape(Einsum("btkge,bske->bkgts", grouped, k), b, s.Heads, t, t)
	scores = f.scaleScores(i, scores)
	if f.rel != nil {
		scores = Add(scores, f.rel)
	}
	window := 0
	if s.Window != nil {
		window = s.Window[i]
	}
	scores = f.site(Scores, i, Add(scores, f.maskBias(window)))
	pattern := f.site(Pattern, i, Softmax(scores, -1)) // [b,h,t,s]
	z := Einsum("bkgts,bske->btkge", Reshape(pattern, b, keys, groups, t, t), v)
	return Reshape(z, b, t, s.Heads, s.DHead)
}

// scaleScores applies the attention scale and soft cap.
func (f *forward) scaleScores(i int, scores *Node) *Node {
	scale := f.spec.AttnScale
	if f.spec.InverseLayer {
		scale /= float64(i + 1)
	}
	return softcap(MulScalar(scores, scale), f.spec.AttnSoftcap)
}

// maskBias returns 0 where a query may see a key and masked elsewhere, [b,1,t,s]; window 0 is unlimited.
func (f *forward) maskBias(window int) *Node {
	if bias, ok := f.biases[window]; ok {
		return bias
	}
	t := f.plan.Seq
	seen := ExpandAxes(ExpandAxes(f.mask, 1), 1) // [b,1,1,s]
	shape := shapeOf(dtypes.Int32, t, t)
	query, key := Iota(f.g, shape, 0), Iota(f.g, shape, 1) // [t,s]
	seen = BroadcastToDims(seen, f.plan.Batch, 1, t, t)
	limit := func(allowed *Node) {
		seen = And(seen, BroadcastToDims(ExpandLeftToRank(allowed, 4), f.plan.Batch, 1, t, t))
	}
	if f.spec.Causal {
		limit(LessOrEqual(key, query))
	}
	if window > 0 {
		limit(LessThan(Sub(query, key), Scalar(f.g, dtypes.Int32, window)))
	}
	bias := Where(seen, ScalarZero(f.g, floatType), Scalar(f.g, floatType, masked))
	f.biases[window] = bias
	return bias
}

// ropeAngles holds cos and sin [b,t,1,dim/2] of one rotary embedding.
type ropeAngles struct{ cos, sin *Node }

// ropeAnglesGraph computes the angles at the plan's positions.
func (f *forward) ropeAnglesGraph(r Rope) ropeAngles {
	freq := Const(f.g, r.frequencies())                                         // [dim/2]
	pos := ExpandAxes(ExpandAxes(ConvertDType(f.positions, floatType), -1), -1) // [b,t,1,1]
	angle := Mul(pos, ExpandLeftToRank(freq, 4))                                // [b,t,1,dim/2]
	return ropeAngles{Cos(angle), Sin(angle)}
}

// frequencies returns theta^(-2j/dim) in float32 for j < dim/2, scaled by the Rope's type.
func (r Rope) frequencies() []float32 {
	out := make([]float32, r.Dim/2)
	for j := range out {
		f := 1 / math.Pow(r.Theta, float64(float32(2*j)/float32(r.Dim)))
		switch r.Type {
		case "linear":
			f /= r.Factor
		case "llama3":
			f = r.llama3(f)
		}
		out[j] = float32(f)
	}
	return out
}

// llama3 is Llama 3.1's scaling: short wavelengths are kept, long ones divided by the factor, those between blended.
func (r Rope) llama3(f float64) float64 {
	wavelength := 2 * math.Pi / f
	switch {
	case wavelength < r.OrigMax/r.HiFreq:
		return f
	case wavelength > r.OrigMax/r.LowFreq:
		return f / r.Factor
	}
	smooth := (r.OrigMax/wavelength - r.LowFreq) / (r.HiFreq - r.LowFreq)
	return (1-smooth)*f/r.Factor + smooth*f
}

// rotate applies the rotary embedding to the first components of each head: (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)
// with x1, x2 the halves of the rotated part. x is [b,t,h,e].
func rotate(x *Node, a ropeAngles) *Node {
	half := a.cos.Shape().Dimensions[3]
	part := func(from, to int) *Node {
		return Slice(x, AxisRange(), AxisRange(), AxisRange(), AxisRange(from, to))
	}
	x1, x2 := part(0, half), part(half, 2*half)
	parts := []*Node{Sub(Mul(x1, a.cos), Mul(x2, a.sin)), Add(Mul(x2, a.cos), Mul(x1, a.sin))}
	if e := x.Shape().Dimensions[3]; 2*half < e {
		parts = append(parts, part(2*half, e))
	}
	return Concatenate(parts, -1)
}

// relBiasGraph returns the relative bias [1,h,t,s] of T5 and MPNet from a table [buckets,h].
func (f *forward) relBiasGraph(r *RelBias) *Node {
	t := f.plan.Seq
	buckets := make([]int32, t*t)
	for q := range t {
		for k := range t {
			buckets[q*t+k] = int32(r.bucket(k - q))
		}
	}
	index := Reshape(Const(f.g, buckets), t, t, 1)
	bias := Gather(f.param("W_rel"), index)               // [t,s,h]
	return ExpandAxes(TransposeAllAxes(bias, 2, 0, 1), 0) // [1,h,t,s]
}

// bucket maps a key's distance from the query (key - query) to a bidirectional T5 bucket: half of the buckets for each
// sign; near distances one each, far ones on a logarithmic scale up to MaxDistance.
func (r *RelBias) bucket(distance int) int {
	n := r.Buckets / 2
	base := 0
	if distance > 0 {
		base = n
	} else {
		distance = -distance
	}
	exact := n / 2
	if distance < exact {
		return base + distance
	}
	// float32 steps as in the published code, whose rounding decides the bucket at the edges
	ratio := float32(math.Log(float64(float32(distance)/float32(exact)))) / float32(math.Log(float64(r.MaxDistance)/float64(exact)))
	far := exact + int(ratio*float32(n-exact))
	return base + min(far, n-1)
}
