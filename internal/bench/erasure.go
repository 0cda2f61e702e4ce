package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"

	"loupe/vectors"
)

// erased are the peer's data as erasure takes them: rows in float64 and one concept column.
func erased(n, d int) (x, z *mat.Dense) {
	rows, targets := labelled(n, d, 1, 0)
	x, z = mat.NewDense(n, d, nil), mat.NewDense(n, 1, nil)
	for i, v := range rows.Values {
		x.RawMatrix().Data[i] = float64(v)
	}
	for i, class := range targets[0].Class {
		z.Set(i, 0, float64(class))
	}
	return x, z
}

// runLEACE times fitting from rows, fitting from moments that a store keeps, and applying to rows of float32. The
// covariance is accumulated in float64.
func runLEACE(ctx context.Context, o Options, task string, n, d int) ([]Field, error) {
	x, z := erased(n, d)
	fit, err := vectors.FitLEACE(x, z, vectors.DefaultLEACE())
	if err != nil {
		return nil, err
	}
	rows := make([]float32, n*d)
	for i, v := range x.RawMatrix().Data {
		rows[i] = float32(v)
	}
	after := make([]float32, n*d)
	if err := fit.ApplyFloat32(after, rows); err != nil {
		return nil, err
	}
	var do func() error
	switch task {
	case "leace_fit":
		do = func() error {
			_, err := vectors.FitLEACE(x, z, vectors.DefaultLEACE())
			return err
		}
	case "leace_store":
		m, err := vectors.NewMoments(d, 1)
		if err != nil {
			return nil, err
		}
		if err := m.Update(x, z); err != nil {
			return nil, err
		}
		do = func() error {
			_, err := vectors.LEACE(m, vectors.DefaultLEACE())
			return err
		}
	case "leace_apply":
		do = func() error { return fit.ApplyFloat32(after, rows) }
	}
	took, err := repeat(ctx, o, do)
	if err != nil {
		return nil, err
	}
	return append(secondsFields(took), Field{"class_mean_gap_before", round(meanGap(rows, z, d), 5)}, Field{"class_mean_gap_after", round(meanGap(after, z, d), 7)}), nil
}

// meanGap is the distance of the two classes' means.
func meanGap(rows []float32, z *mat.Dense, d int) float64 {
	sums, counts := [2][]float64{make([]float64, d), make([]float64, d)}, [2]float64{}
	for i := range len(rows) / d {
		class := int(z.At(i, 0))
		counts[class]++
		for j, v := range rows[i*d : (i+1)*d] {
			sums[class][j] += float64(v)
		}
	}
	gap := 0.0
	for j := range d {
		v := sums[1][j]/counts[1] - sums[0][j]/counts[0]
		gap += v * v
	}
	return math.Sqrt(gap)
}

// nmfRounds of HALS end at or below the relative error of the peer's 100 iterations of coordinate descent.
const nmfRounds = 65

// runNMF times the factorisation of the peer's data: gamma factors and uniform noise.
func runNMF(ctx context.Context, o Options, n, d, k int) ([]Field, error) {
	a := gammaProduct(n, d, k)
	u0, w0, err := vectors.RandomFactors(a, k, 1)
	if err != nil {
		return nil, err
	}
	var f *vectors.Factors
	took, err := repeat(ctx, o, func() error {
		f, err = vectors.HALS(ctx, a, u0, w0, vectors.HALSConfig{Rounds: nmfRounds, Sweeps: 2})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(f.Errors) == 0 {
		return nil, fmt.Errorf("bench: the factorisation reports no error")
	}
	return append(secondsFields(took), Field{"iterations", len(f.Errors)}, Field{"relative_error", round(f.Errors[len(f.Errors)-1]/mat.Norm(a, 2), 6)}), nil
}

// gammaProduct is the peer's matrix: a product of gamma-distributed factors and uniform noise.
func gammaProduct(n, d, k int) *mat.Dense {
	r := rand.New(rand.NewPCG(0, 0))
	draw := func(rows, columns int, shape float64) *mat.Dense {
		m, gamma := mat.NewDense(rows, columns, nil), distuv.Gamma{Alpha: shape, Beta: 1, Src: r}
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = gamma.Rand()
		}
		return m
	}
	w, u := draw(k, d, 0.5), draw(n, k, 0.3)
	var a mat.Dense
	a.Mul(u, w)
	for i := range a.RawMatrix().Data {
		a.RawMatrix().Data[i] += 0.05 * r.Float64()
	}
	return &a
}
