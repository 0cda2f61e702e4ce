package erase

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Guard refines a text's states where a classifier finds a concept in them, and leaves all other texts as they are (CGCE). The
// classifiers of several concepts work together: the gradients of those that fire are added.
type Guard struct {
	Classifiers []*Classifier
	Config      CGCEConfig
}

// Refine is Refine of the guard's classifiers.
func (g *Guard) Refine(t Text) (*Refinement, error) {
	tokens, _, err := checkRows("text", t.X, 0)
	if err != nil {
		return nil, err
	}
	if t.Length != tokens {
		return nil, fmt.Errorf("erase: guard: %d valid tokens of %d: %w; cut the padding off, which the classifiers would read", t.Length, tokens, vectors.ErrArgument)
	}
	return Refine(g.Classifiers, t.X, g.Config)
}

// Apply returns the refined states, and the very matrix that it was given where no classifier fires.
func (g *Guard) Apply(t Text) (x *mat.Dense, acted bool, err error) {
	r, err := g.Refine(t)
	if err != nil {
		return nil, false, err
	}
	return r.X, r.X != t.X, nil
}

// Pullback is the gradient with respect to the states that Apply was given, with the sum of the steps held fixed: the gradient itself.
// The steps depend on the states through the classifiers' gradients, whose derivative is left out, as attackers through gradient
// descent leave it out; Score is what leads an attacker past the guard.
func (g *Guard) Pullback(_ Text, by *mat.Dense) (*mat.Dense, error) { return by, nil }

// Score is the largest probability of a concept, the threshold above which the guard acts, and the score's gradient with respect
// to the states [T, d], by which an adaptive attack evades the guard.
func (g *Guard) Score(t Text) (score, threshold float64, gradient *mat.Dense, err error) {
	if len(g.Classifiers) == 0 {
		return 0, 0, nil, fmt.Errorf("erase: guard: no classifier: %w", vectors.ErrShape)
	}
	for i, c := range g.Classifiers {
		logit, slope, err := c.Logit(t.X)
		if err != nil {
			return 0, 0, nil, fmt.Errorf("classifier %d: %w", i, err)
		}
		if p := sigmoid(logit); gradient == nil || p > score {
			slope.Scale(p*(1-p), slope)
			score, gradient = p, slope
		}
	}
	return score, g.Config.Threshold, gradient, nil
}
