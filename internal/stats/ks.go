package stats

import (
	"math"
	"slices"
)

// KSTest is the outcome of the two-sample Kolmogorov-Smirnov test.
type KSTest struct {
	D     float64 `json:"d"`     // largest distance between the empirical distribution functions
	P     float64 `json:"p"`     // two-sided
	Exact bool    `json:"exact"` // whether P is exact (for continuous data; conservative with ties)
}

// exactKSCells bounds n_a n_b of the exact p-value, so that it takes well under a second; two samples of 10,000 are within.
const exactKSCells = 100_000_000

// KolmogorovSmirnov tests whether a and b come from one distribution. The p-value counts the lattice paths that reach a
// distance of D or more (Hodges 1958), exactly while n_a n_b <= 1e8, and is asymptotic beyond.
func KolmogorovSmirnov(a, b []float64) (KSTest, error) {
	if err := checkSamples(a, b, 1, checkOrdered); err != nil {
		return KSTest{}, err
	}
	na, nb := len(a), len(b)
	h, lcm := ksDistance(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
	r := KSTest{D: float64(h) / float64(lcm)}
	if na <= exactKSCells/nb {
		r.P, r.Exact = ksExact(max(na, nb), min(na, nb), h), true
		return r, nil
	}
	r.P = ksAsymptotic(float64(na)*float64(nb)/(float64(na)+float64(nb)), r.D)
	return r, nil
}

// ksDistance returns D as h / lcm(n_a, n_b), free of rounding; a and b ascend.
func ksDistance(a, b []float64) (h, lcm int) {
	g := gcd(len(a), len(b))
	stepA, stepB := len(b)/g, len(a)/g
	for i, j := 0, 0; i < len(a) && j < len(b); {
		v := min(a[i], b[j])
		for i < len(a) && a[i] == v {
			i++
		}
		for j < len(b) && b[j] == v {
			j++
		}
		d := i*stepA - j*stepB
		h = max(h, d, -d)
	}
	return h, len(a) * stepA
}

// ksExact is the chance that a random lattice path from (0,0) to (m,n), m >= n, touches |i n - j m| / gcd >= h. Given that
// a path passes (i,j), it came from (i-1,j) with probability i/(i+j); so the chance hit[i,j] to have touched by then is
// the mean of its two predecessors with these weights, and 1 outside. All terms are positive: the tail keeps its precision.
func ksExact(m, n, h int) float64 {
	if h == 0 {
		return 1
	}
	g := gcd(m, n)
	stepI, stepJ := n/g, m/g
	hit := make([]float64, n+1)
	for j := range hit {
		if j*stepJ >= h {
			hit[j] = 1
		}
	}
	for i := 1; i <= m; i++ {
		low := max(0, (i*stepI-h)/stepJ+1) // least j with i*stepI - j*stepJ < h
		if i*stepI < h {
			low = 0
		}
		high := min(n, (i*stepI+h-1)/stepJ) // greatest j with j*stepJ - i*stepI < h
		if low > high {
			return 1
		}
		left := 1.0
		if low > 0 {
			hit[low-1] = 1
		}
		for j := low; j <= high; j++ {
			left = (hit[j]*float64(i) + left*float64(j)) / float64(i+j)
			hit[j] = left
		}
	}
	return hit[n]
}

// ksAsymptotic is Kolmogorov's limit Q(z) = 2 sum_k (-1)^(k-1) exp(-2 k² z²) at z = sqrt(n) d, moved to
// z + 1/(6 sqrt n) + (z-1)/(4n) for finite n (Vrbik 2018); n is the effective sample size.
func ksAsymptotic(n, d float64) float64 {
	z := math.Sqrt(n) * d
	z += 1/(6*math.Sqrt(n)) + (z-1)/(4*n)
	if z < 0.2 {
		return 1 // 1 - Q(0.2) is below 1e-12
	}
	p := 0.0
	for k, sign := 1.0, 1.0; k <= 100; k, sign = k+1, -sign {
		term := math.Exp(-2 * k * k * z * z)
		p += sign * term
		if term < 1e-20*p {
			break
		}
	}
	return max(0, min(1, 2*p))
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
