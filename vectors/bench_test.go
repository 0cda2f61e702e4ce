package vectors

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distuv"
)

// labelledRows are the peers' data: normal rows with a linear concept.
func labelledRows(n, d int) (x, z *mat.Dense) {
	rng := rand.New(rand.NewPCG(0, 0))
	x, z = mat.NewDense(n, d, nil), mat.NewDense(n, 1, nil)
	w := make([]float64, d)
	for j := range w {
		w[j] = rng.NormFloat64()
	}
	for i := range n {
		row, along := x.RawRowView(i), 0.0
		for j := range row {
			row[j] = rng.NormFloat64()
			along += row[j] * w[j]
		}
		if along > 0 {
			z.Set(i, 0, 1)
		}
	}
	return x, z
}

// BenchmarkLEACE fits from rows and from moments, and applies, at the peers' size (bench/peers/vectors.py).
func BenchmarkLEACE(b *testing.B) {
	const n, d = 100_000, 768
	x, z := labelledRows(n, d)
	b.Run("fit", func(b *testing.B) {
		for b.Loop() {
			if _, err := FitLEACE(x, z, DefaultLEACE()); err != nil {
				b.Fatal(err)
			}
		}
	})
	m, err := jointMoments(x, z)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fit from moments", func(b *testing.B) {
		for b.Loop() {
			if _, err := LEACE(m, DefaultLEACE()); err != nil {
				b.Fatal(err)
			}
		}
	})
	fit, err := LEACE(m, DefaultLEACE())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("apply", func(b *testing.B) {
		for b.Loop() {
			if _, err := fit.Apply(x); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("apply in place", func(b *testing.B) {
		for b.Loop() {
			if err := fit.ApplyTo(x, x); err != nil {
				b.Fatal(err)
			}
		}
	})
	narrow := float32s(x.RawMatrix().Data)
	to := make([]float32, len(narrow))
	b.Run("apply float32", func(b *testing.B) {
		for b.Loop() {
			if err := fit.ApplyFloat32(to, narrow); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNMF runs 65 rounds of HALS on the peers' data and size. On the very rows of bench/peers/vectors.py they end at a
// relative error of 0.0038, as 100 rounds of scikit-learn's coordinate descent do.
func BenchmarkNMF(b *testing.B) {
	const n, d, r = 20_000, 768, 20
	rng := rand.New(rand.NewPCG(0, 0))
	draw := func(rows, columns int, shape float64) *mat.Dense {
		m := mat.NewDense(rows, columns, nil)
		gamma := distuv.Gamma{Alpha: shape, Beta: 1, Src: rng}
		for i := range m.RawMatrix().Data {
			m.RawMatrix().Data[i] = gamma.Rand()
		}
		return m
	}
	w, u := draw(r, d, 0.5), draw(n, r, 0.3)
	a := product(u, w)
	for i := range a.RawMatrix().Data {
		a.RawMatrix().Data[i] += 0.05 * rng.Float64()
	}
	u0, w0, err := RandomFactors(a, r, 1)
	if err != nil {
		b.Fatal(err)
	}
	norm := mat.Norm(a, 2)
	for b.Loop() {
		f, err := HALS(b.Context(), a, u0, w0, HALSConfig{Rounds: 65, Sweeps: 2})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(f.Errors[64]/norm, "relative-error")
	}
}
