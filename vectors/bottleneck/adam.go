package bottleneck

import "math"

// adam is Adam (arXiv:1412.6980) with its usual decays, over one slice of parameters.
type adam struct {
	rate         float64
	step         int
	first, power []float64 // running means of the gradient and of its square
	scale        []float64 // of the last step: how far a unit gradient moves each parameter
}

func newAdam(rate float64, n int) *adam {
	return &adam{rate: rate, first: make([]float64, n), power: make([]float64, n), scale: make([]float64, n)}
}

// update moves the parameters against the gradient.
func (a *adam) update(w, gradient []float64) {
	const b1, b2, epsilon = 0.9, 0.999, 1e-8
	a.step++
	c1, c2 := 1-math.Pow(b1, float64(a.step)), 1-math.Pow(b2, float64(a.step))
	for i, g := range gradient {
		a.first[i] = b1*a.first[i] + (1-b1)*g
		a.power[i] = b2*a.power[i] + (1-b2)*g*g
		a.scale[i] = a.rate / (math.Sqrt(a.power[i]/c2) + epsilon)
		w[i] -= a.scale[i] * a.first[i] / c1
	}
}

// shrink is the proximal step of t |w|_1 in the metric of the last update, after which small weights are exactly 0.
func (a *adam) shrink(w []float64, t float64) {
	for i, v := range w {
		w[i] = math.Copysign(max(math.Abs(v)-t*a.scale[i], 0), v)
	}
}
