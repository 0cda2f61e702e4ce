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

// CausalUnembedding maps an unembedding e [v, d] to where inner products are causal ones (Park et al., arXiv:2311.03658): rows
// centred and whitened, (e - mean) S^-1/2 with S their covariance over the vocabulary. Directions without variance drop out.
func CausalUnembedding(e *mat.Dense) (*mat.Dense, error) {
	v, _, err := checkRows("unembedding", e)
	if err != nil {
		return nil, err
	}
	if v < 2 {
		return nil, fmt.Errorf("vectors: unembedding of %d tokens: %w; it needs two", v, ErrArgument)
	}
	mean, sum := deviations(e)
	sum.ScaleSym(1/float64(v-1), sum)
	s, err := eigen(sum)
	if err != nil {
		return nil, err
	}
	_, inverse := s.roots()
	return product(centred(e, mean), inverse), nil
}

// CategoryVector estimates the vector of a category, such as animal, from its words' rows of a causal unembedding g [v, d]: the
// direction in which they agree most for their spread, at the length of their mean along it (Park et al.,
// arXiv:2406.01506, section 4),
//
//	w = S^-1 m / |S^-1 m|,   vector = (w.m) w
//
// with m and S the words' mean and covariance, S shrunk towards a multiple of the identity (Scatter.Shrunk with its weight
// cut to [0, 1]) because words are fewer than dimensions. It needs three words.
func CategoryVector(g *mat.Dense, tokens []int) ([]float64, error) {
	v, d := g.Dims()
	if len(tokens) < 3 {
		return nil, fmt.Errorf("vectors: category of %d tokens: %w; it needs three", len(tokens), ErrArgument)
	}
	rows := mat.NewDense(len(tokens), d, nil)
	for i, t := range tokens {
		if t < 0 || t >= v {
			return nil, fmt.Errorf("vectors: category: token %d is not among %d: %w; is it of another tokenizer?", t, v, ErrArgument)
		}
		rows.SetRow(i, g.RawRowView(t))
	}
	if _, _, err := checkRows("unembedding", rows); err != nil {
		return nil, err
	}
	return category(rows)
}

// category is the vector of a category of which g holds the words' rows.
func category(g *mat.Dense) ([]float64, error) {
	n, d := g.Dims()
	mean := columnMeans(g)
	y := centred(g, mean)
	inner := product(y, y.T()) // its eigenvalues are those of the sum of outer products
	t, square := mat.Trace(inner)/float64(n-1), mat.Norm(inner, 2)/float64(n-1)
	if t == 0 {
		return nil, fmt.Errorf("vectors: category: all of its tokens have one embedding: %w", ErrSingular)
	}
	a := 1.0
	if spread := square*square - t*t/float64(d); spread > epsilon*square*square {
		a = max(0, min(1, 1-t*t/float64(n)/spread))
	}
	floor := (1 - a) * t / float64(d)
	if floor < epsilon*t {
		return nil, fmt.Errorf("vectors: category of %d tokens: %w; shrinkage leaves its covariance as it is", n, ErrSingular)
	}
	// (floor + a/(n-1) y'y)^-1 m = (m - y' (floor (n-1)/a + y y')^-1 y m) / floor
	w := append([]float64(nil), mean...)
	if a > 0 {
		dual := symmetrised(inner)
		addDiagonal(dual, floor*float64(n-1)/a)
		along := mat.NewVecDense(n, nil)
		along.MulVec(y, mat.NewVecDense(d, mean))
		part, err := solvePositive("category's covariance", dual, along.RawVector().Data)
		if err != nil {
			return nil, err
		}
		for i, v := range part {
			floats.AddScaled(w, -v, y.RawRowView(i))
		}
	}
	floats.Scale(1/floats.Norm(w, 2), w)
	floats.Scale(floats.Dot(w, mean), w)
	return w, nil
}

// Category is a node of a hierarchy with the tokens of its words.
type Category struct {
	Name   string
	Parent int // place of its parent, which comes before it; -1 for a root
	Tokens []int
}

// HierarchyConfig says how a hierarchy's geometry is tested.
type HierarchyConfig struct {
	Random    int                   `json:"random" yaml:"random" doc:"random sets of tokens in the null"`
	Bootstrap stats.BootstrapConfig `json:"bootstrap" yaml:"bootstrap" doc:"of the intervals, over the words of each category"`
	Seed      uint64                `json:"seed" yaml:"seed" doc:"of the random sets"`
}

// DefaultHierarchy has 199 random sets and percentile intervals of 500 resamples.
func DefaultHierarchy() HierarchyConfig {
	return HierarchyConfig{Random: 199, Bootstrap: stats.BootstrapConfig{Resamples: 500, Level: 0.95, Method: stats.Percentile}}
}

// Orthogonality is one prediction of the geometry of hierarchies.
type Orthogonality struct {
	Parent   int            `json:"parent"`
	Child    int            `json:"child"`
	Sibling  int            `json:"sibling"` // -1 where the child is held against its parent
	Cosine   stats.Interval `json:"cosine"`  // which the theory says is 0
	NullMean float64        `json:"null_mean"`
	Adjusted                // P is the share of random sets whose cosine is as near to 0
}

