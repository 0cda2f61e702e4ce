package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/internal/stats"
)

// TestBootstrapFromHand: replicates 0, 1, 2, 3, 4 of the sample 0, 2, 4, whose mean is 2.
func TestBootstrapFromHand(t *testing.T) {
	x := []float64{0, 2, 4}
	index := [][]int{{2, 2}, {0, 1}, {0, 0}, {1, 1}, {1, 2}}
	cfg := stats.BootstrapConfig{Level: 0.5, Method: stats.Percentile}
	r := must[stats.BootstrapResult](t)(stats.BootstrapFrom(ctx, 3, index, stats.MeanOf(x), cfg))
	if !slices.Equal(r.Replicates, []float64{4, 1, 0, 2, 3}) {
		t.Errorf("replicates %v", r.Replicates)
	}
	near(t, "value", r.Value, 2, 0)
	near(t, "low", r.Low, 1, 1e-14)
	near(t, "high", r.High, 3, 1e-14)
	near(t, "SE", r.SE, math.Sqrt(2.5), 1e-14)

	// Symmetric data have no acceleration, and counting the tie at 2 half there is no bias either.
	cfg.Method = stats.BCaMidrank
	mid := must[stats.BootstrapResult](t)(stats.BootstrapFrom(ctx, 3, index, stats.MeanOf(x), cfg))
	near(t, "low without correction", mid.Low, 1, 1e-12)
	near(t, "high without correction", mid.High, 3, 1e-12)

	// Counting below only, 2 of 5 lie below: z0 = q(2/5), and the low end is the quantile at Phi(2 z0 - 0.6745).
	cfg.Method = stats.BCa
	bca := must[stats.BootstrapResult](t)(stats.BootstrapFrom(ctx, 3, index, stats.MeanOf(x), cfg))
	const z0, z75 = -0.2533471031357997, 0.6744897501960817
	near(t, "BCa low", bca.Low, 4*math.Erfc(-(2*z0-z75)/math.Sqrt2)/2, 1e-12)
	near(t, "BCa high", bca.High, 4*math.Erfc(-(2*z0+z75)/math.Sqrt2)/2, 1e-12)
}

// TestBCaAcceleration: for a mean the jackknife gives a = sum (x-m)³ / (6 (sum (x-m)²)^1.5), and with z0 = 0 the end for z is
// the quantile at Phi(z / (1 - a z)).
func TestBCaAcceleration(t *testing.T) {
	x := []float64{0, 0, 0, 4} // deviations -1, -1, -1, 3
	const a = (27 - 3) / (6 * 41.569219381653056)
	index := [][]int{{0}, {0, 1, 2, 3}, {3, 2, 1, 0}, {3}} // means 0, 1, 1, 4: as many below the estimate of 1 as above
	cfg := stats.BootstrapConfig{Level: 0.5, Method: stats.BCaMidrank}
	r := must[stats.BootstrapResult](t)(stats.BootstrapFrom(ctx, 4, index, stats.MeanOf(x), cfg))
	quantile := func(p float64) float64 { // of 0, 1, 1, 4
		at := 3 * p
		switch {
		case at < 1:
			return at
		case at < 2:
			return 1
		}
		return 1 + 3*(at-2)
	}
	end := func(z float64) float64 { return quantile(math.Erfc(-z/(1-a*z)/math.Sqrt2) / 2) }
	near(t, "low", r.Low, end(-0.6744897501960817), 1e-12)
	near(t, "high", r.High, end(0.6744897501960817), 1e-12)
}

func TestBootstrapIsAFunctionOfTheSeed(t *testing.T) {
	x := normals(rand.New(rand.NewPCG(1, 6)), 20, 0)
	cluster := make([]int, len(x))
	for i := range cluster {
		cluster[i] = i / 4
	}
	cfg := stats.DefaultBootstrap()
	cfg.Resamples = 50
	plans := map[string]func(stats.BootstrapConfig) (stats.BootstrapResult, error){
		"examples": func(c stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.Bootstrap(ctx, len(x), stats.MeanOf(x), c)
		},
		"strata": func(c stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.BootstrapStrata(ctx, cluster, stats.MeanOf(x), c)
		},
		"clusters": func(c stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.BootstrapClusters(ctx, cluster, stats.MeanOf(x), c)
		},
		"hierarchical": func(c stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.BootstrapHierarchical(ctx, cluster, stats.MeanOf(x), c)
		},
		"crossed": func(c stats.BootstrapConfig) (stats.BootstrapResult, error) {
			c.Method = stats.Percentile
			return stats.BootstrapCrossed(ctx, 4, 5, tableMean(x, 5), c)
		},
	}
	for name, plan := range plans {
		first, again := must[stats.BootstrapResult](t)(plan(cfg)), must[stats.BootstrapResult](t)(plan(cfg))
		if !slices.Equal(first.Replicates, again.Replicates) || first.Interval != again.Interval {
			t.Errorf("%s: the same seed gave other replicates", name)
		}
		other := cfg
		other.Seed++
		if slices.Equal(first.Replicates, must[stats.BootstrapResult](t)(plan(other)).Replicates) {
			t.Errorf("%s: another seed gave the same replicates", name)
		}
	}
}

