package adam

import "math"

// Solver is Adam in float64 on one vector, for what is learned on the host: betas 0.9 and 0.999, epsilon 1e-8 (arXiv:1412.6980).
type Solver struct {
	Rate  float64
	Decay float64 // decoupled weight decay (arXiv:1711.05101)

	steps         int
	first, second []float64
	scale         []float64 // of the last step: how far a unit gradient moves each number
}

// NewSolver returns a solver of n numbers.
func NewSolver(rate float64, n int) *Solver {
	return &Solver{Rate: rate, first: make([]float64, n), second: make([]float64, n), scale: make([]float64, n)}
}

// Step moves w against the gradient:
//
//	m = b1 m + (1-b1) g;  v = b2 v + (1-b2) g^2;  w = w - rate (decay w + m / (1-b1^t) / (sqrt(v / (1-b2^t)) + eps))
//
// w and gradient have the solver's length.
func (s *Solver) Step(w, gradient []float64) {
	const b1, b2, eps = 0.9, 0.999, 1e-8
	s.steps++
	c1, c2 := 1-math.Pow(b1, float64(s.steps)), 1-math.Pow(b2, float64(s.steps))
	w, gradient = w[:len(s.first)], gradient[:len(s.first)]
	for i, g := range gradient {
		s.first[i] = b1*s.first[i] + (1-b1)*g
		s.second[i] = b2*s.second[i] + (1-b2)*g*g
		s.scale[i] = s.Rate / (math.Sqrt(s.second[i]/c2) + eps)
		w[i] -= s.Rate*s.Decay*w[i] + s.scale[i]*s.first[i]/c1
	}
}

// Shrink is the proximal step of t |w|_1 in the metric of the last Step, after which small numbers are exactly 0.
func (s *Solver) Shrink(w []float64, t float64) {
	for i, v := range w {
		w[i] = math.Copysign(max(math.Abs(v)-t*s.scale[i], 0), v)
	}
}
