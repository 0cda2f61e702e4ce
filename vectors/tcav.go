package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TCAVConfig says how TCAV's vector is fitted and its null drawn.
type TCAVConfig struct {
	C            float64 `json:"c" yaml:"c"`
	Permutations int     `json:"permutations" yaml:"permutations"`
	Seed         uint64  `json:"seed" yaml:"seed"`
}

// DefaultTCAV has the loss weight of DefaultCAV and 199 permutations, with which the least p-value is 0.005.
func DefaultTCAV() TCAVConfig { return TCAVConfig{C: 0.1, Permutations: 199} }

// Validate names the field that is out of range.
func (c TCAVConfig) Validate() error {
	if c.Permutations < 1 {
		return fmt.Errorf("vectors: TCAV: permutations is %d: %w; use 199 or more", c.Permutations, ErrArgument)
	}
	return checkPenalty("TCAV", c.C)
}

// TCAVTest is the outcome of testing a class with a concept.
type TCAVTest struct {
	CAV         []float64 `json:"cav"`         // [d], unit norm, towards the concept
	Directional []float64 `json:"directional"` // per example: gradient of the class loss along the CAV
	Score       float64   `json:"score"`       // share of examples whose loss decreases along the CAV
	Magnitude   float64   `json:"magnitude"`   // sum of |decreases| over sum of |all|
	Null        []float64 `json:"null"`        // scores of vectors fitted to shuffled labels
	P           float64   `json:"p"`           // two-sided, never 0
}

// TCAV tests whether a concept moves a class (arXiv:1711.11279). x [n, d] are activations with labels y, 1 for the concept;
// gradients [m, d] are those of the class's loss with respect to the activation at m examples of the class.
//
//	score = #{i: g_i . cav < 0} / m,   p = (1 + #{|null - 1/2| >= |score - 1/2|}) / (1 + permutations)
//
// The null refits the vector to shuffled labels, so that every null score is a whole rerun of the test without a
// concept; the published t-test over dependent runs and without correction for many tests is not valid. Correct over
// concepts, layers and classes with AdjustP, and gate the vector with FitCAV.
func TCAV(ctx context.Context, x *mat.Dense, y []int, gradients *mat.Dense, cfg TCAVConfig) (*TCAVTest, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x746361766e756c6c)) // "tcavnull"
	permutations := make([][]int, cfg.Permutations)
	for i := range permutations {
		permutations[i] = rng.Perm(len(y))
	}
	return TCAVFrom(ctx, x, y, gradients, cfg.C, permutations)
}

// TCAVFrom is TCAV with given permutations of the rows: null score i is that of labels y[permutations[i][j]].
func TCAVFrom(ctx context.Context, x *mat.Dense, y []int, gradients *mat.Dense, c float64, permutations [][]int) (*TCAVTest, error) {
	m, d, err := checkRows("gradients", gradients)
	if err != nil {
		return nil, err
	}
	fit, err := SquaredHinge(ctx, x, y, c)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("activations", len(fit.Weights), d); err != nil {
		return nil, err
	}
	test := &TCAVTest{Directional: make([]float64, m), Null: make([]float64, len(permutations))}
	if test.CAV, err = Unit(fit.Weights); err != nil {
		return nil, fmt.Errorf("TCAV: the rows of the classes do not differ: %w", err)
	}
	decreases, all := 0.0, 0.0
	for i := range m {
		g := floats.Dot(gradients.RawRowView(i), test.CAV)
		test.Directional[i] = g
		all += math.Abs(g)
		if g < 0 {
			decreases -= g
		}
	}
	if all == 0 {
		return nil, fmt.Errorf("vectors: TCAV: no gradient has a part along the vector: %w; is the loss connected to this site?", ErrArgument)
	}
	test.Score, test.Magnitude = scoreAlong(gradients, test.CAV), decreases/all
	if err := test.null(ctx, x, y, gradients, c, permutations); err != nil {
		return nil, err
	}
	return test, nil
}

// null fills Null and P.
func (t *TCAVTest) null(ctx context.Context, x *mat.Dense, y []int, gradients *mat.Dense, c float64, permutations [][]int) error {
	shuffled := make([]int, len(y))
	extreme := 0
	for i, p := range permutations {
		if err := checkPermutation(p, len(y)); err != nil {
			return fmt.Errorf("vectors: TCAV: permutation %d: %w", i, err)
		}
		for j, from := range p {
			shuffled[j] = y[from]
		}
		fit, err := SquaredHinge(ctx, x, shuffled, c)
		if err != nil {
			return err
		}
		t.Null[i] = scoreAlong(gradients, fit.Weights)
		if math.Abs(t.Null[i]-0.5) >= math.Abs(t.Score-0.5)-1e-12 { // scores are ratios of counts: equal up to rounding
			extreme++
		}
	}
	t.P = float64(1+extreme) / float64(1+len(permutations))
	return nil
}

// scoreAlong is the share of rows of gradients that point against v.
func scoreAlong(gradients *mat.Dense, v []float64) float64 {
	m, _ := gradients.Dims()
	below := 0
	for i := range m {
		if floats.Dot(gradients.RawRowView(i), v) < 0 {
			below++
		}
	}
	return float64(below) / float64(m)
}

func checkPermutation(p []int, n int) error {
	seen := make([]bool, n)
	for _, i := range p {
		if i < 0 || i >= n || seen[i] {
			return fmt.Errorf("it does not hold 0..%d once each: %w", n-1, ErrArgument)
		}
		seen[i] = true
	}
	if len(p) != n {
		return fmt.Errorf("it has %d of %d rows: %w", len(p), n, ErrShape)
	}
	return nil
}
