package custom

import "math"

// adam is Adam (Kingma and Ba, arXiv:1412.6980) with its usual decays, over one slice of parameters.
type adam struct {
	rate       float64
	step       int
	mean, size []float64 // running means of the gradient and of its square
}

func newAdam(rate float64, n int) *adam {
	return &adam{rate: rate, mean: make([]float64, n), size: make([]float64, n)}
}

// update moves the parameters against the gradient.
func (a *adam) update(w, gradient []float64) {
	const b1, b2, epsilon = 0.9, 0.999, 1e-8
	a.step++
	c1, c2 := 1-math.Pow(b1, float64(a.step)), 1-math.Pow(b2, float64(a.step))
	for i, g := range gradient {
		a.mean[i] = b1*a.mean[i] + (1-b1)*g
		a.size[i] = b2*a.size[i] + (1-b2)*g*g
		w[i] -= a.rate * a.mean[i] / c1 / (math.Sqrt(a.size[i]/c2) + epsilon)
	}
}
