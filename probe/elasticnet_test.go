package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/vectors"
)

// sparseTruth has five columns that matter among d.
func sparseTruth(n, d int) (x Rows, score []float64, support []int) {
	rng := rand.New(rand.NewPCG(21, 22))
	x = Rows{N: n, D: d, Values: normal32(rng, n*d)}
	support = []int{3, 17, 40, 41, 90}
	weights := []float64{2, -1.5, 1.5, -2, 1}
	score = make([]float64, n)
	for i := range score {
		for s, j := range support {
			score[i] += weights[s] * float64(x.Row(i)[j])
		}
	}
	return x, score, support
}

func sparseTargets(score []float64) []Target {
	rng := rand.New(rand.NewPCG(23, 24))
	positive, noisy := make([]bool, len(score)), make([]float64, len(score))
	for i, s := range score {
		positive[i] = s+0.5*rng.NormFloat64() > 0
		noisy[i] = s + 0.5*rng.NormFloat64()
	}
	return []Target{NewBinary("sign", positive), NewRegression("score", noisy)}
}

// TestElasticNetSupport: the first columns to enter are the planted ones, and the chosen probe has all of them.
func TestElasticNetSupport(t *testing.T) {
	x, score, support := sparseTruth(600, 100)
	for _, target := range sparseTargets(score) {
		path, err := ElasticNet(t.Context(), x, target, DefaultElasticNet())
		if err != nil {
			t.Fatal(err)
		}
		if len(path[0].Support) != 0 {
			t.Errorf("%s: the first penalty leaves %d weights", target.Name, len(path[0].Support))
		}
		_, deviation := x.spread(nil)
		if first := slices.Sorted(slices.Values(byEntry(path, deviation)[:5])); !slices.Equal(first, support) {
			t.Errorf("%s: the first columns are %v, planted %v", target.Name, first, support)
		}
		chosen, err := FitElasticNet(t.Context(), x, target, nil, DefaultElasticNet(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range support {
			if !slices.Contains(chosen.Support, j) {
				t.Errorf("%s: the chosen probe lacks column %d", target.Name, j)
			}
		}
		t.Logf("%s: chosen penalty %.4f with %d columns, gain %.3f", target.Name, chosen.Lambda, len(chosen.Support), chosen.Gain)
		// cross-validation keeps more than the truth (Meinshausen and Bühlmann, Annals of Statistics 34, 2006), but not most
		if len(chosen.Support) > 50 {
			t.Errorf("%s: the chosen probe has %d columns", target.Name, len(chosen.Support))
		}
	}
}

// TestElasticNetConditions: at every point of the path the subgradient conditions of the optimum hold.
func TestElasticNetConditions(t *testing.T) {
	x, score, _ := sparseTruth(150, 200) // fewer rows than columns
	for _, target := range sparseTargets(score) {
		cfg := ElasticNetConfig{Alpha: 0.7, Lambdas: 12, MinRatio: 0.05, Tolerance: 1e-13}
		p, err := newElastic(x, target, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range cfg.Lambdas {
			lambda := p.first * math.Pow(cfg.MinRatio, float64(i)/11)
			if err := p.solve(t.Context(), lambda); err != nil {
				t.Fatal(err)
			}
			p.derive()
			for j, w := range p.w {
				g := p.slope(j) - lambda*(1-cfg.Alpha)*w // must be alpha lambda sign(w), or within it at 0
				bad := math.Abs(g) - cfg.Alpha*lambda
				if w != 0 {
					bad = math.Abs(g - math.Copysign(cfg.Alpha*lambda, w))
				}
				if bad > 1e-5*p.first {
					t.Fatalf("%s at %.3g: column %d with weight %v misses its condition by %.2g", target.Name, lambda, j, w, bad)
				}
			}
		}
	}
}

func TestElasticNetByHand(t *testing.T) {
	// one column u = ±1, t = ±3: w = soft(3, alpha lambda)/(1 + (1-alpha) lambda)
	x := Rows{N: 2, D: 2, Values: []float32{-1, 5, 1, 5}} // and a constant column
	p, err := newElastic(x, NewRegression("t", []float64{-3, 3}), ElasticNetConfig{Alpha: 0.5, Tolerance: 1e-12, Lambdas: 1, MinRatio: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.solve(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if want := (3 - 1.0) / (1 + 1); math.Abs(p.w[0]-want) > 1e-9 || p.w[1] != 0 {
		t.Errorf("weights %v, want %v and 0", p.w, want)
	}
}

func TestKSparse(t *testing.T) {
	x, score, support := sparseTruth(600, 100)
	target := sparseTargets(score)[0]
	for _, by := range []string{"mean-difference", "elastic-net"} {
		l, columns, err := KSparse(t.Context(), x, target, SparseConfig{K: 5, Select: by}, DefaultLogistic(), DefaultElasticNet())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(columns, support) {
			t.Errorf("%s: columns %v, planted %v", by, columns, support)
		}
		for j, w := range l.Weights {
			if (w != 0) != slices.Contains(support, j) {
				t.Errorf("%s: column %d has weight %v", by, j, w)
			}
		}
	}
	if _, _, err := KSparse(t.Context(), x, target, SparseConfig{K: 0, Select: "elastic-net"}, DefaultLogistic(), DefaultElasticNet()); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("k = 0 gives %v", err)
	}
}
