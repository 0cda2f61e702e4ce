package vectors

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"

	"loupe/internal/stats"
)

// Similarity is one pair of a table of similarities.
type Similarity struct {
	A     int     `json:"a"`
	B     int     `json:"b"`
	Value float64 `json:"value"`
	Adjusted
}

// Cosines compares all pairs of the rows of v [k, d]: directions of several concepts, or of one concept at several layers of
// a residual stream. P is the chance that two independent random directions have so large a cosine, of either sign: by
// Student's t with d-1 degrees of freedom, t = c sqrt((d-1) / (1-c²)). Activations that fill few of their dimensions have
// directions with larger cosines by chance: Entanglement holds them against shuffled labels instead.
func Cosines(v *mat.Dense) ([]Similarity, error) {
	k, d, err := checkDirections(v)
	if err != nil {
		return nil, err
	}
	if k < 2 || d < 2 {
		return nil, fmt.Errorf("vectors: cosines of %d directions of width %d: %w; it needs two of each", k, d, ErrArgument)
	}
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(d - 1)}
	var out []Similarity
	var p []float64
	for a := range k {
		for b := a + 1; b < k; b++ {
			x, y := v.RawRowView(a), v.RawRowView(b)
			c := max(-1, min(1, floats.Dot(x, y)/(floats.Norm(x, 2)*floats.Norm(y, 2))))
			out = append(out, Similarity{A: a, B: b, Value: c})
			p = append(p, 2*student.Survival(math.Abs(c)*math.Sqrt(float64(d-1)/(1-c*c))))
		}
	}
	return adjustTable(out, p)
}

// CKAConfig says how representations are compared.
type CKAConfig struct {
	Debiased     bool   `json:"debiased" yaml:"debiased" doc:"take the unbiased estimator, which is 0 on average for unrelated representations"`
	Permutations int    `json:"permutations" yaml:"permutations" doc:"random pairings of the examples in the null"`
	Seed         uint64 `json:"seed" yaml:"seed" doc:"of the pairings"`
}

// DefaultCKA is the unbiased estimator against 199 pairings.
func DefaultCKA() CKAConfig { return CKAConfig{Debiased: true, Permutations: 199} }

// CKA compares all pairs of representations of the same n examples, each [n, d_i]: layers, models or concepts' subspaces. P is
// from pairing the examples at random, which keeps the shape of each representation.
func CKA(ctx context.Context, layers []*mat.Dense, cfg CKAConfig) ([]Similarity, error) {
	if len(layers) < 2 || cfg.Permutations < 1 {
		return nil, fmt.Errorf("vectors: CKA of %d representations with %d permutations: %w; it needs two, and 199 or more", len(layers), cfg.Permutations, ErrArgument)
	}
	for i, x := range layers {
		n, _, err := checkRows(fmt.Sprintf("representation %d", i), x)
		if err != nil {
			return nil, err
		}
		if first, _ := layers[0].Dims(); n != first {
			return nil, fmt.Errorf("vectors: representation %d has %d rows and the first %d: %w; they must be of the same examples", i, n, first, ErrShape)
		}
	}
	var out []Similarity
	var p []float64
	for a := range layers {
		for b := a + 1; b < len(layers); b++ {
			test, err := stats.PermuteCKA(ctx, layers[a], layers[b], cfg.Debiased, stats.PermutationConfig{Resamples: cfg.Permutations, Seed: cfg.Seed})
			if err != nil {
				return nil, fmt.Errorf("vectors: CKA of representations %d and %d: %w", a, b, err)
			}
			out, p = append(out, Similarity{A: a, B: b, Value: test.Statistic}), append(p, test.P)
		}
	}
	return adjustTable(out, p)
}

// adjustTable fills in the p-values of a table and their corrections.
func adjustTable(table []Similarity, p []float64) ([]Similarity, error) {
	adjusted, err := AdjustP(p)
	if err != nil {
		return nil, err
	}
	for i := range table {
		table[i].Adjusted = adjusted[i]
	}
	return table, nil
}