// tableMean is the mean of the drawn rows and columns of x[rows, columns].
func tableMean(x []float64, columns int) func(row, column []int) float64 {
	return func(row, column []int) float64 {
		total := 0.0
		for _, i := range row {
			for _, j := range column {
				total += x[i*columns+j]
			}
		}
		return total / float64(len(row)*len(column))
	}
}

// TestBootstrapDesigns checks what each plan may draw.
func TestBootstrapDesigns(t *testing.T) {
	label := []int{5, 9, 5, 9, 9, 5, 9, 2, 2}
	cfg := stats.BootstrapConfig{Resamples: 200, Level: 0.9, Method: stats.Percentile}
	sizes := func(index []int) map[int]int {
		n := make(map[int]int)
		for _, i := range index {
			n[label[i]]++
		}
		return n
	}
	must[stats.BootstrapResult](t)(stats.BootstrapStrata(ctx, label, func(index []int) float64 {
		if n := sizes(index); n[5] != 3 || n[9] != 4 || n[2] != 2 {
			t.Errorf("a stratified resample has sizes %v", n)
		}
		return 0
	}, cfg))
	must[stats.BootstrapResult](t)(stats.BootstrapClusters(ctx, label, func(index []int) float64 {
		times := make(map[int]int)
		for _, i := range index {
			times[i]++
		}
		for i, l := range label {
			for j, k := range label {
				if l == k && times[i] != times[j] {
					t.Errorf("examples %d and %d of one cluster were drawn %d and %d times", i, j, times[i], times[j])
				}
			}
		}
		return 0
	}, cfg))
	split := false
	must[stats.BootstrapResult](t)(stats.BootstrapHierarchical(ctx, label, func(index []int) float64 {
		n := sizes(index)
		if n[5]%3 != 0 || n[9]%4 != 0 || n[2]%2 != 0 {
			t.Errorf("a hierarchical resample has sizes %v", n)
		}
		for i := range index {
			split = split || slices.Index(index, index[i]) != i
		}
		return 0
	}, cfg))
	if !split {
		t.Error("no hierarchical resample repeats an example")
	}
}

// coverage is the share of trials whose interval holds 0.
func coverage(trials int, interval func(trial int) stats.Interval) float64 {
	covered := 0
	for trial := range trials {
		if r := interval(trial); r.Low <= 0 && 0 <= r.High {
			covered++
		}
	}
	return float64(covered) / float64(trials)
}

// TestBootstrapCovers plants skewed data; the usual small-sample shortfall of the bootstrap is within the bounds.
func TestBootstrapCovers(t *testing.T) {
	for _, method := range []stats.Method{stats.Percentile, stats.BCa, stats.BCaMidrank} {
		rng := rand.New(rand.NewPCG(2, 6))
		got := coverage(600, func(trial int) stats.Interval {
			x := make([]float64, 50)
			for i := range x {
				x[i] = rng.ExpFloat64() - 1
			}
			cfg := stats.BootstrapConfig{Resamples: 400, Level: 0.95, Method: method, Seed: uint64(trial)}
			return must[stats.BootstrapResult](t)(stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg)).Interval
		})
		between(t, string(method)+" coverage", got, 0.90, 0.975)
	}
}

// TestBootstrapMatchesTheory: the standard error of a mean is its plug-in value, up to the noise of 4000 resamples.
func TestBootstrapMatchesTheory(t *testing.T) {
	x := normals(rand.New(rand.NewPCG(3, 6)), 60, 3)
	m, v := 0.0, 0.0
	for _, e := range x {
		m += e / 60
	}
	for _, e := range x {
		v += (e - m) * (e - m) / 60
	}
	cfg := stats.BootstrapConfig{Resamples: 4000, Level: 0.95, Method: stats.BCa}
	r := must[stats.BootstrapResult](t)(stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg))
	near(t, "value", r.Value, m, 1e-13)
	between(t, "SE / plug-in", r.SE/math.Sqrt(v/60), 0.96, 1.04)
}

