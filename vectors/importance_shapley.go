package vectors

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/combin"
)

// ShapleyImportance is the mean of what a concept adds to f over all orders in which the concepts of a row can come (Shapley 1953;
// Lundberg and Lee, arXiv:1705.07874): exactly, from all 2^r subsets, or over random orders and their reverses (Castro et al.,
// Computers & Operations Research 36, 2009). Importances sum to f(u) - f(0) either way.
type ShapleyImportance struct {
	Exact        int // from all subsets where there are no more concepts than this
	Permutations int // else; each counts with its reverse
}

// mostExact bounds the subsets: 2^mostExact.
const mostExact = 16

// Name is "shapley".
func (ShapleyImportance) Name() string { return "shapley" }

// Signed is true.
func (ShapleyImportance) Signed() bool { return true }

// Attribute is Importance's. All rows have the same orders.
func (x ShapleyImportance) Attribute(ctx context.Context, f Score, u *mat.Dense, seed uint64) (*mat.Dense, error) {
	_, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	if x.Exact < 0 || x.Exact > mostExact || x.Exact < r && x.Permutations < 1 {
		return nil, fmt.Errorf("vectors: Shapley values of %d concepts, exact up to %d, else over %d orders: %w; exact is 0 to %d, orders 1 or more", r, x.Exact, x.Permutations, ErrArgument, mostExact)
	}
	if r <= x.Exact {
		return x.exact(ctx, f, u)
	}
	return x.sampled(ctx, f, u, rand.New(rand.NewPCG(seed, 0x736861706c657973))) // "shapleys"
}

func (x ShapleyImportance) exact(ctx context.Context, f Score, u *mat.Dense) (*mat.Dense, error) {
	n, r := u.Dims()
	of := make([][]float64, 1<<r) // subset, row
	for set := range of {
		some := mat.NewDense(n, r, nil)
		for k := range r {
			if set>>k&1 == 1 {
				some.SetCol(k, mat.Col(nil, k, u))
			}
		}
		var err error
		if of[set], err = scoresOf(ctx, x.Name(), f, some); err != nil {
			return nil, err
		}
	}
	out := mat.NewDense(n, r, nil)
	for set := range of {
		size := bits.OnesCount(uint(set))
		for k := range r {
			if set>>k&1 == 1 {
				continue
			}
			weight := 1 / (float64(r) * float64(combin.Binomial(r-1, size)))
			for i, with := range of[set|1<<k] {
				out.Set(i, k, out.At(i, k)+weight*(with-of[set][i]))
			}
		}
	}
	return out, nil
}

func (x ShapleyImportance) sampled(ctx context.Context, f Score, u *mat.Dense, rng *rand.Rand) (*mat.Dense, error) {
	n, r := u.Dims()
	out := mat.NewDense(n, r, nil)
	none, err := scoresOf(ctx, x.Name(), f, mat.NewDense(n, r, nil))
	if err != nil {
		return nil, err
	}
	for range x.Permutations {
		order := rng.Perm(r)
		for _, backwards := range []bool{false, true} {
			some, before := mat.NewDense(n, r, nil), none
			for j := range order {
				k := order[j]
				if backwards {
					k = order[r-1-j]
				}
				some.SetCol(k, mat.Col(nil, k, u))
				now, err := scoresOf(ctx, x.Name(), f, some)
				if err != nil {
					return nil, err
				}
				for i, v := range now {
					out.Set(i, k, out.At(i, k)+(v-before[i])/float64(2*x.Permutations))
				}
				before = now
			}
		}
	}
	return out, nil
}
