package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/stats"
)

// TestCosinesHand: in three dimensions the cosine of random directions is uniform, so that its two-sided p is 1 - |c|.
func TestCosinesHand(t *testing.T) {
	got := ok(Cosines(rows([]float64{1, 0, 0}, []float64{3, 4, 0}, []float64{-2, 0, 0})))(t)
	for i, want := range []float64{0.6, -1, -0.6} {
		closeTo(t, "cosine and p", []float64{got[i].Value, got[i].P}, []float64{want, 1 - math.Abs(want)}, 1e-12)
	}
	if got[1].A != 0 || got[1].B != 2 || got[0].Holm < got[0].P {
		t.Errorf("pairs %+v", got)
	}
	if _, err := Cosines(rows([]float64{1, 0})); !errors.Is(err, ErrArgument) {
		t.Errorf("one direction: %v", err)
	}
}

// TestCKATable: a layer and its rotation are alike, independent ones are not; the table's values are those of stats.
func TestCKATable(t *testing.T) {
	x, other := normalRows(1, 60, 12), normalRows(2, 60, 9)
	var qr mat.QR
	qr.Factorize(normalRows(3, 12, 12))
	var q, turned mat.Dense
	qr.QTo(&q)
	turned.Mul(x, &q)
	turned.Add(&turned, scaled(0.5, normalRows(4, 60, 12)))
	for _, debiased := range []bool{true, false} {
		cfg := CKAConfig{Debiased: debiased, Permutations: 99}
		got := ok(CKA(t.Context(), []*mat.Dense{x, &turned, other}, cfg))(t)
		if got[0].Value < 0.6 || got[0].Holm > 0.05 || got[1].P < 0.05 || got[2].P < 0.05 {
			t.Errorf("debiased %v: %+v", debiased, got)
		}
		plain := stats.LinearCKA
		if debiased {
			plain = stats.DebiasedCKA
		}
		closeTo(t, "value", []float64{got[2].Value}, []float64{ok(plain(&turned, other))(t)}, 1e-12)
	}
	if _, err := CKA(t.Context(), []*mat.Dense{x, normalRows(1, 59, 3)}, DefaultCKA()); !errors.Is(err, ErrShape) {
		t.Errorf("other examples: %v", err)
	}
}

// concepts draws neutral rows and rows of concepts, which move by the given directions.
func concepts(seed uint64, each, d int, moves ...[]float64) (x *mat.Dense, concept []int) {
	n := each * (2 + len(moves))
	x = normalRows(seed, n, d)
	for i := range n {
		c := max(0, i/each-1) // twice as many neutral rows
		concept = append(concept, c)
		if c > 0 {
			floats.Add(x.RawRowView(i), moves[c-1])
		}
	}
	return x, concept
}

// TestEntanglementPlanted: of three concepts the first two share a direction at cosine 0.8 at the first layer only.
func TestEntanglementPlanted(t *testing.T) {
	const d = 20
	u, v, w := make([]float64, d), make([]float64, d), make([]float64, d)
	u[0], v[1], w[2] = 3, 3, 3
	shared := make([]float64, d)
	shared[0], shared[1] = 2.4, 1.8
	first, concept := concepts(1, 40, d, u, shared, w)
	second, _ := concepts(2, 40, d, u, v, w)
	cfg := DefaultEntanglement()
	cfg.Bootstrap.Resamples = 300
	table := ok(Entanglement(t.Context(), []*mat.Dense{first, second}, concept, cfg))(t)
	if len(table.Pairs) != 6 {
		t.Fatalf("%d pairs", len(table.Pairs))
	}
	for i, e := range table.Pairs {
		planted := i == 0
		if planted && (e.Low() > 0.8 || e.High() < 0.8 || e.Holm > 0.05) || !planted && (math.Abs(e.Cosine.Value) > 0.25 || e.Holm <= 0.05) {
			t.Errorf("layer %d, concepts %d and %d: %+v, Holm %v", e.Layer, e.A, e.B, e.Cosine, e.Holm)
		}
	}
	if table.Matrices[0].At(0, 1) != table.Pairs[0].Cosine.Value || table.Matrices[1].At(2, 2) != 1 {
		t.Error("the matrices are not those of the pairs")
	}
}

func (e Entangled) Low() float64  { return e.Cosine.Low }
func (e Entangled) High() float64 { return e.Cosine.High }

// TestEntanglementNeutral: where nothing differs, a shared neutral mean gives cosines of 1/2; halves give none, and p-values
// that are not small too often.
func TestEntanglementNeutral(t *testing.T) {
	const trials = 60
	cfg := EntanglementConfig{Permutations: 19, Bootstrap: stats.BootstrapConfig{Resamples: 2, Level: 0.5, Method: stats.Percentile}}
	naive, halves, small := 0.0, 0.0, 0
	for seed := range uint64(trials) {
		x := normalRows(100+seed, 60, 30)
		concept := make([]int, 60)
		for i := range concept {
			concept[i] = i % 3
		}
		byConcept := [3][]int{}
		for i, c := range concept {
			byConcept[c] = append(byConcept[c], i)
		}
		neutral := meanOfRows(x, byConcept[0])
		naive += cosineOf(less(meanOfRows(x, byConcept[1]), neutral), less(meanOfRows(x, byConcept[2]), neutral)) / trials
		cfg.Seed = seed
		e := ok(Entanglement(t.Context(), []*mat.Dense{x}, concept, cfg))(t).Pairs[0]
		halves += e.Cosine.Value / trials
		if e.P <= 0.1 {
			small++
		}
	}
	if naive < 0.4 || math.Abs(halves) > 0.08 || small > 14 { // cosines in 30 dimensions vary by 0.18, their mean by 0.02
		t.Errorf("mean cosine %.3f with one neutral mean, %.3f with halves; %d of %d p-values at most 0.1", naive, halves, small, trials)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for what, labels := range map[string][]int{"one concept": {0, 0, 0, 0, 1, 1}, "few neutral": {0, 0, 1, 1, 2, 2}, "a gap": {0, 0, 0, 0, 2, 2}} {
		x := mat.NewDense(len(labels), 2, nil)
		x.Apply(func(_, _ int, _ float64) float64 { return rng.NormFloat64() }, x)
		if _, err := Entanglement(t.Context(), []*mat.Dense{x}, labels, cfg); !errors.Is(err, ErrClasses) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
