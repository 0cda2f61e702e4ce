package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// RegionConfig says how a concept activation region is fitted and tested.
type RegionConfig struct {
	Kernel       Kernel  `json:"kernel" yaml:"kernel"`
	C            float64 `json:"c" yaml:"c" doc:"weight of the squared hinge"`
	HeldOut      float64 `json:"held_out" yaml:"held_out" doc:"share of each class that the gate's rows take, between 0 and 1"`
	Level        float64 `json:"level" yaml:"level" doc:"confidence level of the gate"`
	Permutations int     `json:"permutations" yaml:"permutations" doc:"of TCAR's null"`
	Seed         uint64  `json:"seed" yaml:"seed" doc:"of the split and the permutations"`
}

// DefaultRegion has the radial kernel of the paper with scikit-learn's width, and the gate of DefaultCAV.
func DefaultRegion() RegionConfig {
	return RegionConfig{Kernel: Kernel{Kind: KernelRBF}, C: 1, HeldOut: 1.0 / 3, Level: 0.95, Permutations: 199}
}

// Validate names the field that is out of range.
func (c RegionConfig) Validate() error {
	switch {
	case !(c.HeldOut > 0 && c.HeldOut < 1) || !(c.Level > 0 && c.Level < 1):
		return fmt.Errorf("vectors: region: held_out is %v and level %v: %w; both lie between 0 and 1", c.HeldOut, c.Level, ErrArgument)
	case c.Permutations < 1:
		return fmt.Errorf("vectors: region: permutations is %d: %w; use 199 or more", c.Permutations, ErrArgument)
	}
	if err := c.Kernel.validate(); err != nil {
		return err
	}
	return checkPenalty("region", c.C)
}

// Region is a concept activation region: where a kernel machine scores above 0. A vector needs the concept to lie on one
// side of a plane; a region does not.
type Region struct {
	Rows      *mat.Dense     // [n, d], that it was fitted on
	Weights   []float64      // [n], of the kernel with each row
	Bias      float64        `json:"bias"`
	Kernel    Kernel         `json:"kernel"`   // with the gamma that was used
	HeldOut   stats.Interval `json:"held_out"` // accuracy on rows that its fit on the others did not see, by Wilson
	Majority  float64        `json:"majority"` // share of the larger class among those rows
	Separates bool           `json:"separates"`
}

// FitRegion fits the region of class 1 (the concept) in x [n, d], with the squared hinge in place of the paper's hinge
// (Crabbé and van der Schaar, arXiv:2209.11222), and judges it on held-out rows as FitCAV does.
func FitRegion(ctx context.Context, x *mat.Dense, y []int, cfg RegionConfig) (*Region, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if _, _, _, err := checkClasses(x, y, 2, 2); err != nil {
		return nil, err
	}
	train, test := splitClasses(y, cfg.HeldOut, cfg.Seed)
	trainX, trainY := selectRows(x, y, train)
	testX, testY := selectRows(x, y, test)
	seen, err := fitRegion(ctx, trainX, trainY, cfg)
	if err != nil {
		return nil, err
	}
	right := 0
	scores, err := seen.Scores(testX)
	if err != nil {
		return nil, err
	}
	for i, s := range scores {
		if (s > 0) == (testY[i] == 1) {
			right++
		}
	}
	r, err := fitRegion(ctx, x, y, cfg)
	if err != nil {
		return nil, err
	}
	r.Majority = majority(testY)
	if r.HeldOut, err = stats.Wilson(right, len(testY), cfg.Level); err != nil {
		return nil, fmt.Errorf("vectors: region: %w", err)
	}
	r.Separates = r.HeldOut.Low > r.Majority
	return r, nil
}

func fitRegion(ctx context.Context, x *mat.Dense, y []int, cfg RegionConfig) (*Region, error) {
	kernel, err := cfg.Kernel.fitted(x)
	if err != nil {
		return nil, err
	}
	m, err := fitKernel(ctx, kernel.matrix(x, x), signs(y), cfg.C)
	if err != nil {
		return nil, err
	}
	return &Region{Rows: mat.DenseCopyOf(x), Weights: m.weights, Bias: m.bias, Kernel: kernel}, nil
}

// Scores returns the score of each row of x [m, d]: above 0 it lies in the region.
func (r *Region) Scores(x *mat.Dense) ([]float64, error) {
	_, d, err := checkRows("x", x)
	if err != nil {
		return nil, err
	}
	if _, width := r.Rows.Dims(); width != d {
		return nil, checkWidth("region", width, d)
	}
	return kernelMachine{r.Weights, r.Bias}.scores(r.Kernel.matrix(x, r.Rows)), nil
}

// TCARTest says how much of a class lies in a concept's region.
type TCARTest struct {
	Score float64   `json:"score"` // share of the class's examples in the region
	Null  []float64 `json:"null"`  // scores of regions fitted to shuffled labels
	P     float64   `json:"p"`     // two-sided about the mean of all scores, never 0
}

// TCAR tests whether a class lies inside or outside a concept's region (arXiv:2209.11222): x [n, d] with labels y, 1 for the
// concept, give the region, examples [m, d] are activations of the class.
//
//	score = #{i: f(example_i) > 0} / m,   p = (1 + #{|null - mean| >= |score - mean|}) / (1 + permutations)
//
// Unlike TCAV it takes no gradients: it says where the class is, not what moves it. The null refits the region to shuffled
// labels; correct over concepts, layers and classes with AdjustP, and gate the region with FitRegion.
func TCAR(ctx context.Context, x *mat.Dense, y []int, examples *mat.Dense, cfg RegionConfig) (*TCARTest, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, _, err := checkBinary(x, y)
	if err != nil {
		return nil, err
	}
	if _, width, err := checkRows("examples", examples); err != nil {
		return nil, err
	} else if err := checkWidth("class", width, d); err != nil {
		return nil, err
	}
	kernel, err := cfg.Kernel.fitted(x)
	if err != nil {
		return nil, err
	}
	among, with := kernel.matrix(x, x), kernel.matrix(examples, x)
	inside := func(labels []int) (float64, error) {
		m, err := fitKernel(ctx, among, signs(labels), cfg.C)
		if err != nil {
			return 0, err
		}
		count, scores := 0, m.scores(with)
		for _, s := range scores {
			if s > 0 {
				count++
			}
		}
		return float64(count) / float64(len(scores)), nil
	}
	test := &TCARTest{Null: make([]float64, cfg.Permutations)}
	if test.Score, err = inside(y); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x746361726e756c6c)) // "tcarnull"
	mean, shuffled := test.Score, make([]int, n)
	for i := range test.Null {
		for j, from := range rng.Perm(n) {
			shuffled[j] = y[from]
		}
		if test.Null[i], err = inside(shuffled); err != nil {
			return nil, err
		}
		mean += test.Null[i]
	}
	mean /= float64(1 + cfg.Permutations)
	extreme := 0
	for _, s := range test.Null {
		if math.Abs(s-mean) >= math.Abs(test.Score-mean)-1e-12 { // ratios of counts: equal up to rounding
			extreme++
		}
	}
	test.P = float64(1+extreme) / float64(1+cfg.Permutations)
	return test, nil
}
