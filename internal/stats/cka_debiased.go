package stats

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// DebiasedCKA is LinearCKA with the unbiased estimator of the kernel dependence (Song et al., JMLR 13, 2012; Murphy et al.,
// arXiv:2405.01012): its mean is 0 for independent representations however wide they are, so it can be negative. With K and
// L the Gram matrices without their diagonals, each U-centred (Székely and Rizzo, Annals of Statistics 42, 2014),
//
//	K_ij - r_i/(n-2) - r_j/(n-2) + t/((n-1)(n-2)) for i != j,  r row sums, t their sum;  <K, L> / sqrt(<K, K> <L, L>)
//
// x is [n, d1] and y [n, d2], n >= 4. Cost O(n² (d1+d2)).
func DebiasedCKA(x, y mat.Matrix) (float64, error) {
	k, l, err := ckaKernels(x, y, true)
	if err != nil {
		return 0, err
	}
	return alignment(k, l)
}

// PermuteCKA tests whether two representations x[n, d1] and y[n, d2] of the same examples share structure: the null pairs the
// examples at random. The statistic is LinearCKA, or DebiasedCKA.
func PermuteCKA(ctx context.Context, x, y mat.Matrix, debiased bool, cfg PermutationConfig) (PermutationTest, error) {
	k, l, err := ckaKernels(x, y, debiased)
	if err != nil {
		return PermutationTest{}, err
	}
	if _, err := alignment(k, l); err != nil {
		return PermutationTest{}, err
	}
	n, _ := k.Dims()
	norm := math.Sqrt(frobenius(k, k)) * math.Sqrt(frobenius(l, l))
	return PermutePairing(ctx, n, func(order []int) float64 {
		total := 0.0
		for i, p := range order {
			row, of := k.RawRowView(i), l.RawRowView(p)
			part := 0.0
			for j, q := range order {
				part += row[j] * of[q]
			}
			total += part
		}
		return total / norm
	}, cfg)
}

// alignment is <k, l> / (|k| |l|).
func alignment(k, l *mat.Dense) (float64, error) {
	cka := frobenius(k, l) / (math.Sqrt(frobenius(k, k)) * math.Sqrt(frobenius(l, l)))
	if math.IsNaN(cka) {
		return 0, fmt.Errorf("stats: CKA of rows that do not vary beyond their diagonal: %w", ErrDegenerate)
	}
	return max(-1, min(1, cka)), nil
}

// ckaKernels are the centred Gram matrices [n, n] of x and y.
func ckaKernels(x, y mat.Matrix, debiased bool) (k, l *mat.Dense, err error) {
	n, _ := x.Dims()
	if m, _ := y.Dims(); n != m {
		return nil, nil, fmt.Errorf("stats: CKA of %d rows with %d rows: %w; the rows must be the same examples", n, m, ErrArgument)
	}
	least := 2
	if debiased {
		least = 4
	}
	if err := checkCount("the list of rows", n, least); err != nil {
		return nil, nil, err
	}
	var out [2]*mat.Dense
	for i, m := range []mat.Matrix{x, y} {
		c, err := centredColumns([]string{"x", "y"}[i], m)
		if err != nil {
			return nil, nil, err
		}
		out[i] = mat.NewDense(n, n, nil)
		out[i].Mul(c, c.T())
		if debiased {
			uCentre(out[i])
		}
	}
	return out[0], out[1], nil
}

// uCentre U-centres a symmetric matrix [n, n], n > 3, and clears its diagonal.
func uCentre(k *mat.Dense) {
	n, _ := k.Dims()
	sums := make([]float64, n)
	for i := range n {
		k.Set(i, i, 0)
		sums[i] = sum(k.RawRowView(i))
	}
	total := sum(sums) / float64((n-1)*(n-2))
	for i := range n {
		row := k.RawRowView(i)
		for j := range row {
			if j != i {
				row[j] += total - (sums[i]+sums[j])/float64(n-2)
			}
		}
	}
}
