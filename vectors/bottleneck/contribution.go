package bottleneck

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Contributions says what each concept does to each text's decision: for concept activations z [n, m] and the class c that the
// head gives text i,
//
//	(V_cj - mean over classes of V_j) z_ij
//
// as only differences between classes decide. Returns the decisions [n] and the contributions [n, m].
func Contributions(h Head, z *mat.Dense) ([]int, *mat.Dense, error) {
	logits, err := h.Logits(z)
	if err != nil {
		return nil, nil, err
	}
	decision := ArgMax(logits)
	k, m := h.Weights.Dims()
	average := make([]float64, m)
	for c := range k {
		for j, v := range h.Weights.RawRowView(c) {
			average[j] += v / float64(k)
		}
	}
	out := mat.DenseCopyOf(z)
	for i, c := range decision {
		row, weights := out.RawRowView(i), h.Weights.RawRowView(c)
		for j := range row {
			row[j] *= weights[j] - average[j]
		}
	}
	return decision, out, nil
}

// KeepTop returns z with all but the count concepts of largest contribution, in magnitude, at 0 in each text: 0 is the mean of
// standardised scores. What the head decides from it is the decision of count active concepts.
func KeepTop(z, contributions *mat.Dense, count int) (*mat.Dense, error) {
	return masked(z, contributions, count, true)
}

// DropTop returns z with the count concepts of largest contribution, in magnitude, at 0 in each text. An explanation is
// faithful where decisions fall with it; DropRandom is its control.
func DropTop(z, contributions *mat.Dense, count int) (*mat.Dense, error) {
	return masked(z, contributions, count, false)
}

func masked(z, contributions *mat.Dense, count int, keep bool) (*mat.Dense, error) {
	n, m, err := checkMatrix("activations", z, 0)
	if err != nil {
		return nil, err
	}
	if r, _, err := checkMatrix("contributions", contributions, m); err != nil {
		return nil, err
	} else if r != n {
		return nil, argument("contributions of %d texts for %d", r, n)
	}
	if count < 0 || count > m {
		return nil, argument("%d of %d concepts", count, m)
	}
	out := mat.DenseCopyOf(z)
	for i := range n {
		row := contributions.RawRowView(i)
		order := make([]int, m)
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch x, y := math.Abs(row[a]), math.Abs(row[b]); {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		})
		drop := order[:count]
		if keep {
			drop = order[count:]
		}
		for _, j := range drop {
			out.Set(i, j, 0)
		}
	}
	return out, nil
}

// DropRandom returns z with count random concepts at 0 in each text, by seed. Only concepts that the head uses for the text,
// with a contribution other than 0, are drawn, as far as there are enough.
func DropRandom(z, contributions *mat.Dense, count int, seed uint64) (*mat.Dense, error) {
	rng := rand.New(rand.NewPCG(seed, 0x64726f70)) // "drop"
	rank := mat.DenseCopyOf(contributions)
	for i, v := range rank.RawMatrix().Data {
		if v != 0 {
			rank.RawMatrix().Data[i] = 1 + rng.Float64()
		}
	}
	return masked(z, rank, count, false)
}
