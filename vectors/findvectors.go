package vectors

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// TopStatistic measures how far a vector's top tokens are about one thing.
type TopStatistic struct {
	Name string
	Of   func(top []int) float64
}

// LexiconPurity is the share of the top tokens that are in a lexicon of token ids, out of v.
func LexiconPurity(name string, lexicon []int, v int) (TopStatistic, error) {
	if err := checkLexicon(lexicon, v); err != nil {
		return TopStatistic{}, fmt.Errorf("lexicon %q: %w", name, err)
	}
	lexicon = slices.Clone(lexicon)
	return TopStatistic{name, func(top []int) float64 { return float64(overlap(top, lexicon)) / float64(len(top)) }}, nil
}

// ClusterCoherence is the mean cosine between the top tokens' rows of a space [v, d'], such as a sentence encoder's embeddings
// of the tokens: it needs no lexicon. In the unembedding itself the top tokens of any direction are alike, and a space of
// another model is the better judge. Tokens whose row is 0 are left out.
func ClusterCoherence(name string, space *mat.Dense) (TopStatistic, error) {
	v, d, err := checkRows("space", space)
	if err != nil {
		return TopStatistic{}, err
	}
	unit, known := mat.DenseCopyOf(space), make([]bool, v)
	for i := range v {
		if norm := floats.Norm(unit.RawRowView(i), 2); norm > 0 {
			floats.Scale(1/norm, unit.RawRowView(i))
			known[i] = true
		}
	}
	return TopStatistic{name, func(top []int) float64 {
		sum, k := make([]float64, d), 0.0
		for _, t := range top {
			if t < v && known[t] {
				floats.Add(sum, unit.RawRowView(t))
				k++
			}
		}
		if k < 2 {
			return 0
		}
		return (floats.Dot(sum, sum) - k) / (k * (k - 1))
	}}, nil
}

// FindConfig says how concept vectors are found.
type FindConfig struct {
	K      int     `json:"k" yaml:"k" doc:"top tokens of a vector"`
	Random int     `json:"random" yaml:"random" doc:"random directions of the null"`
	Alpha  float64 `json:"alpha" yaml:"alpha" doc:"share of false finds, on average, among what is returned"`
	Seed   uint64  `json:"seed" yaml:"seed" doc:"of the random directions"`
}

// DefaultFind has the 200 tokens of ConceptVectors, and random directions enough for tens of thousands of candidates: a
// p-value cannot be below 1 / (random + 1), so that of m candidates m / (random + 1) count as found by chance.
func DefaultFind() FindConfig { return FindConfig{K: 200, Random: 9999, Alpha: 0.05} }

// Validate names the field that is out of range.
func (c FindConfig) Validate() error {
	switch {
	case c.K < 1 || c.Random < 1:
		return fmt.Errorf("vectors: find: k is %d and random %d: %w; use 200 and 9999", c.K, c.Random, ErrArgument)
	case !(c.Alpha > 0 && c.Alpha <= 1):
		return fmt.Errorf("vectors: find: alpha is %v: %w; it is a share above 0", c.Alpha, ErrArgument)
	}
	return nil
}

// FoundVector is a candidate whose top tokens are about one thing.
type FoundVector struct {
	Candidate int     `json:"candidate"` // its row
	Statistic string  `json:"statistic"` // by which it was found
	Value     float64 `json:"value"`
	P         float64 `json:"p"`
	BH        float64 `json:"bh"` // P adjusted over all candidates and statistics
	Top       []int   `json:"top"`
}

// FindVectors returns those rows of candidates [n, d], value vectors of MLPs say, whose top tokens in e [v, d] score higher than
// random directions' with the false discovery rate at alpha, by descending value: what arXiv:2406.11614 finds by a language
// model's judgement and manual filters. Norms do not matter, since they do not change the order of tokens.
func FindVectors(ctx context.Context, e, candidates *mat.Dense, statistics []TopStatistic, cfg FindConfig) ([]FoundVector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	tests, err := topTests(ctx, e, candidates, statistics, cfg)
	if err != nil {
		return nil, err
	}
	var out []FoundVector
	for _, t := range tests {
		if t.BH <= cfg.Alpha {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b FoundVector) int {
		switch {
		case a.Value > b.Value:
			return -1
		case a.Value < b.Value:
			return 1
		}
		return 0
	})
	return out, nil
}

// topTests tests every statistic of every candidate, statistics first.
func topTests(ctx context.Context, e, candidates *mat.Dense, statistics []TopStatistic, cfg FindConfig) ([]FoundVector, error) {
	if _, _, err := checkRows("embedding", e); err != nil {
		return nil, err
	}
	n, d, err := checkDirections(candidates)
	if err != nil {
		return nil, err
	}
	if len(statistics) == 0 {
		return nil, fmt.Errorf("vectors: find: no statistic: %w; give a lexicon or a space", ErrArgument)
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x7075726974796e75)) // "puritynu"
	null := make([][]float64, len(statistics))
	const block = 256
	for lo := 0; lo < cfg.Random; lo += block {
		directions := mat.NewDense(min(block, cfg.Random-lo), d, nil)
		for i := range directions.RawMatrix().Data {
			directions.RawMatrix().Data[i] = rng.NormFloat64()
		}
		err := topTable(ctx, e, directions, cfg.K, func(_ int, top []int) {
			for s, statistic := range statistics {
				null[s] = append(null[s], statistic.Of(top))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	for s := range null {
		sort.Float64s(null[s])
	}
	tests, p := make([]FoundVector, n*len(statistics)), make([]float64, n*len(statistics))
	err = topTable(ctx, e, candidates, cfg.K, func(i int, top []int) {
		for s, statistic := range statistics {
			value := statistic.Of(top)
			below := sort.SearchFloat64s(null[s], value-1e-12) // values are ratios of counts, or sums: equal up to rounding
			p[s*n+i] = float64(1+cfg.Random-below) / float64(1+cfg.Random)
			tests[s*n+i] = FoundVector{Candidate: i, Statistic: statistic.Name, Value: value, P: p[s*n+i], Top: top}
		}
	})
	if err != nil {
		return nil, err
	}
	adjusted, err := stats.BenjaminiHochberg(p)
	if err != nil {
		return nil, fmt.Errorf("vectors: find: %w", err)
	}
	for i := range tests {
		tests[i].BH = adjusted[i]
	}
	return tests, nil
}
