package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// EntanglementConfig says how concepts are held against each other.
type EntanglementConfig struct {
	Permutations int                   `json:"permutations" yaml:"permutations" doc:"shufflings of a concept's rows with neutral ones"`
	Bootstrap    stats.BootstrapConfig `json:"bootstrap" yaml:"bootstrap" doc:"of the intervals, over rows within each concept"`
	Seed         uint64                `json:"seed" yaml:"seed" doc:"of the shufflings"`
}

// DefaultEntanglement has 199 shufflings and the intervals of stats.DefaultBootstrap.
func DefaultEntanglement() EntanglementConfig {
	return EntanglementConfig{Permutations: 199, Bootstrap: stats.DefaultBootstrap()}
}

// Validate names the field that is out of range.
func (c EntanglementConfig) Validate() error {
	if c.Permutations < 1 {
		return fmt.Errorf("vectors: entanglement: permutations is %d: %w; use 199 or more", c.Permutations, ErrArgument)
	}
	if err := c.Bootstrap.Validate(); err != nil {
		return fmt.Errorf("vectors: entanglement: %w", err)
	}
	return nil
}

// Entangled is how far two concepts share a direction at one layer.
type Entangled struct {
	Layer    int            `json:"layer"`
	A        int            `json:"a"`
	B        int            `json:"b"`
	Cosine   stats.Interval `json:"cosine"`
	Adjusted                // over all pairs and layers
}

// EntanglementTable holds every pair of concepts at every layer, layers first.
type EntanglementTable struct {
	Pairs []Entangled `json:"pairs"`
	// Matrices are the cosines of each layer [k, k], 1 on the diagonal.
	Matrices []*mat.SymDense `json:"-"`
}

// Entanglement is the similarity of concept vectors at each layer, which arXiv:2511.14017 relates to how far unlearning one
// concept spills over to another:
//
//	v_a = mean of concept a's rows - mean of neutral rows,   S(a, b) = cos(v_a, v_b)
//
// layers hold activations of the same n rows, each [n, d]; concept [n] is 0 for neutral rows and 1..k for concepts. A mean
// of neutral rows that both vectors share would make unrelated concepts similar (cosine 1/2 for small effects), so a and b
// are taken from different halves of the neutral rows, in both ways, and the two cosines averaged. P is the share of
// shufflings of a's rows with its neutral ones whose cosine with v_b is as large (either sign), in both roles, the larger
// of the two.
func Entanglement(ctx context.Context, layers []*mat.Dense, concept []int, cfg EntanglementConfig) (*EntanglementTable, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	counts, err := checkLabels(len(concept), concept, 0, 2)
	if err != nil {
		return nil, err
	}
	k := len(counts) - 1
	if k < 2 || counts[0] < 4 {
		return nil, fmt.Errorf("vectors: entanglement of %d concepts with %d neutral rows (label 0): %w; it needs two concepts and four neutral rows", k, counts[0], ErrClasses)
	}
	groups := make([][]int, 2+k) // two halves of the neutral rows, then the concepts
	for i, c := range concept {
		g := c + 1
		if c == 0 {
			g = (len(groups[0]) + len(groups[1])) % 2
		}
		groups[g] = append(groups[g], i)
	}
	table := &EntanglementTable{}
	var p []float64
	for l, x := range layers {
		if n, _, err := checkRows(fmt.Sprintf("layer %d", l), x); err != nil {
			return nil, err
		} else if n != len(concept) {
			return nil, fmt.Errorf("vectors: layer %d has %d rows for %d labels: %w", l, n, len(concept), ErrShape)
		}
		matrix := mat.NewSymDense(k, nil)
		for a := range k {
			matrix.SetSym(a, a, 1)
			for b := a + 1; b < k; b++ {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("vectors: entanglement: %w", err)
				}
				pair := pairOf{x, [4][]int{groups[0], groups[1], groups[2+a], groups[2+b]}}
				if c := pair.cosine(); math.IsNaN(c) {
					return nil, fmt.Errorf("vectors: entanglement: layer %d: concept %d or %d does not differ from the neutral rows: %w", l, a+1, b+1, ErrArgument)
				}
				e := Entangled{Layer: l, A: a, B: b}
				if e.Cosine, err = pair.interval(ctx, cfg.Bootstrap); err != nil {
					return nil, fmt.Errorf("vectors: entanglement: layer %d: concepts %d and %d: %w", l, a+1, b+1, err)
				}
				rng := rand.New(rand.NewPCG(cfg.Seed, uint64(l)<<40|uint64(a)<<20|uint64(b)))
				table.Pairs, p = append(table.Pairs, e), append(p, pair.test(rng, cfg.Permutations))
				matrix.SetSym(a, b, e.Cosine.Value)
			}
		}
		table.Matrices = append(table.Matrices, matrix)
	}
	adjusted, err := AdjustP(p)
	if err != nil {
		return nil, err
	}
	for i := range table.Pairs {
		table.Pairs[i].Adjusted = adjusted[i]
	}
	return table, nil
}

