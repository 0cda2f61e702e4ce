package probe

import (
	"fmt"
	"math"
	"slices"

	"loupe/internal/safetensors"
	"loupe/vectors"
)

// read fills the probe from its weights.
func (s *Saved) read(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &tensorReader{f: f}
	switch k := s.outputs(); s.Kind {
	case KindLinear:
		s.Function = r.linear("", k, s.D)
	case KindAttention:
		s.Attention = &Attention{Query: r.values("query", s.D), Linear: r.linear("", k, s.D)}
	case KindPair:
		yes, no := r.linear("yes.", 1, s.D), r.linear("no.", 1, s.D)
		s.Function = PairProbe{&CCS{Yes: yes, No: no}}
	case KindQuadratic:
		c := r.rows("components", s.D)
		n := len(c) / s.D
		s.Function = &Quadratic{Mean: r.values("mean", s.D), Components: c, Linear: r.linear("", k, n+n*(n+1)/2)}
	case KindMLP:
		s.Function = r.mlp(s.D, k)
	}
	if r.err == nil && len(f.Names()) != r.read {
		r.err = fmt.Errorf("%d tensors, and a %s probe has %d: %w", len(f.Names()), s.Kind, r.read, vectors.ErrShape)
	}
	return r.err
}

// tensorReader reads tensors of known shapes and keeps the first error.
type tensorReader struct {
	f    *safetensors.File
	read int
	err  error
}

// shape returns the shape of a tensor, and whether it is there.
func (r *tensorReader) shape(name string) ([]int, bool) {
	info, ok := r.f.Info(name)
	return info.Shape, ok
}

// values returns a tensor of this shape.
func (r *tensorReader) values(name string, shape ...int) []float64 {
	if r.err != nil {
		return nil
	}
	got, ok := r.shape(name)
	switch {
	case !ok:
		r.err = fmt.Errorf("tensor %s is missing: %w", name, vectors.ErrShape)
	case !slices.Equal(got, shape):
		r.err = fmt.Errorf("tensor %s has shape %v, want %v: %w", name, got, shape, vectors.ErrShape)
	}
	if r.err != nil {
		return nil
	}
	var v []float64
	if v, r.err = r.f.Float64(name); r.err != nil {
		return nil
	}
	r.read++
	for i, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			r.err = fmt.Errorf("tensor %s: value %d is %v: %w", name, i, x, vectors.ErrNotFinite)
		}
	}
	return v
}

// rows returns a tensor [n, d] of any n from 1 to 256.
func (r *tensorReader) rows(name string, d int) []float64 {
	shape, _ := r.shape(name)
	if r.err == nil && len(shape) == 2 && (shape[0] < 1 || shape[0] > 256) {
		r.err = fmt.Errorf("tensor %s has shape %v, want 1 to 256 rows: %w", name, shape, vectors.ErrShape)
	}
	n := 0
	if len(shape) == 2 {
		n = shape[0]
	}
	return r.values(name, n, d)
}

func (r *tensorReader) linear(prefix string, k, d int) Linear {
	return Linear{D: d, Weights: r.values(prefix+"weight", k, d), Bias: r.values(prefix+"bias", k)}
}

// mlp reads layers until there is no further one.
func (r *tensorReader) mlp(in, k int) *MLP {
	m := &MLP{}
	for i := 0; r.err == nil; i++ {
		name := fmt.Sprintf("weight.%d", i)
		shape, ok := r.shape(name)
		if !ok {
			break
		}
		out := 0
		if len(shape) == 2 {
			out = shape[0]
		}
		m.Layers = append(m.Layers, Layer{In: in, Out: out, Weights: r.values(name, out, in), Bias: r.values(fmt.Sprintf("bias.%d", i), out)})
		in = out
	}
	if r.err == nil && (len(m.Layers) == 0 || in != k) {
		r.err = fmt.Errorf("%d layers that end in %d scores, want %d: %w", len(m.Layers), in, k, vectors.ErrShape)
	}
	return m
}
