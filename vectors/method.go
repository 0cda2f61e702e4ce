package vectors

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// The methods that FitMethod knows: those that give directions, then those that give erasers.
const (
	MethodDiffOfMeans    = "diff-means"          // mean of the concept less the mean of the others
	MethodWhitened       = "diff-means-whitened" // the same in whitened coordinates
	MethodMassMean       = "mass-mean-cov"       // divided by the covariance within classes
	MethodLDA            = "lda"
	MethodLogistic       = "logistic"
	MethodRidge          = "ridge" // of classes 0 and 1, or of a number
	MethodHinge          = "cav"   // squared hinge, as for concept activation vectors
	MethodPCA            = "pca"   // of centred rows, whatever the labels
	MethodAblation       = "ablation"
	MethodMeanProjection = "mean-projection"
	MethodLEACE          = "leace"
	MethodOracle         = "leace-oracle"    // needs the labels of what it erases
	MethodQuadratic      = "leace-quadratic" // needs the labels of what it erases
	MethodINLP           = "inlp"
	MethodRLACE          = "rlace"
	MethodSAL            = "sal"
)

// DirectionMethods lists the methods that give directions.
func DirectionMethods() []string {
	return []string{MethodDiffOfMeans, MethodWhitened, MethodMassMean, MethodLDA, MethodLogistic, MethodRidge, MethodHinge, MethodPCA}
}

// EraserMethods lists the methods that give erasers.
func EraserMethods() []string {
	return []string{MethodAblation, MethodMeanProjection, MethodLEACE, MethodOracle, MethodQuadratic, MethodINLP, MethodRLACE, MethodSAL}
}

// MethodConfig are the settings of the methods that have some.
type MethodConfig struct {
	C         float64 `json:"c" doc:"logistic, cav, inlp, rlace: weight of the loss against the penalty"`
	Lambda    float64 `json:"lambda" doc:"ridge: penalty"`
	Rounds    int     `json:"rounds" doc:"inlp: classifiers that are projected away, one after the other"`
	Rank      int     `json:"rank" doc:"rlace, sal, pca: directions"`
	Shrinkage bool    `json:"shrinkage" doc:"lda, mass-mean-cov, leace-quadratic: shrink covariances towards a multiple of the identity, needed where rows are fewer than dimensions"`
}

// DefaultMethodConfig is one direction, and eight rounds of INLP.
func DefaultMethodConfig() MethodConfig { return MethodConfig{C: 1, Lambda: 1, Rounds: 8, Rank: 1} }

// Validate names the field that is out of range.
func (c MethodConfig) Validate() error {
	switch {
	case !(c.Lambda >= 0) || math.IsInf(c.Lambda, 0):
		return fmt.Errorf("vectors: lambda is %v: %w; it is 0 or more", c.Lambda, ErrArgument)
	case c.Rounds < 1 || c.Rank < 1:
		return fmt.Errorf("vectors: rounds is %d and rank %d: %w; use 1 or more", c.Rounds, c.Rank, ErrArgument)
	}
	return checkPenalty("settings", c.C)
}

// Labels are what is known of the rows: classes 0..K-1, 1 for the concept where K is 2, or numbers (K = 0).
type Labels struct {
	Class []int
	K     int
	Value []float64
}

// Columns are the concept columns [n, k] of LEACE and its kin: one-hot classes, or the numbers.
func (l Labels) Columns() (*mat.Dense, error) {
	if l.K > 0 {
		return OneHot(l.Class, l.K)
	}
	if len(l.Value) == 0 {
		return nil, fmt.Errorf("vectors: no labels: %w", ErrClasses)
	}
	return mat.NewDense(len(l.Value), 1, slices.Clone(l.Value)), nil
}

// Fitted is what a method found. Removers of oracle methods see the labels of the rows that they change, so that they show
// what is possible and cannot be used in a model.
type Fitted struct {
	Method     string
	Directions *mat.Dense // [r, d], the first one towards the concept; nil for methods without
	Eraser     *Eraser    // nil for directions and oracles
	Oracle     func(x *mat.Dense, l Labels) (*mat.Dense, error)
	Rank       int // directions that are removed; the width for leace-quadratic
}

// FitMethod fits a method by its name to rows x [n, d]. Methods of two classes refuse others; leace, leace-oracle, sal, ridge
// and pca take numbers too.
func FitMethod(ctx context.Context, method string, x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var f *Fitted
	var err error
	switch {
	case slices.Contains(DirectionMethods(), method):
		f, err = fitDirections(ctx, method, x, l, cfg)
	case slices.Contains(EraserMethods(), method):
		f, err = fitEraser(ctx, method, x, l, cfg)
	default:
		return nil, fmt.Errorf("vectors: method %q is unknown: %w; directions: %v, erasers: %v", method, ErrArgument, DirectionMethods(), EraserMethods())
	}
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", method, err)
	}
	f.Method = method
	return f, nil
}

// binary fails unless the labels are those of one concept.
func (l Labels) binary() error {
	if l.K != 2 {
		return fmt.Errorf("vectors: labels of %d classes (0: numbers) for a method of two: %w; choose a class with target.positive, or leace, leace-oracle or sal", l.K, ErrClasses)
	}
	return nil
}

