package stats_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

func TestCKAHand(t *testing.T) {
	// Centred columns (-1, 0, 1) and (1, -2, 1)/3 are orthogonal; (-1, 0, 1) and (-1, -1, 2) have (3)² / (2 * 6).
	x := mat.NewDense(3, 1, []float64{0, 1, 2})
	near(t, "orthogonal", must[float64](t)(stats.LinearCKA(x, mat.NewDense(3, 1, []float64{1, 0, 1}))), 0, 1e-15)
	near(t, "oblique", must[float64](t)(stats.LinearCKA(x, mat.NewDense(3, 1, []float64{0, 0, 3}))), 9.0/12, 1e-14)
	near(t, "itself", must[float64](t)(stats.LinearCKA(x, x)), 1, 1e-14)
}

func TestCKAProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 8))
	for _, size := range [][3]int{{40, 5, 7}, {6, 20, 3}} { // by features; by Gram matrices
		n, d1, d2 := size[0], size[1], size[2]
		x, y := mat.NewDense(n, d1, normals(rng, n*d1, 0)), mat.NewDense(n, d2, normals(rng, n*d2, 0))
		want := must[float64](t)(stats.LinearCKA(x, y))
		between(t, "CKA", want, 0, 1)
		near(t, "swapped", must[float64](t)(stats.LinearCKA(y, x)), want, 1e-13)

		var qr mat.QR
		qr.Factorize(mat.NewDense(d1, d1, normals(rng, d1*d1, 0)))
		var q, turned mat.Dense
		qr.QTo(&q)
		turned.Mul(x, &q)
		turned.Apply(func(_, j int, v float64) float64 { return 1e200*v + 1e200*float64(j) }, &turned)
		near(t, "rotated, scaled, moved", must[float64](t)(stats.LinearCKA(&turned, y)), want, 1e-11)

		// Columns of zeros change nothing but push the computation over to Gram matrices.
		padded := mat.NewDense(n, d1+n, nil)
		padded.Slice(0, n, 0, d1).(*mat.Dense).Copy(x)
		near(t, "padded", must[float64](t)(stats.LinearCKA(padded, y)), want, 1e-13)
	}
}

func TestVendiPlanted(t *testing.T) {
	// Rows 1 and 2 alike, rows 3 and 4 alike, row 5 alone, all three directions orthogonal: l = 2/5, 2/5, 1/5.
	x := mat.NewDense(5, 3, []float64{1, 0, 0, 3, 0, 0, 0, 2, 0, 0, 5, 0, 0, 0, 7})
	kernel := mat.NewSymDense(5, []float64{1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1})
	tests := []struct{ q, want float64 }{
		{1, math.Exp(-0.8*math.Log(0.4) - 0.2*math.Log(0.2))},
		{2, 1 / (0.16 + 0.16 + 0.04)},
		{inf, 2.5},
		{0.5, math.Pow(2*math.Sqrt(0.4)+math.Sqrt(0.2), 2)},
		{400, math.Exp((math.Ln2 + 400*math.Log(0.4)) / -399)}, // (1/5)^400 underflows beside (2/5)^400
	}
	for _, test := range tests {
		near(t, "by rows", must[float64](t)(stats.VendiCosine(x, test.q)), test.want, 1e-12)
		near(t, "by kernel", must[float64](t)(stats.Vendi(kernel, test.q)), test.want, 1e-12)
	}
}

func TestVendiProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 8))
	for _, size := range [][2]int{{12, 5}, {5, 12}} {
		n, d := size[0], size[1]
		x := mat.NewDense(n, d, normals(rng, n*d, 0))
		kernel := mat.NewSymDense(n, nil)
		distance := 0.0
		for i := range n {
			for j := range i + 1 {
				cos := mat.Dot(x.RowView(i), x.RowView(j)) / mat.Norm(x.RowView(i), 2) / mat.Norm(x.RowView(j), 2)
				kernel.SetSym(i, j, cos)
				if i != j {
					distance += 2 * (1 - cos) / float64(n*(n-1))
				}
			}
		}
		near(t, "mean distance", must[float64](t)(stats.MeanCosineDistance(x)), distance, 1e-13)
		last := float64(min(n, d)) + 1e-9
		for _, q := range []float64{0.1, 1, 2, 10, inf} {
			v := must[float64](t)(stats.VendiCosine(x, q))
			near(t, "rows and kernel", v, must[float64](t)(stats.Vendi(kernel, q)), 1e-11)
			between(t, "Vendi falls with its order", v, 1, last)
			last = v
		}
		doubled := mat.NewDense(2*n, d, nil)
		doubled.Stack(x, x)
		near(t, "every row twice", must[float64](t)(stats.VendiCosine(doubled, 1)), must[float64](t)(stats.VendiCosine(x, 1)), 1e-11)
	}
}
