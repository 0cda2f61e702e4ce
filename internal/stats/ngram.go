package stats

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// NGrams counts the n-grams of a set of texts, pooled.
type NGrams struct {
	Distinct int `json:"distinct"`
	Total    int `json:"total"`
	counts   []int
}

// CountNGrams counts the runs of n tokens within each text; a run does not cross from text to text. It fails with ErrTooFew
// when no text has n tokens.
func CountNGrams(texts [][]string, n int) (NGrams, error) {
	if n < 1 {
		return NGrams{}, fmt.Errorf("stats: n-grams of length %d: %w; n is 1 or more", n, ErrArgument)
	}
	counted := make(map[string]int)
	ids := make(map[string]uint64)
	var g NGrams
	for _, text := range texts {
		for from := range max(0, len(text)-n+1) {
			counted[gramKey(text[from:from+n], ids)]++
			g.Total++
		}
	}
	if g.Total == 0 {
		return NGrams{}, fmt.Errorf("stats: none of %d texts has %d tokens: %w", len(texts), n, ErrTooFew)
	}
	g.Distinct = len(counted)
	for _, c := range counted {
		g.counts = append(g.counts, c)
	}
	slices.Sort(g.counts) // a map has no order, and sums must not depend on it
	return g, nil
}

// DistinctRatio is distinct-n, distinct n-grams over all n-grams. It falls with the amount of text; see ExpectationAdjusted.
func (g NGrams) DistinctRatio() float64 { return float64(g.Distinct) / float64(g.Total) }

// ExpectationAdjusted is EAD, distinct n-grams over the number expected of as many draws from a uniform vocabulary:
//
//	distinct / (V (1 - ((V-1)/V)^total))
//
// vocabulary V is the number of possible n-grams; published values use the number of tokens for every n. It can exceed 1.
func (g NGrams) ExpectationAdjusted(vocabulary int) (float64, error) {
	if vocabulary < 1 {
		return 0, fmt.Errorf("stats: EAD with a vocabulary of %d: %w; give the tokenizer's size", vocabulary, ErrArgument)
	}
	v := float64(vocabulary)
	expected := v * -math.Expm1(float64(g.Total)*math.Log1p(-1/v))
	return float64(g.Distinct) / expected, nil
}

// Entropy is the Shannon entropy of the n-gram frequencies in bits.
func (g NGrams) Entropy() float64 {
	terms := make([]float64, len(g.counts))
	for i, c := range g.counts {
		p := float64(c) / float64(g.Total)
		terms[i] = -p * math.Log2(p)
	}
	return math.Abs(sum(terms)) // a single n-gram gives -0
}

// gramKey numbers tokens as they come and joins the numbers, so that no token's bytes can imitate a boundary.
func gramKey(tokens []string, ids map[string]uint64) string {
	key := make([]byte, 0, 3*len(tokens))
	for _, t := range tokens {
		id, seen := ids[t]
		if !seen {
			id = uint64(len(ids))
			ids[t] = id
		}
		key = binary.AppendUvarint(key, id)
	}
	return string(key)
}
