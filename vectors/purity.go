package vectors

import (
	"context"
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// Purity is the share of a vector's k top tokens that are in a lexicon of token ids.
func Purity(e *mat.Dense, vector []float64, lexicon []int, k int) (float64, error) {
	v, d, err := checkRows("embedding", e)
	if err != nil {
		return 0, err
	}
	if err := checkLexicon(lexicon, v); err != nil {
		return 0, err
	}
	return purity(e, v, d, vector, lexicon, k)
}

func purity(e *mat.Dense, v, d int, vector []float64, lexicon []int, k int) (float64, error) {
	top, err := topTokens(e, v, d, vector, k)
	if err != nil {
		return 0, err
	}
	return float64(overlap(top, lexicon)) / float64(k), nil
}

func checkLexicon(lexicon []int, v int) error {
	if len(lexicon) == 0 {
		return fmt.Errorf("vectors: purity in an empty lexicon: %w", ErrArgument)
	}
	for _, t := range lexicon {
		if t < 0 || t >= v {
			return fmt.Errorf("vectors: lexicon: token %d is not among %d: %w; is it of another tokenizer?", t, v, ErrArgument)
		}
	}
	return nil
}

// PurityTest is a vector's purity held against that of random directions.
type PurityTest struct {
	Purity float64 `json:"purity"`
	P      float64 `json:"p"`  // share of random directions at least as pure, never 0
	BH     float64 `json:"bh"` // P adjusted over all vectors tested: at or below alpha, the share of false finds is at most alpha
}

// PurityTests tests every row of candidates [n, d], value vectors of an MLP say, for purity in a lexicon (arXiv:2406.11614
// finds concept vectors by their top tokens). The null are random directions, uniform on the sphere; norms do not
// matter, since they do not change the order of tokens.
func PurityTests(ctx context.Context, e, candidates *mat.Dense, lexicon []int, k, random int, seed uint64) ([]PurityTest, error) {
	v, d, err := checkRows("embedding", e)
	if err != nil {
		return nil, err
	}
	n, _, err := checkDirections(candidates)
	if err != nil {
		return nil, err
	}
	if err := checkLexicon(lexicon, v); err != nil {
		return nil, err
	}
	if random < 1 {
		return nil, fmt.Errorf("vectors: purity against %d random directions: %w; use 999 or more", random, ErrArgument)
	}
	rng := rand.New(rand.NewPCG(seed, 0x7075726974796e75)) // "puritynu"
	null, direction := make([]float64, random), make([]float64, d)
	for i := range null {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: purity: %w", err)
		}
		for j := range direction {
			direction[j] = rng.NormFloat64()
		}
		if null[i], err = purity(e, v, d, direction, lexicon, k); err != nil {
			return nil, err
		}
	}
	tests, p := make([]PurityTest, n), make([]float64, n)
	for i := range tests {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("vectors: purity: %w", err)
		}
		if tests[i].Purity, err = purity(e, v, d, candidates.RawRowView(i), lexicon, k); err != nil {
			return nil, fmt.Errorf("vector %d: %w", i, err)
		}
		atLeast := 1
		for _, of := range null {
			if of >= tests[i].Purity-1e-12 { // both are counts over k
				atLeast++
			}
		}
		p[i] = float64(atLeast) / float64(1+random)
	}
	adjusted, err := stats.BenjaminiHochberg(p)
	if err != nil {
		return nil, fmt.Errorf("vectors: purity: %w", err)
	}
	for i := range tests {
		tests[i].P, tests[i].BH = p[i], adjusted[i]
	}
	return tests, nil
}
