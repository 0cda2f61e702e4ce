package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/gemm"
)

// KMeansExtractor finds clusters: concepts are their means, and a row holds the nearest one alone, with code 1 (ACE, Ghorbani
// et al., arXiv:1902.03129). Lloyd's rounds from k-means++ seeds (Arthur and Vassilvitskii 2007); of several starts the one
// with the least squared distance counts.
type KMeansExtractor struct {
	Starts int
	Rounds int // at most, of each start
}

// DefaultKMeans has ten starts, since one start often leaves two clusters with one mean.
func DefaultKMeans() KMeansExtractor { return KMeansExtractor{Starts: 10, Rounds: 100} }

// Name is "kmeans".
func (KMeansExtractor) Name() string { return "kmeans" }

// Extract is Extractor's.
func (x KMeansExtractor) Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error) {
	_, d, err := checkExtract("k-means", a, r)
	if err != nil {
		return nil, err
	}
	if x.Starts < 1 || x.Rounds < 1 {
		return nil, fmt.Errorf("vectors: k-means of %d starts and %d rounds: %w; use 10 and 100", x.Starts, x.Rounds, ErrArgument)
	}
	c := &Concepts{Method: x.Name(), Centre: make([]float64, d)}
	c.encode = func(_ context.Context, a *mat.Dense) (*mat.Dense, error) {
		n, _ := a.Dims()
		u := mat.NewDense(n, r, nil)
		nearest, _ := nearestRows(a, c.W)
		for i, k := range nearest {
			u.Set(i, k, 1)
		}
		return u, nil
	}
	rng := rand.New(rand.NewPCG(seed, 0x6b6d65616e732b2b)) // "kmeans++"
	least := math.Inf(1)
	for range x.Starts {
		w := plusPlus(a, r, rng)
		left, err := lloyd(ctx, a, w, x.Rounds)
		if err != nil {
			return nil, err
		}
		if left < least {
			c.W, least = w, left
		}
	}
	c.U, err = c.encode(ctx, a)
	return c, err
}

// lloyd moves the means w [r, d] until no row of a changes its own, and returns the sum of squared distances.
func lloyd(ctx context.Context, a, w *mat.Dense, rounds int) (float64, error) {
	r, d := w.Dims()
	var before []int
	for range rounds {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("vectors: k-means: %w", err)
		}
		nearest, far := nearestRows(a, w)
		if before != nil && slices.Equal(before, nearest) {
			return floats.Sum(far), nil
		}
		before = nearest
		sums, counts := mat.NewDense(r, d, nil), make([]float64, r)
		for i, k := range nearest {
			floats.Add(sums.RawRowView(k), a.RawRowView(i))
			counts[k]++
		}
		for k := range r {
			if counts[k] == 0 { // an empty cluster takes the row that is farthest from its own
				i := floats.MaxIdx(far)
				sums.SetRow(k, a.RawRowView(i))
				far[i], counts[k] = 0, 1
			}
			floats.Scale(1/counts[k], sums.RawRowView(k))
		}
		w.Copy(sums)
	}
	_, far := nearestRows(a, w)
	return floats.Sum(far), nil
}

// plusPlus draws r rows of a, each with a chance in proportion to its squared distance from those drawn before.
func plusPlus(a *mat.Dense, r int, rng *rand.Rand) *mat.Dense {
	n, d := a.Dims()
	w := mat.NewDense(r, d, nil)
	w.SetRow(0, a.RawRowView(rng.IntN(n)))
	far := make([]float64, n)
	for i := range far {
		far[i] = math.Inf(1)
	}
	for k := 1; k < r; k++ {
		for i := range far {
			gap := floats.Distance(a.RawRowView(i), w.RawRowView(k-1), 2)
			far[i] = min(far[i], gap*gap)
		}
		at, pick := rng.Float64()*floats.Sum(far), 0
		for pick = 0; pick < n-1 && at >= far[pick]; pick++ {
			at -= far[pick]
		}
		w.SetRow(k, a.RawRowView(pick))
	}
	return w
}

// nearestRows returns, for each row of a [n, d], the row of w [r, d] that is nearest, the first of equal ones, and its squared
// distance.
func nearestRows(a, w *mat.Dense) (nearest []int, far []float64) {
	n, _ := a.Dims()
	r, _ := w.Dims()
	with := mat.NewDense(n, r, nil)
	gemm.AddMulTrans(with.RawMatrix(), a.RawMatrix(), w.RawMatrix())
	squares := make([]float64, r)
	for k := range r {
		squares[k] = floats.Dot(w.RawRowView(k), w.RawRowView(k))
	}
	nearest, far = make([]int, n), make([]float64, n)
	for i := range n {
		far[i] = math.Inf(1)
		for k, v := range with.RawRowView(i) {
			if gap := squares[k] - 2*v; gap < far[i] {
				nearest[i], far[i] = k, gap
			}
		}
		far[i] = max(0, far[i]+floats.Dot(a.RawRowView(i), a.RawRowView(i)))
	}
	return nearest, far
}
