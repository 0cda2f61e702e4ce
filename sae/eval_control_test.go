package sae

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/stats"
)

// moments returns the count, sum and sum of outer products of rows.
func moments(x []float32, d int) (n float64, sum, cross []float64) {
	sum, cross = make([]float64, d), make([]float64, d*d)
	for r := range len(x) / d {
		for i := range d {
			sum[i] += float64(x[r*d+i])
			for j := range d {
				cross[i*d+j] += float64(x[r*d+i]) * float64(x[r*d+j])
			}
		}
	}
	return float64(len(x) / d), sum, cross
}

// TestPCA: the fraction of variance unexplained from the eigenvalues is that of the reconstructions, the components are
// orthonormal, no other basis of equal size is better, and all components reconstruct exactly.
func TestPCA(t *testing.T) {
	const d, n = 6, 500
	x := normals(1, n*d)
	for r := range n {
		for j := range d {
			x[r*d+j] = x[r*d+j]*float32(d-j) + 3
		}
	}
	rows, sum, cross := moments(x, d)
	for _, k := range []int{2, d} {
		p, err := NewPCA(rows, sum, cross, k)
		if err != nil {
			t.Fatal(err)
		}
		lat, y, err := p.Reconstruct(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		m := NewMetrics(d, k)
		if err := m.Add(x, y, lat); err != nil {
			t.Fatal(err)
		}
		if got := m.Result().FVU; math.Abs(got-p.FVU()) > 1e-6 {
			t.Errorf("k = %d: FVU %v by reconstruction, %v by eigenvalues", k, got, p.FVU())
		}
		if k == d {
			if p.FVU() != 0 {
				t.Errorf("all components leave %v", p.FVU())
			}
			continue
		}
		c := mat.NewDense(k, d, p.Components)
		var gram mat.Dense
		gram.Mul(c, c.T())
		if !mat.EqualApprox(&gram, mat.NewDiagDense(k, slices.Repeat([]float64{1}, k)), 1e-12) {
			t.Errorf("components are not orthonormal: %v", mat.Formatted(&gram))
		}
		best := p.FVU()
		p.Components = make([]float64, k*d)
		p.Components[2], p.Components[d+3] = 1, 1 // two other axes
		if _, y, err = p.Reconstruct(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		m = NewMetrics(d, k)
		if err := m.Add(x, y, lat); err != nil {
			t.Fatal(err)
		}
		if m.Result().FVU <= best {
			t.Errorf("other axes leave %v and the principal ones %v", m.Result().FVU, best)
		}
	}
	if _, err := NewPCA(rows, sum, cross, d+1); err == nil {
		t.Error("more components than dimensions")
	}
}

// TestRandomControl has the L0 asked for and explains less than the planted dictionary itself.
func TestRandomControl(t *testing.T) {
	p := plant(1, 16, 32, 3, 600, 0.01)
	_, sum, _ := moments(p.x, p.d)
	mean := make([]float32, p.d)
	for j, s := range sum {
		mean[j] = float32(s / 600)
	}
	s, err := RandomControl(rand.New(rand.NewPCG(1, 1)), mean, 32, 3.2)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(s *SAE) Result {
		rows, err := NewMemoryRows(p.x, p.d, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Evaluate(t.Context(), graphtest.Backend(t), s, rows, 64, 0)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	random := measure(s)
	if math.Abs(random.L0-3) > 0.1 {
		t.Errorf("L0 is %v, want 3", random.L0)
	}
	copy(s.WDec, p.dictionary)
	transpose(s.WEnc, s.WDec, s.DSAE, s.DIn)
	clear(s.BDec)
	if planted := measure(s); planted.FVU >= random.FVU {
		t.Errorf("the planted dictionary leaves %v and a random one %v", planted.FVU, random.FVU)
	}
	if _, err := RandomControl(rand.New(rand.NewPCG(1, 1)), mean, 32, 0.2); err == nil {
		t.Error("an L0 of 0")
	}
}

// TestRank: what lies inside the noise of its seeds is a tie, what lies beyond it is not, and the order turns with the sign.
func TestRank(t *testing.T) {
	good := Contender{"good", []float64{0.90, 0.91, 0.89, 0.90}}
	same := Contender{"same", []float64{0.91, 0.88, 0.92, 0.90}}
	poor := Contender{"poor", []float64{0.50, 0.52, 0.51, 0.49}}
	once := Contender{"once", []float64{0.99}}
	for _, test := range []struct {
		higher bool
		in     []Contender
		names  string
		ranks  []int
	}{
		{true, []Contender{poor, good, same}, "same good poor", []int{1, 1, 3}},
		{false, []Contender{poor, good, same}, "poor good same", []int{1, 2, 2}},
		{true, []Contender{poor, once, good}, "once good poor", []int{1, 1, 2}},
		{true, []Contender{{"b", []float64{1, 1}}, {"a", []float64{2, 2}}, {"c", []float64{1, 1}}}, "a b c", []int{1, 2, 2}},
		{true, []Contender{once}, "once", []int{1}},
	} {
		got, err := Rank(test.in, test.higher, 0.95)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		var ranks []int
		for _, r := range got {
			names, ranks = append(names, r.Name), append(ranks, r.Rank)
		}
		if strings.Join(names, " ") != test.names || !slices.Equal(ranks, test.ranks) {
			t.Errorf("got %v with ranks %v, want %v with %v", names, ranks, test.names, test.ranks)
		}
	}
	// Student's interval of 1, 2, 3: 2 +- 4.30265 / sqrt 3
	r, err := Rank([]Contender{{"x", []float64{1, 2, 3}}}, true, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "low", r[0].Mean.Low, 2-4.302652729911275/math.Sqrt(3), 1e-9)
	near(t, "high", r[0].Mean.High, 2+4.302652729911275/math.Sqrt(3), 1e-9)
	if _, err := Rank([]Contender{{"x", []float64{math.NaN()}}}, true, 0.95); err == nil {
		t.Error("NaN was ranked")
	}
	if _, err := Rank([]Contender{{"x", nil}}, true, 0.95); err == nil {
		t.Error("a contender without values was ranked")
	}
}

// TestCompareEmbeddings: equal embeddings keep everything, scaled ones their directions, and unrelated ones about chance.
func TestCompareEmbeddings(t *testing.T) {
	const n, d, k = 60, 8, 5
	x := normals(1, n*d)
	double := slices.Clone(x)
	scaleBy(double, 2)
	for _, test := range []struct {
		name                   string
		after                  []float32
		cosine, drift, overlap float64
		tol                    float64
	}{
		{"equal", x, 1, 0, 1, 1e-6},
		{"twice as long", double, 1, 1, 1, 1e-6},
		{"unrelated", normals(2, n*d), 0, math.Sqrt2, float64(k) / (n - 1), 0.2},
	} {
		r, err := CompareEmbeddings(t.Context(), x, test.after, d, k, stats.DefaultBootstrap())
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string][2]float64{"cosine": {r.Cosine.Value, test.cosine}, "drift": {r.Drift.Value, test.drift}, "overlap": {r.Neighbours.Value, test.overlap}} {
			if math.Abs(v[0]-v[1]) > test.tol {
				t.Errorf("%s: %s is %v, want %v", test.name, name, v[0], v[1])
			}
		}
	}
	labels := x[:3*d]
	a, err := ZeroShotAgreement(x, double, labels, d, 0.95)
	if err != nil || a.Value != 1 {
		t.Errorf("agreement with itself is %v, %v", a.Value, err)
	}
	b, err := ZeroShotAgreement(x, normals(2, n*d), labels, d, 0.95)
	if err != nil || math.Abs(b.Value-1.0/3) > 0.2 {
		t.Errorf("agreement with noise is %v, %v", b.Value, err)
	}
	if _, err := CompareEmbeddings(t.Context(), make([]float32, n*d), x, d, k, stats.DefaultBootstrap()); err == nil {
		t.Error("an embedding of norm 0 has a direction")
	}
}
