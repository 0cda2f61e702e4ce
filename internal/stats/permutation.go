package stats

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/combin"
)

// PermutationConfig says how many arrangements to visit: all of them if there are no more than Resamples, else Resamples
// random ones.
type PermutationConfig struct {
	Resamples int    `json:"resamples" yaml:"resamples"`
	Seed      uint64 `json:"seed" yaml:"seed"`
}

// DefaultPermutation returns 9,999 resamples, with which the least p-value is 0.0001.
func DefaultPermutation() PermutationConfig { return PermutationConfig{Resamples: 9999} }

// PermutationTest is the outcome of a permutation test.
type PermutationTest struct {
	Statistic    float64 `json:"statistic"`    // on the data as they are
	P            float64 `json:"p"`            // never 0
	Arrangements int     `json:"arrangements"` // all of them when Exact, else the random ones
	Exact        bool    `json:"exact"`
}

// PermuteMeans tests mean(a) - mean(b) under exchange of the labels. Two-sided compares absolute differences. It is exact
// when C(n_a+n_b, n_a) <= cfg.Resamples.
func PermuteMeans(ctx context.Context, a, b []float64, alt Alternative, cfg PermutationConfig) (PermutationTest, error) {
	if err := checkSamples(a, b, 1, checkFinite); err != nil {
		return PermutationTest{}, err
	}
	orient, err := orientation(alt)
	if err != nil {
		return PermutationTest{}, err
	}
	all := append(append(make([]float64, 0, len(a)+len(b)), a...), b...)
	ca, cb := centred(a, all), centred(b, all)
	r, err := permuteSplit(ctx, ca, cb, func(x, y []float64) float64 { return orient(mean(x) - mean(y)) }, cfg)
	if err != nil {
		return PermutationTest{}, err
	}
	r.Statistic = mean(ca) - mean(cb)
	return r, nil
}

// PermuteSigns tests whether paired differences d[n] are symmetric about zero, by their mean under flips of sign. Two-sided
// compares absolute means. It is exact when 2^n <= cfg.Resamples.
func PermuteSigns(ctx context.Context, d []float64, alt Alternative, cfg PermutationConfig) (PermutationTest, error) {
	if err := checkCount("the list of differences", len(d), 1); err != nil {
		return PermutationTest{}, err
	}
	if err := checkFinite("d", d); err != nil {
		return PermutationTest{}, err
	}
	orient, err := orientation(alt)
	if err != nil {
		return PermutationTest{}, err
	}
	flipped := make([]float64, len(d))
	p := permutation{cfg: cfg, total: 1}
	for range d {
		p.total = satMul(p.total, 2)
	}
	copy(flipped, d)
	p.statistic = func() float64 { return orient(mean(flipped)) }
	p.each = func(k int) {
		for i := range d {
			flipped[i] = d[i]
			if k>>i&1 == 1 {
				flipped[i] = -d[i]
			}
		}
	}
	p.random = func(rng *rand.Rand) {
		var bits uint64
		for i := range d {
			if i%64 == 0 {
				bits = rng.Uint64()
			}
			flipped[i] = d[i]
			if bits&1 == 1 {
				flipped[i] = -d[i]
			}
			bits >>= 1
		}
	}
	r, err := p.run(ctx)
	if err != nil {
		return PermutationTest{}, err
	}
	r.Statistic = mean(d)
	return r, nil
}

// PermuteTwoSample tests any statistic of two samples under exchange of the labels. P is the share of arrangements whose
// statistic is at least the observed one; for two sides give an absolute value. a and b of the statistic are only lent. It is exact
// when C(n_a+n_b, n_a) <= cfg.Resamples.
func PermuteTwoSample(ctx context.Context, a, b []float64, statistic func(a, b []float64) float64, cfg PermutationConfig) (PermutationTest, error) {
	if err := checkSamples(a, b, 1, checkOrdered); err != nil {
		return PermutationTest{}, err
	}
	return permuteSplit(ctx, a, b, statistic, cfg)
}

// PermutePairing tests any statistic of a pairing of n things with n others: it is called with a permutation, first the
// identity, and relabels one side by it (shuffled labels, shuffled y of a correlation). P is the share of permutations whose
// statistic is at least the observed one. It is exact when n! <= cfg.Resamples.
func PermutePairing(ctx context.Context, n int, statistic func(permutation []int) float64, cfg PermutationConfig) (PermutationTest, error) {
	if err := checkCount("the list of pairs", n, 2); err != nil {
		return PermutationTest{}, err
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	p := permutation{cfg: cfg, total: 1}
	for k := 2; k <= n; k++ {
		p.total = satMul(p.total, k)
	}
	p.statistic = func() float64 { return statistic(order) }
	var all *combin.PermutationGenerator
	p.each = func(k int) {
		if k == 0 {
			all = combin.NewPermutationGenerator(n, n)
		}
		all.Next()
		all.Permutation(order)
	}
	p.random = func(rng *rand.Rand) { rng.Shuffle(n, func(i, j int) { order[i], order[j] = order[j], order[i] }) }
	return p.run(ctx)
}

func permuteSplit(ctx context.Context, a, b []float64, statistic func(a, b []float64) float64, cfg PermutationConfig) (PermutationTest, error) {
	na, n := len(a), len(a)+len(b)
	all := append(append(make([]float64, 0, n), a...), b...)
	buffer := append([]float64(nil), all...)
	p := permutation{cfg: cfg, total: binomial(n, na)}
	p.statistic = func() float64 { return statistic(buffer[:na:na], buffer[na:]) }
	chosen := make([]int, na) // ascending positions of sample a
	var splits *combin.CombinationGenerator
	p.each = func(k int) {
		if k == 0 {
			splits = combin.NewCombinationGenerator(n, na)
		}
		splits.Next()
		splits.Combination(chosen)
		toA, toB := 0, na
		for i, v := range all {
			if toA < na && chosen[toA] == i {
				buffer[toA] = v
				toA++
			} else {
				buffer[toB] = v
				toB++
			}
		}
	}
	p.random = func(rng *rand.Rand) { rng.Shuffle(n, func(i, j int) { buffer[i], buffer[j] = buffer[j], buffer[i] }) }
	return p.run(ctx)
}

func orientation(alt Alternative) (func(float64) float64, error) {
	switch alt {
	case TwoSided:
		return math.Abs, nil
	case Greater:
		return func(v float64) float64 { return v }, nil
	case Less:
		return func(v float64) float64 { return -v }, nil
	}
	return nil, fmt.Errorf("stats: alternative is %q: %w; known are %q, %q, %q", alt, ErrArgument, TwoSided, Greater, Less)
}
