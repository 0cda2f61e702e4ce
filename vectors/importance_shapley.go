package vectors

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"

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
	of, err := variantScores(ctx, x.Name(), f, u, 1<<r, func(_, set int, row []float64) {
		for k := range row {
			if set>>k&1 == 0 {
				row[k] = 0
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, r, nil)
	for set := range 1 << r {
		size := bits.OnesCount(uint(set))
		for k := range r {
			if set>>k&1 == 1 {
				continue
			}
			weight := 1 / (float64(r) * float64(combin.Binomial(r-1, size)))
			for i := range n {
				out.Set(i, k, out.At(i, k)+weight*(of.At(i, set|1<<k)-of.At(i, set)))
			}
		}
	}
	return out, nil
}

func (x ShapleyImportance) sampled(ctx context.Context, f Score, u *mat.Dense, rng *rand.Rand) (*mat.Dense, error) {
	n, r := u.Dims()
	orders := make([][]int, 0, 2*x.Permutations)
	for range x.Permutations {
		order := rng.Perm(r)
		back := slices.Clone(order)
		slices.Reverse(back)
		orders = append(orders, order, back)
	}
	per := len(orders)*r + 1 // after each concept of each order, and without any
	of, err := variantScores(ctx, x.Name(), f, u, per, func(_, j int, row []float64) {
		if j == per-1 {
			clear(row)
			return
		}
		for _, k := range orders[j/r][j%r+1:] {
			row[k] = 0
		}
	})
	if err != nil {
		return nil, err
	}
	out := mat.NewDense(n, r, nil)
	for i := range n {
		for o, order := range orders {
			before := of.At(i, per-1)
			for j, k := range order {
				now := of.At(i, o*r+j)
				out.Set(i, k, out.At(i, k)+(now-before)/float64(len(orders)))
				before = now
			}
		}
	}
	return out, nil
}