func fitDirections(ctx context.Context, method string, x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	if method == MethodPCA {
		p, err := FitPCA(x, cfg.Rank, Centred)
		if err != nil {
			return nil, err
		}
		return &Fitted{Directions: p.Components, Rank: cfg.Rank}, nil
	}
	if method == MethodRidge {
		return fitRidge(x, l, cfg)
	}
	if err := l.binary(); err != nil {
		return nil, err
	}
	var w []float64
	var err error
	linear := func(f Linear, failed error) { w, err = f.Weights, failed }
	switch method {
	case MethodDiffOfMeans:
		w, err = DiffOfMeans(x, l.Class)
	case MethodWhitened:
		w, err = DiffOfMeansWhitened(x, l.Class)
	case MethodMassMean:
		linear(MassMeanCov(x, l.Class, CovarianceOptions{Shrinkage: cfg.Shrinkage}))
	case MethodLDA:
		linear(LDA(x, l.Class, cfg.Shrinkage))
	case MethodLogistic, MethodHinge:
		fit := Logistic
		if method == MethodHinge {
			fit = SquaredHinge
		}
		found, failed := fit(ctx, x, l.Class, cfg.C)
		linear(found.Linear, failed)
	}
	if err != nil {
		return nil, err
	}
	if err := checkVector("direction", w, 0); err != nil {
		return nil, fmt.Errorf("the classes do not differ: %w", err)
	}
	return &Fitted{Directions: mat.NewDense(1, len(w), w), Rank: 1}, nil
}

func fitRidge(x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	t := l.Value
	if l.K > 0 {
		if err := l.binary(); err != nil {
			return nil, err
		}
		t = make([]float64, len(l.Class))
		for i, c := range l.Class {
			t[i] = float64(c)
		}
	}
	fit, err := Ridge(x, t, cfg.Lambda)
	if err != nil {
		return nil, err
	}
	if err := checkVector("direction", fit.Weights, 0); err != nil {
		return nil, err
	}
	return &Fitted{Directions: mat.NewDense(1, len(fit.Weights), fit.Weights), Rank: 1}, nil
}

func fitEraser(ctx context.Context, method string, x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	var e *Eraser
	var err error
	switch method {
	case MethodAblation:
		f, failed := fitDirections(ctx, MethodDiffOfMeans, x, l, cfg)
		if failed != nil {
			return nil, failed
		}
		if e, err = AblationAbout(f.Directions, columnMeans(x)); err != nil {
			return nil, err
		}
		return &Fitted{Directions: f.Directions, Eraser: e, Rank: e.Rank()}, nil
	case MethodQuadratic:
		return fitQuadratic(ctx, x, l, cfg)
	case MethodMeanProjection, MethodINLP, MethodRLACE:
		if l.K < 2 {
			return nil, fmt.Errorf("vectors: numbers for a method of classes: %w; use leace, leace-oracle or sal", ErrClasses)
		}
		switch method {
		case MethodMeanProjection:
			e, err = MeanProjection(x, l.Class)
		case MethodINLP:
			var fit *INLPFit
			if fit, err = INLP(ctx, x, l.Class, INLPConfig{Rounds: cfg.Rounds, C: cfg.C}); err == nil {
				e = fit.Eraser
			}
		case MethodRLACE:
			c := DefaultRLACE()
			c.Rank, c.C = cfg.Rank, cfg.C
			var fit *RLACEFit
			if fit, err = RLACE(ctx, x, l.Class, c); err == nil {
				e = fit.Eraser
			}
		}
	default:
		return fitMoments(method, x, l, cfg)
	}
	if err != nil {
		return nil, err
	}
	return &Fitted{Eraser: e, Rank: e.Rank()}, nil
}

// fitMoments fits what needs moments of x and the concept columns alone.
func fitMoments(method string, x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	if l.K > 0 { // every class needs a row
		if _, _, _, err := checkClasses(x, l.Class, l.K, 1); err != nil {
			return nil, err
		}
	}
	z, err := l.Columns()
	if err != nil {
		return nil, err
	}
	m, err := jointMoments(x, z)
	if err != nil {
		return nil, err
	}
	switch method {
	case MethodLEACE:
		fit, err := LEACE(m, DefaultLEACE())
		if err != nil {
			return nil, err
		}
		return &Fitted{Eraser: fit.Eraser, Rank: fit.Rank()}, nil
	case MethodSAL:
		e, err := SAL(m, cfg.Rank)
		if err != nil {
			return nil, err
		}
		return &Fitted{Eraser: e, Rank: e.Rank()}, nil
	}
	oracle, err := OracleLEACE(m, 0)
	if err != nil {
		return nil, err
	}
	return &Fitted{Rank: max(l.K-1, 1), Oracle: func(x *mat.Dense, l Labels) (*mat.Dense, error) {
		z, err := l.Columns()
		if err != nil {
			return nil, err
		}
		return oracle.Apply(x, z)
	}}, nil
}

func fitQuadratic(ctx context.Context, x *mat.Dense, l Labels, cfg MethodConfig) (*Fitted, error) {
	if l.K < 2 {
		return nil, fmt.Errorf("vectors: numbers for a method of classes: %w; use leace, leace-oracle or sal", ErrClasses)
	}
	_, d, counts, err := checkClasses(x, l.Class, l.K, 2)
	if err != nil {
		return nil, err
	}
	for c, n := range counts {
		if n <= d && !cfg.Shrinkage {
			return nil, fmt.Errorf("vectors: class %d has %d rows of width %d, so that its covariance is singular: %w; give more rows, or set shrinkage", c, n, d, ErrSingular)
		}
	}
	fit, err := NewQuadraticFitter(d, l.K)
	if err != nil {
		return nil, err
	}
	if err := fit.Update(x, l.Class); err != nil {
		return nil, err
	}
	e, err := fit.Eraser(ctx, cfg.Shrinkage)
	if err != nil {
		return nil, err
	}
	return &Fitted{Rank: d, Oracle: func(x *mat.Dense, l Labels) (*mat.Dense, error) { return e.Apply(x, l.Class) }}, nil
}
