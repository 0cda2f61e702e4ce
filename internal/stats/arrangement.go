package stats

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
)

// permutation is one plan of rearranging: statistic reads the present arrangement, which each and random change.
type permutation struct {
	statistic func() float64
	each      func(k int) // sets arrangement k of total; called with k = 0, 1, ... in turn, 0 being the data as they are
	random    func(rng *rand.Rand)
	total     int // number of arrangements, math.MaxInt if more
	cfg       PermutationConfig
}

// run compares each arrangement with the observed one. Equal statistics can differ in the last bits with the order of
// addition, so that a hair below counts as equal. Random arrangements give (1 + count) / (1 + n), since the observed one is an
// arrangement too (Phipson and Smyth 2010).
func (p permutation) run(ctx context.Context) (PermutationTest, error) {
	if p.cfg.Resamples < 1 {
		return PermutationTest{}, fmt.Errorf("stats: permutation resamples is %d: %w; 9999 is usual", p.cfg.Resamples, ErrArgument)
	}
	observed := p.statistic()
	if math.IsNaN(observed) || math.IsInf(observed, 0) {
		return PermutationTest{}, fmt.Errorf("stats: the permuted statistic is %v on the data: %w; make it finite there", observed, ErrNotFinite)
	}
	values := make([]float64, min(p.total, p.cfg.Resamples))
	exact := p.total <= p.cfg.Resamples
	rng, largest := newRand(p.cfg.Seed), math.Abs(observed)
	for k := range values {
		if err := ctx.Err(); err != nil {
			return PermutationTest{}, fmt.Errorf("stats: permutation test stopped after %d of %d arrangements: %w", k, len(values), err)
		}
		if exact {
			p.each(k)
		} else {
			p.random(rng)
		}
		values[k] = p.statistic()
		if math.IsNaN(values[k]) || math.IsInf(values[k], 0) {
			return PermutationTest{}, fmt.Errorf("stats: the permuted statistic is %v on arrangement %d: %w; make it finite there", values[k], k, ErrNotFinite)
		}
		largest = max(largest, math.Abs(values[k]))
	}
	count := 0
	for _, v := range values {
		if v >= observed-1e-12*largest {
			count++
		}
	}
	r := PermutationTest{Statistic: observed, P: float64(count) / float64(len(values)), Arrangements: len(values), Exact: exact}
	if !exact {
		r.P = float64(1+count) / float64(1+len(values))
	}
	return r, nil
}

// binomial is C(n, k), or math.MaxInt if it might not fit.
func binomial(n, k int) int {
	k = min(k, n-k)
	c := 1
	for i := 1; i <= k; i++ {
		c = satMul(c, n-k+i)
		if c == math.MaxInt {
			return c
		}
		c /= i
	}
	return c
}

func satMul(a, b int) int {
	if a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}

// centred takes the mean of all off x, so that the rounding of a difference of means is relative to the spread of the data.
func centred(x, all []float64) []float64 {
	m := mean(all)
	c := make([]float64, len(x))
	for i, v := range x {
		c[i] = v - m
	}
	return c
}