// Hierarchy tests what arXiv:2406.01506 predicts of categories in a causal unembedding g [v, d]:
//
//	parent orthogonal to (child - parent), and to (child - sibling)
//
// The cosine's interval says how near to orthogonal they are. In the null, random tokens from outside the parent take the
// child's place, as many as it has words: they lack the parent's part, so that their cosine with its parent lies near -1, and
// P says how often they come as near to 0. A small P shows that the child holds its parent's part, not that the angle is
// right: read both. A difference of random vectors is orthogonal to anything in many dimensions, so a test against a sibling
// has power only where the parent's part is strong.
func Hierarchy(ctx context.Context, g *mat.Dense, categories []Category, cfg HierarchyConfig) ([]Orthogonality, error) {
	v, _, err := checkRows("unembedding", g)
	if err != nil {
		return nil, err
	}
	if cfg.Random < 1 {
		return nil, fmt.Errorf("vectors: hierarchy: random is %d: %w; use 199 or more", cfg.Random, ErrArgument)
	}
	for i, c := range categories {
		if c.Parent >= i || c.Parent < -1 {
			return nil, fmt.Errorf("vectors: hierarchy: category %d (%s) has parent %d: %w; parents come first, and -1 is none", i, c.Name, c.Parent, ErrArgument)
		}
		if _, err = CategoryVector(g, c.Tokens); err != nil {
			return nil, fmt.Errorf("category %q: %w", c.Name, err)
		}
	}
	var out []Orthogonality
	var p []float64
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x6869657261726368)) // "hierarch"
	for i, c := range categories {
		if c.Parent < 0 {
			continue
		}
		outside := allBut(v, categories[c.Parent].Tokens)
		if len(outside) < len(c.Tokens) {
			return nil, fmt.Errorf("vectors: hierarchy: %d tokens lie outside %q, and %q has %d: %w", len(outside), categories[c.Parent].Name, c.Name, len(c.Tokens), ErrArgument)
		}
		partners := []int{-1}
		for j := range i {
			if categories[j].Parent == c.Parent {
				partners = append(partners, j)
			}
		}
		for _, j := range partners {
			o := Orthogonality{Parent: c.Parent, Child: i, Sibling: j}
			test := angle{g, categories[c.Parent].Tokens, c.Tokens, nil}
			if j >= 0 {
				test.sibling = categories[j].Tokens
			}
			if o.Cosine, err = test.interval(ctx, cfg.Bootstrap); err != nil {
				return nil, fmt.Errorf("vectors: hierarchy: %q under %q: %w", c.Name, categories[c.Parent].Name, err)
			}
			near := 0
			for range cfg.Random {
				test.child = sample(rng, outside, len(c.Tokens))
				cos := test.cosine()
				o.NullMean += cos / float64(cfg.Random)
				if math.Abs(cos) <= math.Abs(o.Cosine.Value) {
					near++
				}
			}
			out, p = append(out, o), append(p, float64(1+near)/float64(1+cfg.Random))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("vectors: hierarchy: no category has a parent: %w", ErrArgument)
	}
	adjusted, err := AdjustP(p)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].Adjusted = adjusted[i]
	}
	return out, nil
}

// angle is that between a parent and the difference of its child from it, or from a sibling, given their tokens.
type angle struct {
	g                      *mat.Dense
	parent, child, sibling []int
}

// cosine is NaN where a category's tokens have one embedding.
func (a angle) cosine() float64 {
	vector := func(tokens []int) []float64 {
		w, err := CategoryVector(a.g, tokens)
		if err != nil {
			_, d := a.g.Dims()
			return make([]float64, d)
		}
		return w
	}
	parent, from := vector(a.parent), []float64(nil)
	if from = parent; a.sibling != nil {
		from = vector(a.sibling)
	}
	return cosineOf(parent, less(vector(a.child), from))
}

// interval is the cosine with a bootstrap interval over words, drawn category by category.
func (a angle) interval(ctx context.Context, cfg stats.BootstrapConfig) (stats.Interval, error) {
	sets := [][]int{a.parent, a.child, a.sibling}
	var all, group []int
	for k, tokens := range sets {
		for _, t := range tokens {
			all, group = append(all, t), append(group, k)
		}
	}
	result, err := stats.BootstrapStrata(ctx, group, func(index []int) float64 {
		var drawn [3][]int
		for _, i := range index {
			drawn[group[i]] = append(drawn[group[i]], all[i])
		}
		return angle{a.g, drawn[0], drawn[1], drawn[2]}.cosine()
	}, cfg)
	return result.Interval, err
}

// allBut are the numbers 0..n without some.
func allBut(n int, without []int) []int {
	drop := make(map[int]bool, len(without))
	for _, t := range without {
		drop[t] = true
	}
	out := make([]int, 0, n)
	for t := range n {
		if !drop[t] {
			out = append(out, t)
		}
	}
	return out
}

// sample draws k different entries of from.
func sample(rng *rand.Rand, from []int, k int) []int {
	out := make([]int, k)
	for i, j := range rng.Perm(len(from))[:k] {
		out[i] = from[j]
	}
	return out
}