// pairOf are rows of x: two halves of neutral ones, and those of two concepts.
type pairOf struct {
	x    *mat.Dense
	rows [4][]int
}

// cosine is the mean of the two ways to give the halves to the concepts.
func (p pairOf) cosine() float64 {
	var mean [4][]float64
	for i, rows := range p.rows {
		mean[i] = meanOfRows(p.x, rows)
	}
	return (cosineOf(less(mean[2], mean[0]), less(mean[3], mean[1])) + cosineOf(less(mean[2], mean[1]), less(mean[3], mean[0]))) / 2
}

// interval is the cosine with a bootstrap interval over rows, drawn group by group.
func (p pairOf) interval(ctx context.Context, cfg stats.BootstrapConfig) (stats.Interval, error) {
	var all, group []int
	for g, rows := range p.rows {
		for _, r := range rows {
			all, group = append(all, r), append(group, g)
		}
	}
	result, err := stats.BootstrapStrata(ctx, group, func(index []int) float64 {
		drawn := pairOf{x: p.x}
		for _, i := range index {
			drawn.rows[group[i]] = append(drawn.rows[group[i]], all[i])
		}
		return drawn.cosine()
	}, cfg)
	return result.Interval, err
}

// test is the larger of the p-values of the two concepts: each one's rows shuffled with half of the neutral ones, the other's
// vector from the other half.
func (p pairOf) test(rng *rand.Rand, permutations int) float64 {
	largest := 0.0
	for _, role := range [2][2]int{{2, 3}, {3, 2}} {
		concept, neutral := p.rows[role[0]], p.rows[0]
		other := less(meanOfRows(p.x, p.rows[role[1]]), meanOfRows(p.x, p.rows[1]))
		observed := math.Abs(cosineOf(less(meanOfRows(p.x, concept), meanOfRows(p.x, neutral)), other))
		both := append(append([]int{}, concept...), neutral...)
		extreme := 0
		for range permutations {
			rng.Shuffle(len(both), func(i, j int) { both[i], both[j] = both[j], both[i] })
			c := cosineOf(less(meanOfRows(p.x, both[:len(concept)]), meanOfRows(p.x, both[len(concept):])), other)
			if math.Abs(c) >= observed {
				extreme++
			}
		}
		largest = max(largest, float64(1+extreme)/float64(1+permutations))
	}
	return largest
}

func meanOfRows(x *mat.Dense, rows []int) []float64 {
	_, d := x.Dims()
	mean := make([]float64, d)
	for _, r := range rows {
		floats.Add(mean, x.RawRowView(r))
	}
	floats.Scale(1/float64(len(rows)), mean)
	return mean
}

func less(a, b []float64) []float64 { return floats.SubTo(make([]float64, len(a)), a, b) }

// cosineOf is NaN for a vector of zeros.
func cosineOf(a, b []float64) float64 {
	return floats.Dot(a, b) / (floats.Norm(a, 2) * floats.Norm(b, 2))
}
