// Package adam is the step of Adam and of AdamW on slices of float32, with vector instructions where the build has them
// (amd64 with GOEXPERIMENT=simd). Both forms round after every product and every sum and add in the same order, so that
// they give the same bytes.
package adam

import "math"

// Coef are the numbers of one step (Adam: arXiv:1412.6980; decoupled decay: arXiv:1711.05101; in PyTorch's order of
// operations):
//
//	g = scale g;  m = b1 m + c1 g;  v = b2 v + c2 g^2;  w = keep w - rate m / (sqrt(v) root + eps)
//
// [New] computes them.
type Coef struct {
	Scale           float32
	B1, C1, B2, C2  float32
	Rate, Root, Eps float32
	Keep            float32 // 1: no weight decay
}

// New returns the numbers of step t, counted from 1, at learning rate lr with decoupled weight decay and gradients
// multiplied by scale: rate = lr / (1-b1^t), root = 1 / sqrt(1-b2^t), keep = 1 - lr decay.
func New(lr, b1, b2, eps, decay float64, t int64, scale float64) Coef {
	return Coef{
		Scale: float32(scale), B1: float32(b1), C1: float32(1 - b1), B2: float32(b2), C2: float32(1 - b2),
		Rate: float32(lr / (1 - math.Pow(b1, float64(t)))), Root: float32(1 / math.Sqrt(1-math.Pow(b2, float64(t)))),
		Eps: float32(eps), Keep: float32(1 - lr*decay),
	}
}

// StepPlain is [Step] without vector instructions.
func StepPlain(k *Coef, w, m, v, g []float32) {
	m, v, g = m[:len(w)], v[:len(w)], g[:len(w)]
	for i := range w {
		gi := g[i] * k.Scale
		mi := float32(k.B1*m[i]) + float32(k.C1*gi)
		vi := float32(k.B2*v[i]) + float32(float32(k.C2*gi)*gi)
		m[i], v[i] = mi, vi
		step := float32(k.Rate*mi) / (float32(float32(math.Sqrt(float64(vi)))*k.Root) + k.Eps)
		w[i] = float32(k.Keep*w[i]) - step
	}
}
