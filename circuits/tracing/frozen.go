package tracing

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/blas/blas64"

	"loupe/internal/gemm"
	"loupe/probe/model"
)

// weights are a model's parameters that the frozen pass needs, in float64.
type weights struct {
	spec   *model.Spec
	layers []layerWeights
	final  normWeights
}

type layerWeights struct {
	ln1, ln2, post1, post2 normWeights
	wV, wO                 linear // [k e, d], [d, h e]
	bV, bO                 []float64
	wIn, wGate, wOut       linear // of MLPs that act by their gradient: [f, d], [f, d], [d, f]
}

// normWeights are a norm's weight and bias; a norm that the model does not have has no weight.
type normWeights struct{ w, b []float64 }

func readWeights(m *model.Model, mlp bool) (*weights, error) {
	s := m.Spec
	switch {
	case !s.Decoder || !s.Causal:
		return nil, fmt.Errorf("tracing: a %s encoder has no next token to explain; use a decoder", s.Family)
	case s.Place == model.PostNorm || s.EmbedNorm:
		return nil, fmt.Errorf("tracing: %s normalises the residual stream itself, so that it is no sum of what is written to it; use a pre-norm decoder", s.Family)
	}
	var failed error
	read := func(name string) []float64 {
		values, err := m.Params.Values(name)
		if err != nil && failed == nil {
			failed = fmt.Errorf("tracing: %w", err)
		}
		return widen(values)
	}
	matrix := func(name string, rows, cols int) linear {
		if data := read(name); failed == nil {
			return newLinear(rows, cols, data)
		}
		return linear{}
	}
	normOf := func(name string) normWeights {
		n := normWeights{w: read(name + ".w")}
		if s.Norm == model.LayerNorm {
			n.b = read(name + ".b")
		}
		if s.Norm == model.RMSNormOne {
			for i := range n.w {
				n.w[i]++
			}
		}
		return n
	}
	out := &weights{spec: s, layers: make([]layerWeights, s.Layers)}
	for l := range out.layers {
		at := fmt.Sprintf("blocks.%d.", l)
		w := &out.layers[l]
		if s.Place != model.OutputNorm {
			w.ln1, w.ln2 = normOf(at+"ln1"), normOf(at+"ln2")
		}
		if s.Place == model.SandwichNorm || s.Place == model.OutputNorm {
			w.post1, w.post2 = normOf(at+"ln1_post"), normOf(at+"ln2_post")
		}
		w.wV, w.wO = matrix(at+"W_V", s.KVHeads*s.DHead, s.DModel), matrix(at+"W_O", s.DModel, s.Heads*s.DHead)
		if s.QKVBias {
			w.bV = read(at + "b_V")
		}
		if s.OBias {
			w.bO = read(at + "b_O")
		}
		if mlp {
			w.wIn, w.wOut = matrix(at+"W_in", s.DMLP, s.DModel), matrix(at+"W_out", s.DModel, s.DMLP)
			if s.Gated {
				w.wGate = matrix(at+"W_gate", s.DMLP, s.DModel)
			}
		}
	}
	if s.FinalNorm {
		out.final = normOf("ln_final")
	}
	return out, failed
}

// frozen is a model that is linear in its token embeddings and in what is written at the dictionary's sites: patterns and divisors are those
// of one prompt.
type frozen struct {
	*weights
	dict   *Dictionary
	t      int
	layers []frozenLayer
	final  frozenNorm
	base   []float64 // [t, d]: positions and whatever else enters with the tokens
}

type frozenLayer struct {
	*layerWeights
	ln1, ln2, post1, post2 frozenNorm
	pattern                []float64 // [h, t, t]
	skip                   *linear
	mlp                    *frozenMLP // nil where the MLP is replaced
}

// frozenMLP is an MLP by its gradient: out + J (x - in).
type frozenMLP struct {
	slope   []float64 // [t, f]: of the input's path (of the gate's, where there is one)
	through []float64 // [t, f]: of the linear path of gated MLPs
	rest    []float64 // [t, d]: out - J in
}

// frozenNorm is a norm whose divisor is fixed at each position.
type frozenNorm struct {
	normWeights
	centre bool
	scale  []float64 // [t]; nil: no norm
}

// freeze fixes a norm's divisors at those of x [t, d].
func (w *weights) freeze(n normWeights, x []float32) frozenNorm {
	if n.w == nil {
		return frozenNorm{}
	}
	d := w.spec.DModel
	out := frozenNorm{normWeights: n, centre: w.spec.Norm == model.LayerNorm}
	for p := range len(x) / d {
		row := x[p*d : (p+1)*d]
		mean, sum := 0.0, 0.0
		if out.centre {
			for _, v := range row {
				mean += float64(v) / float64(d)
			}
		}
		for _, v := range row {
			sum += (float64(v) - mean) * (float64(v) - mean)
		}
		out.scale = append(out.scale, math.Sqrt(sum/float64(d)+w.spec.NormEps))
	}
	return out
}

// forward normalises row x of position p in place; bias adds the norm's bias.
func (n frozenNorm) forward(x []float64, p int, bias bool) {
	if n.scale == nil {
		return
	}
	mean := 0.0
	if n.centre {
		mean = average(x)
	}
	for i := range x {
		x[i] = (x[i] - mean) / n.scale[p] * n.w[i]
		if bias && n.b != nil {
			x[i] += n.b[i]
		}
	}
}

// backward turns the gradient of position p's output into that of its input, in place.
func (n frozenNorm) backward(g []float64, p int) {
	if n.scale == nil {
		return
	}
	for i := range g {
		g[i] *= n.w[i] / n.scale[p]
	}
	if n.centre {
		mean := average(g)
		for i := range g {
			g[i] -= mean
		}
	}
}

func average(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func narrow(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}

func exp(v float32) float64 { return math.Exp(float64(v)) }

func norm(x []float32) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// linear is a map from in to out values, with its matrix [out, in] in both orders, so that either product reads rows.
type linear struct{ forward, backward blas64.General }

func newLinear(out, in int, data []float64) linear {
	back := blas64.General{Rows: in, Cols: out, Stride: out, Data: make([]float64, len(data))}
	for i := range out {
		for j := range in {
			back.Data[j*out+i] = data[i*in+j]
		}
	}
	return linear{blas64.General{Rows: out, Cols: in, Stride: in, Data: data}, back}
}

// addProduct adds a b' to c, with rows a [n, k] and b [m, k].
func addProduct(c, a []float64, b blas64.General) {
	if n := len(a) / b.Cols; n > 0 && b.Rows > 0 {
		gemm.AddMulTrans(blas64.General{Rows: n, Cols: b.Rows, Stride: b.Rows, Data: c}, blas64.General{Rows: n, Cols: b.Cols, Stride: b.Cols, Data: a}, b)
	}
}

// activation is the slope of an activation function and its value at x.
func activation(name string, x float64) (value, slope float64) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	switch name {
	case "gelu":
		phi := 0.5 * (1 + math.Erf(x/math.Sqrt2))
		return x * phi, phi + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	case "gelu_tanh":
		c := math.Sqrt(2 / math.Pi)
		t := math.Tanh(c * (x + 0.044715*x*x*x))
		return 0.5 * x * (1 + t), 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*0.044715*x*x)
	case "quick_gelu":
		s := sigmoid(1.702 * x)
		return x * s, s + 1.702*x*s*(1-s)
	case "silu":
		s := sigmoid(x)
		return x * s, s + x*s*(1-s)
	}
	if x > 0 { // relu
		return x, 1
	}
	return 0, 0
}
