package vectors

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// sobolDirection describes one dimension of the Sobol sequence.
type sobolDirection struct {
	a uint32   // inner coefficients of the primitive polynomial, the highest power first
	m []uint32 // initial direction numbers, odd, m[i] < 2^(i+1)
}

const sobolBits = 32

// SobolPair draws the two samples [n, r] in [0, 1) that SobolIndices needs from a scrambled Sobol sequence of 2r dimensions: the
// first r for a, the others for b. Scrambling (a random linear matrix and a digital shift; Matoušek, Journal of Complexity
// 14, 1998) keeps the even spread and makes estimates unbiased over seeds. n is a power of two, r at most 64.
func SobolPair(n, r int, seed uint64) (a, b *mat.Dense, err error) {
	directions := sobolDirections()
	if n < 2 || n&(n-1) != 0 || n > 1<<30 {
		return nil, nil, fmt.Errorf("vectors: %d Sobol points: %w; take a power of two, such as 1024", n, ErrArgument)
	}
	if most := (len(directions) + 1) / 2; r < 1 || r > most {
		return nil, nil, fmt.Errorf("vectors: Sobol points for %d inputs: %w; there are direction numbers for 1 to %d", r, ErrArgument, most)
	}
	rng := rand.New(rand.NewPCG(seed, 0x736f626f6c707473)) // "sobolpts"
	a, b = mat.NewDense(n, r, nil), mat.NewDense(n, r, nil)
	for j := range 2 * r {
		v := vanDerCorput()
		if j > 0 {
			v = directions[j-1].numbers()
		}
		scramble(&v, rng)
		to, column := a, j
		if j >= r {
			to, column = b, j-r
		}
		fillSobol(to, column, &v, rng.Uint32())
	}
	return a, b, nil
}

// vanDerCorput are the direction numbers of the first dimension.
func vanDerCorput() (v [sobolBits]uint32) {
	for i := range v {
		v[i] = 1 << (sobolBits - 1 - i)
	}
	return v
}

// numbers extends the initial direction numbers by the polynomial's recurrence (Joe and Kuo 2008, equation 2).
func (s sobolDirection) numbers() (v [sobolBits]uint32) {
	degree := len(s.m)
	for i := range v {
		if i < degree {
			v[i] = s.m[i] << (sobolBits - 1 - i)
			continue
		}
		v[i] = v[i-degree] ^ v[i-degree]>>degree
		for k := 1; k < degree; k++ {
			if s.a>>(degree-1-k)&1 == 1 {
				v[i] ^= v[i-k]
			}
		}
	}
	return v
}

// scramble multiplies the digits of v, the leading one first, by a random lower triangular binary matrix with a unit diagonal.
func scramble(v *[sobolBits]uint32, rng *rand.Rand) {
	var columns [sobolBits]uint32
	for j := range columns {
		digit := uint32(1) << (sobolBits - 1 - j)
		columns[j] = digit | rng.Uint32()&(digit-1)
	}
	for i, number := range v {
		v[i] = 0
		for ; number != 0; number &= number - 1 {
			v[i] ^= columns[sobolBits-1-bits.TrailingZeros32(number)]
		}
	}
}

// fillSobol writes the points of one dimension, in Gray-code order from the shift, into a column of m.
func fillSobol(m *mat.Dense, column int, v *[sobolBits]uint32, shift uint32) {
	x := shift
	n, _ := m.Dims()
	for i := range n {
		m.Set(i, column, float64(x)/(1<<sobolBits))
		x ^= v[bits.TrailingZeros32(^uint32(i))]
	}
}
