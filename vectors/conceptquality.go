package vectors

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Quality says how well concepts write rows (Fel et al., arXiv:2306.07304, section 3.2).
type Quality struct {
	Relative  float64 `json:"relative"`  // |a - (Centre + u W)| / |a|, Frobenius norms
	FVU       float64 `json:"fvu"`       // squared error over the squared distance of the rows from their mean
	Zero      float64 `json:"zero"`      // share of codes that are 0
	Sparsity  float64 `json:"sparsity"`  // Hoyer's, mean over rows: 1 with one concept a row, 0 with all equal
	Abundance float64 `json:"abundance"` // mean number of concepts that a row holds
}

// Quality measures reconstruction and sparsity on rows a [n, d], which need not be those that the concepts were extracted from.
// Hoyer's sparsity is (sqrt r - |u|_1/|u|_2) / (sqrt r - 1) (JMLR 5, 2004), 1 for one concept alone and for rows without any.
func (c *Concepts) Quality(ctx context.Context, a *mat.Dense) (Quality, error) {
	u, err := c.Encode(ctx, a)
	if err != nil {
		return Quality{}, err
	}
	back, err := c.Decode(u)
	if err != nil {
		return Quality{}, err
	}
	back.Sub(a, back)
	left := mat.Norm(back, 2)
	all, spread := mat.Norm(a, 2), mat.Norm(centred(a, columnMeans(a)), 2)
	if all == 0 || spread == 0 {
		return Quality{}, fmt.Errorf("vectors: reconstruction of rows that are all equal: %w", ErrSingular)
	}
	f := Quality{Relative: left / all, FVU: left * left / (spread * spread)}
	n, r := u.Dims()
	root := math.Sqrt(float64(r))
	for i := range n {
		row := u.RawRowView(i)
		here := floats.Count(func(v float64) bool { return v != 0 }, row)
		f.Abundance += float64(here) / float64(n)
		sparsity := 1.0
		if norm := floats.Norm(row, 2); r > 1 && norm > 0 {
			sparsity = (root - floats.Norm(row, 1)/norm) / (root - 1)
		}
		f.Sparsity += sparsity / float64(n)
	}
	f.Zero = 1 - f.Abundance/float64(r)
	return f, nil
}

// Stability extracts r concepts from one half of the rows a [n, d] and from the other, `splits` times at random, and returns
// each time the mean cosine of the concepts that belong together (MatchCosines): 1 where every
// half gives the same ones. Where codes have both signs, a concept and its negative are the same.
func Stability(ctx context.Context, x Extractor, a *mat.Dense, r, splits int, seed uint64) ([]float64, error) {
	n, d, err := checkExtract("stability", a, r)
	if err != nil {
		return nil, err
	}
	if splits < 1 || n/2 < r {
		return nil, fmt.Errorf("vectors: stability of %d concepts over %d splits of %d rows: %w; a half needs a row for each concept", r, splits, n, ErrArgument)
	}
	rng := rand.New(rand.NewPCG(seed, 0x737461626c656865)) // "stablehe"
	out := make([]float64, splits)
	for s := range out {
		order := rng.Perm(n)
		var halves [2]*Concepts
		for h := range halves {
			half := mat.NewDense(n/2, d, nil)
			for i := range n / 2 {
				half.SetRow(i, a.RawRowView(order[h*(n/2)+i]))
			}
			if halves[h], err = x.Extract(ctx, half, r, rng.Uint64()); err != nil {
				return nil, fmt.Errorf("vectors: stability, split %d: %w", s, err)
			}
		}
		_, cosine, err := MatchCosines(halves[0].W, halves[1].W, mat.Min(halves[0].U) < 0)
		if err != nil {
			return nil, err
		}
		out[s] = floats.Sum(cosine) / float64(r)
	}
	return out, nil
}

// ShuffleColumns returns x [n, d] with the entries of every column in random order, which keeps what each is and loses what goes
// together: the control of Stability.
func ShuffleColumns(x *mat.Dense, seed uint64) *mat.Dense {
	rng := rand.New(rand.NewPCG(seed, 0x73687566666c6564)) // "shuffled"
	out := mat.DenseCopyOf(x)
	n, d := out.Dims()
	for j := range d {
		rng.Shuffle(n, func(a, b int) {
			va, vb := out.At(a, j), out.At(b, j)
			out.Set(a, j, vb)
			out.Set(b, j, va)
		})
	}
	return out
}
