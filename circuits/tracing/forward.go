package tracing

import (
	"slices"

	"gonum.org/v1/gonum/blas/blas64"

	"loupe/probe/model"
)

// written is what is put in the place of a dictionary's site at layer l, [t, d], or nil for zeros; read are the values that its features read.
type written func(l int, read []float64) []float64

// read are the values that a frozen pass leaves: what each layer's features read, [t, d], and the final norm's output at every position.
type read struct {
	in    [][]float64
	final []float64
}

// forward runs the frozen model from token embeddings [t, d] (nil: zeros). bias adds everything that is neither embedding nor written:
// positions, biases of norms and projections, and what MLPs that act by their gradient add at the point of their gradient.
func (f *frozen) forward(embed []float64, bias bool, write written) read {
	s, t, d := f.spec, f.t, f.spec.DModel
	out := read{in: make([][]float64, s.Layers)}
	x := make([]float64, t*d)
	copy(x, embed)
	if bias {
		add(x, f.base)
	}
	for l := range f.layers {
		w := &f.layers[l]
		visit := func(k model.Kind, x []float64) []float64 {
			if f.dict.In == k {
				out.in[l] = slices.Clone(x)
			}
			if f.dict.Out != k || f.dict.transcodes() || !f.dict.cuts(l) {
				return x
			}
			clear(x)
			add(x, write(l, out.in[l]))
			return x
		}
		x = visit(model.ResidPre, x)
		a := visit(model.AttnOut, f.attend(w, x, bias))
		if !s.Parallel {
			add(x, a)
			x = visit(model.ResidMid, x)
		}
		h := slices.Clone(x)
		each(h, d, func(p int, row []float64) { w.ln2.forward(row, p, bias) })
		visit(model.MLPIn, h)
		var o []float64
		if w.mlp == nil {
			o = make([]float64, t*d)
			add(o, write(l, out.in[l]))
			if w.skip != nil {
				addProduct(o, h, w.skip.forward)
			}
		} else {
			o = visit(model.MLPOut, w.linearMLP(h, d, bias))
		}
		if s.Parallel {
			add(x, a)
		}
		add(x, o)
		x = visit(model.ResidPost, x)
	}
	each(x, d, func(p int, row []float64) { f.final.forward(row, p, bias) })
	out.final = x
	return out
}

// attend is what attention with fixed patterns adds to the stream x [t, d].
func (f *frozen) attend(w *frozenLayer, x []float64, bias bool) []float64 {
	s, t, d := f.spec, f.t, f.spec.DModel
	h := slices.Clone(x)
	each(h, d, func(p int, row []float64) { w.ln1.forward(row, p, bias) })
	kv, e := s.KVHeads*s.DHead, s.DHead
	v := make([]float64, t*kv)
	addProduct(v, h, w.wV.forward)
	if bias && w.bV != nil {
		each(v, kv, func(_ int, row []float64) { add(row, w.bV) })
	}
	width := s.Heads * e
	z := make([]float64, t*width)
	for head := range s.Heads {
		from := head / (s.Heads / s.KVHeads) * e
		for i := range t {
			for j := range i + 1 {
				axpy(w.pattern[(head*t+i)*t+j], v[j*kv+from:j*kv+from+e], z[i*width+head*e:i*width+(head+1)*e])
			}
		}
	}
	out := make([]float64, t*d)
	addProduct(out, z, w.wO.forward)
	each(out, d, func(p int, row []float64) {
		if bias && w.bO != nil {
			add(row, w.bO)
		}
		w.post1.forward(row, p, bias)
	})
	return out
}

// linearMLP is J h [t, d], plus what is left of the MLP's output at the prompt where bias is set.
func (w *frozenLayer) linearMLP(h []float64, d int, bias bool) []float64 {
	n := len(h) / d * w.wIn.forward.Rows
	hidden := make([]float64, n)
	addProduct(hidden, h, w.wIn.forward)
	if w.mlp.through == nil {
		mul(hidden, w.mlp.slope)
	} else {
		gate := make([]float64, n)
		addProduct(gate, h, w.wGate.forward)
		mul(hidden, w.mlp.through)
		mul(gate, w.mlp.slope)
		add(hidden, gate)
	}
	out := make([]float64, len(h))
	addProduct(out, hidden, w.wOut.forward)
	if bias {
		add(out, w.mlp.rest)
	}
	each(out, d, func(p int, row []float64) { w.post2.forward(row, p, bias) })
	return out
}

// each calls f for the rows of x.
func each(x []float64, width int, f func(p int, row []float64)) {
	for p := range len(x) / width {
		f(p, x[p*width:(p+1)*width])
	}
}

// add adds x, where it is not nil, to dst.
func add(dst, x []float64) {
	if x != nil {
		axpy(1, x, dst)
	}
}

func mul(dst, x []float64) {
	for i, v := range x {
		dst[i] *= v
	}
}

func axpy(a float64, x, y []float64) {
	blas64.Axpy(a, blas64.Vector{N: len(x), Inc: 1, Data: x}, blas64.Vector{N: len(y), Inc: 1, Data: y})
}
