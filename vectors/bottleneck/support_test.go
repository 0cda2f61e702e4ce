package bottleneck

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// nearly fails unless two numbers agree to tol, relative to 1 or their size.
func nearly(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// normal fills a matrix with normal deviates.
func normal(rng *rand.Rand, rows, columns int) *mat.Dense {
	out := mat.NewDense(rows, columns, nil)
	for i := range out.RawMatrix().Data {
		out.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return out
}

// mean is the mean of x.
func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// planted is texts of k classes that hold concepts: d orthogonal directions, of which each concept has its own and each class
// `own` concepts. A text has one to all concepts of its class, the same of no other, and noise in every direction.
type planted struct {
	bank     Bank
	x        *mat.Dense
	y        []int
	of       []int // class of each concept
	presence *mat.Dense
}

func plant(seed uint64, n, k, own, d int, noise float64) planted {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := k * own
	p := planted{bank: Bank{Vectors: mat.NewDense(m, d, nil)}, x: normal(rng, n, d), presence: mat.NewDense(n, m, nil)}
	p.x.Scale(noise, p.x)
	for j := range m {
		p.bank.Vectors.Set(j, j, 1)
		p.bank.Names = append(p.bank.Names, "concept "+string(rune('a'+j)))
		p.of = append(p.of, j/own)
	}
	for i := range n {
		c := i % k
		p.y = append(p.y, c)
		first := rng.IntN(own)
		for j := range own {
			if j == first || rng.IntN(2) == 0 {
				p.presence.Set(i, c*own+j, 1)
				p.x.Set(i, c*own+j, p.x.At(i, c*own+j)+1)
			}
		}
	}
	return p
}
