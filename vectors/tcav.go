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
	// Sensitivity is the mean decrease of the loss along the CAV. Where the gradients of a class point much the same way, any
	// vector, a random one too, scores near 0 or 1, and Score says little: the size of the decrease tells them apart.
	Sensitivity     float64   `json:"sensitivity"`
	SensitivityNull []float64 `json:"sensitivity_null"` // of the unit vectors fitted to shuffled labels
	SensitivityP    float64   `json:"sensitivity_p"`    // two-sided about 0, never 0
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
	n, width, _, err := checkBinary(x, y)
	if err != nil {
		return nil, err
	}
	if err := checkWidth("activations", width, d); err != nil {
		return nil, err
	}
	var span *mat.Dense
	if n < d {
		if x, gradients, span, err = inSpan(x, gradients); err != nil {
			return nil, err
		}
	}
	fit, err := SquaredHinge(ctx, x, y, c)
	if err != nil {
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
		test.Sensitivity -= g / float64(m)
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
	if span != nil {
		var cav mat.VecDense
		cav.MulVec(span.T(), mat.NewVecDense(len(test.CAV), test.CAV))
		test.CAV = cav.RawVector().Data
	}
	return test, nil
}

// inSpan gives rows x [n, d], n < d, and gradients [m, d] in coordinates of the span of x's rows, with its orthonormal basis
// [r, d]. A vector that is fitted with a penalty on its norm lies in that span, for any labels, so that nothing is lost
// and a fit costs n³ instead of d³.
func inSpan(x, gradients *mat.Dense) (rows, g, basis *mat.Dense, err error) {
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDThin) {
		return nil, nil, nil, fmt.Errorf("vectors: TCAV: singular values of the activations: %w", ErrNotConverged)
	}
	values := svd.Values(nil)
	rank := 0
	for rank < len(values) && values[rank] > values[0]*epsilon*float64(len(values)) {
		rank++
	}
	if rank == 0 {
		return nil, nil, nil, fmt.Errorf("vectors: TCAV: the activations are zero: %w", ErrArgument)
	}
	var v mat.Dense
	svd.VTo(&v)
	d, _ := v.Dims()
	basis = mat.DenseCopyOf(v.Slice(0, d, 0, rank).T())
	rows, g = &mat.Dense{}, &mat.Dense{}
	rows.Mul(x, basis.T())
	g.Mul(gradients, basis.T())
	return rows, g, basis, nil
}

// null fills Null and P.
func (t *TCAVTest) null(ctx context.Context, x *mat.Dense, y []int, gradients *mat.Dense, c float64, permutations [][]int) error {
	shuffled := make([]int, len(y))
	extreme, stronger := 0, 0
	mean := columnMeans(gradients)
	t.SensitivityNull = make([]float64, len(permutations))
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
		if norm := floats.Norm(fit.Weights, 2); norm > 0 {
			t.SensitivityNull[i] = -floats.Dot(mean, fit.Weights) / norm
		}
		if math.Abs(t.SensitivityNull[i]) >= math.Abs(t.Sensitivity)*(1-1e-12) {
			stronger++
		}
		if math.Abs(t.Null[i]-0.5) >= math.Abs(t.Score-0.5)-1e-12 { // scores are ratios of counts: equal up to rounding
			extreme++
		}
	}
	t.P, t.SensitivityP = float64(1+extreme)/float64(1+len(permutations)), float64(1+stronger)/float64(1+len(permutations))
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