// TestClustersCover plants 15 clusters of 8 with most of the variance between them: drawing clusters covers, drawing examples does not.
func TestClustersCover(t *testing.T) {
	cluster := make([]int, 15*8)
	for i := range cluster {
		cluster[i] = i / 8
	}
	draw := func(rng *rand.Rand) []float64 {
		x := make([]float64, len(cluster))
		shift := normals(rng, 15, 0)
		for i := range x {
			x[i] = shift[cluster[i]] + 0.7*rng.NormFloat64()
		}
		return x
	}
	type plan func(x []float64, cfg stats.BootstrapConfig) (stats.BootstrapResult, error)
	tests := []struct {
		name      string
		plan      plan
		low, high float64
	}{
		{"examples", func(x []float64, cfg stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg)
		}, 0, 0.7},
		{"clusters", func(x []float64, cfg stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.BootstrapClusters(ctx, cluster, stats.MeanOf(x), cfg)
		}, 0.87, 0.97},
		{"hierarchical", func(x []float64, cfg stats.BootstrapConfig) (stats.BootstrapResult, error) {
			return stats.BootstrapHierarchical(ctx, cluster, stats.MeanOf(x), cfg)
		}, 0.88, 0.98},
	}
	for _, test := range tests {
		rng := rand.New(rand.NewPCG(4, 6))
		got := coverage(300, func(trial int) stats.Interval {
			cfg := stats.BootstrapConfig{Resamples: 300, Level: 0.95, Method: stats.Percentile, Seed: uint64(trial)}
			return must[stats.BootstrapResult](t)(test.plan(draw(rng), cfg)).Interval
		})
		between(t, test.name+" coverage", got, test.low, test.high)
	}
}

// TestCrossedCovers plants 10 seeds scored on the same 30 examples: the table's rows and columns both carry variance.
func TestCrossedCovers(t *testing.T) {
	const seeds, examples = 10, 30
	rng := rand.New(rand.NewPCG(5, 6))
	seed := make([]int, seeds*examples)
	for i := range seed {
		seed[i] = i / examples
	}
	draw := func() []float64 {
		x := make([]float64, seeds*examples)
		bySeed, byExample := normals(rng, seeds, 0), normals(rng, examples, 0)
		for i := range x {
			x[i] = 0.3*bySeed[i/examples] + byExample[i%examples] + 0.5*rng.NormFloat64()
		}
		return x
	}
	cfg := stats.BootstrapConfig{Resamples: 300, Level: 0.95, Method: stats.Percentile}
	crossed := coverage(300, func(trial int) stats.Interval {
		cfg.Seed = uint64(trial)
		return must[stats.BootstrapResult](t)(stats.BootstrapCrossed(ctx, seeds, examples, tableMean(draw(), examples), cfg)).Interval
	})
	nested := coverage(300, func(trial int) stats.Interval {
		cfg.Seed = uint64(trial)
		x := draw()
		return must[stats.BootstrapResult](t)(stats.BootstrapHierarchical(ctx, seed, stats.MeanOf(x), cfg)).Interval
	})
	between(t, "crossed coverage", crossed, 0.91, 0.99)
	between(t, "nested coverage of crossed data", nested, 0, 0.85)
}

// TestMidrankSuitsProportions: an accuracy of 45 of 90 has no bias; counting only replicates below it would find one.
func TestMidrankSuitsProportions(t *testing.T) {
	x := make([]float64, 90)
	for i := range 45 {
		x[i] = 1
	}
	cfg := stats.BootstrapConfig{Resamples: 4000, Level: 0.95, Method: stats.BCaMidrank}
	mid := must[stats.BootstrapResult](t)(stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg))
	cfg.Method = stats.BCa
	strict := must[stats.BootstrapResult](t)(stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg))
	between(t, "middle with ties counted half", (mid.Low+mid.High)/2, 0.493, 0.507)
	between(t, "middle with ties not counted", (strict.Low+strict.High)/2, 0.47, 0.498)
}

// TestManyUnits: beyond 2000 units the jackknife leaves out groups, and the interval stays that of a normal mean.
func TestManyUnits(t *testing.T) {
	x := normals(rand.New(rand.NewPCG(6, 6)), 5001, 0)
	cfg := stats.BootstrapConfig{Resamples: 300, Level: 0.95, Method: stats.BCa}
	r := must[stats.BootstrapResult](t)(stats.Bootstrap(ctx, len(x), stats.MeanOf(x), cfg))
	between(t, "width in standard errors", (r.High-r.Low)/r.SE, 3.5, 4.4)
}
