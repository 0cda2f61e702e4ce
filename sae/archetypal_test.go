package sae

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"loupe/internal/graphtest"
)

// TestKMeansByHand has four points on a line: whichever two it starts from, the centroids are the means of the pairs.
func TestKMeansByHand(t *testing.T) {
	for seed := range uint64(6) {
		got, err := kMeans(graphtest.Backend(t), []float32{0, 1, 10, 11}, 1, 2, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		nearly(t, "centroids", got, []float32{0.5, 10.5}, 1e-6, 0)
	}
}

// TestKMeans clusters rows that come in well-separated groups, more rows than are computed at once: the best of ten starts finds
// the means of the groups. A start with two rows of one group may split it and join two others. One centroid is the mean of all.
func TestKMeans(t *testing.T) {
	b := graphtest.Backend(t)
	const d, groups, n = 8, 5, 1500
	centres, x := normals(1, groups*d), normals(2, n*d)
	scaleBy(centres, 20)
	mean, all := make([]float64, groups*d), make([]float64, d)
	for r := range n {
		g := r % groups
		scaleBy(x[r*d:(r+1)*d], 0.1)
		axpy(1, centres[g*d:(g+1)*d], x[r*d:(r+1)*d])
		for j, v := range x[r*d : (r+1)*d] {
			mean[g*d+j] += float64(v) / (n / groups)
			all[j] += float64(v) / n
		}
	}
	clusters := func(k int, seed uint64) []float32 {
		got, err := kMeans(b, x, d, k, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	least := math.Inf(1)
	for seed := range uint64(10) {
		got := clusters(groups, seed)
		var far float64 // the largest distance from a group's mean to its centroid
		for g := range groups {
			want := make([]float32, d)
			for j := range want {
				want[j] = float32(mean[g*d+j])
			}
			i := nearestPoint(got, want)
			axpy(-1, got[i*d:(i+1)*d], want)
			far = max(far, float64(norm2(want)))
		}
		least = min(least, far)
	}
	if least > 1e-4 {
		t.Errorf("the best of ten starts misses a group by %v", least)
	}
	want := make([]float32, d)
	for j, v := range all {
		want[j] = float32(v)
	}
	nearly(t, "one centroid", clusters(1, 1), want, 1e-4, 1e-4)
}

// archetypalConfig is RA-SAE with two atoms of two points in the plane.
func archetypalConfig(arch string) Config {
	return Config{Arch: arch, DIn: 2, DSAE: 2, K: 1, Archetypal: ArchetypalConfig{Points: 2, Delta: 1}, Normalize: NormalizeNone}
}

// TestArchetypesByHand works a dictionary out on paper: rows (1, 1) and (-1, 3) of W become (1/2, 1/2) and (0, 1), the
// relaxation (3, 4) is cut to (0.6, 0.8) and (0, 0.5) stays, and the common factor is 2. With points (2, 0) and (0, 2):
//
//	D = 2 ((1, 1) + (0.6, 0.8)) = (3.2, 3.6) and 2 ((0, 2) + (0, 0.5)) = (0, 5)
//
// The exported SAE is a plain topk or jumprelu with this dictionary.
func TestArchetypesByHand(t *testing.T) {
	for arch, base := range map[string]string{ArchRATopK: ArchTopK, ArchRAJumpReLU: ArchJumpReLU} {
		cfg := archetypalConfig(arch)
		w := newWeights(cfg)
		copy(w.named(cfg, archetypeWeight), []float32{1, 1, -1, 3})
		copy(w.named(cfg, archetypeRelax), []float32{3, 4, 0, 0.5})
		copy(w.named(cfg, archetypePoints), []float32{2, 0, 0, 2})
		w.named(cfg, archetypeScale)[0] = float32(math.Log(2))
		copy(w.enc, []float32{1, 0, 0, 1})
		copy(w.named(cfg, "threshold"), []float32{0.5, 3})
		s := exported(cfg, w)
		if s.Arch != base {
			t.Errorf("%s is exported as %s, want %s", arch, s.Arch, base)
		}
		nearly(t, arch+": dictionary", s.WDec, []float32{3.2, 3.6, 0, 5}, 1e-6, 1e-6)
		_, y, err := s.Reconstruct([]float32{2, 1}) // latent 0 alone: the largest, and the only one above its threshold
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, arch+": reconstruction", y, []float32{6.4, 7.2}, 1e-6, 0)
	}
}

// TestArchetypeGraph compares the projections and the dictionary of the training graph with those on the host, which the
// reference's golden cases check.
func TestArchetypeGraph(t *testing.T) {
	cfg := Config{Arch: ArchRATopK, DIn: 6, DSAE: 10, K: 2, Archetypal: ArchetypalConfig{Points: 7, Delta: 1.5}}
	w := newWeights(cfg)
	for i, s := range w.slices() {
		copy(s, normals(uint64(20+i), len(s)))
	}
	exec, err := NewExec(graphtest.Backend(t), func(convex, relax, scale, points *Node) *Node {
		nodes := weightNodes{archetypeWeight: convex, archetypeRelax: relax, archetypeScale: scale, archetypePoints: points}
		projectArchetypes(cfg, nodes)
		return archetypeDecoder(nodes)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Finalize()
	var args []any
	for _, info := range layout(cfg)[3:7] {
		rows := slices.Collect(slices.Chunk(w.named(cfg, info.name), info.shape[len(info.shape)-1]))
		if len(info.shape) == 1 {
			args = append(args, rows[0])
		} else {
			args = append(args, rows)
		}
	}
	got, err := exec.Call1(args...)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "dictionary", slices.Concat(got.Value().([][]float32)...), archetypeDictionary(cfg, w), 1e-5, 1e-5)
}

// TestArchetypesStayInTheirSets takes large steps and wants, after each, convex weights, relaxations no longer than delta, and
// points that never move. Without a relaxation every atom, less its factor, then lies within the hull's width in any
// direction.
func TestArchetypesStayInTheirSets(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	p := newPlanted(t, PlantedConfig{Dim: 16, Features: 24, Active: 3, Noise: 0.02, Seed: 4})
	for _, arch := range []string{ArchRATopK, ArchRAJumpReLU} {
		for _, delta := range []float64{0, 0.2} {
			cfg := archConfig(t, arch, func(c *Config) { c.InitRows, c.LR, c.Archetypal.Delta = 200, 0.03, delta })
			tr, err := Start(graphtest.Backend(t), cfg, p)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			start := tr.params(t).w.clone()
			x := make([]float32, cfg.Batch*cfg.DIn)
			for range 40 {
				if _, err := p.Next(x); err != nil {
					t.Fatal(err)
				}
				if _, err := tr.Step(x); err != nil {
					t.Fatal(err)
				}
				inArchetypeSets(t, cfg, tr.params(t).w)
			}
			w := tr.params(t).w
			if !slices.Equal(w.named(cfg, archetypePoints), start.named(cfg, archetypePoints)) {
				t.Error("the points have moved")
			}
			moved := slices.Clone(w.named(cfg, archetypeWeight))
			axpy(-1, start.named(cfg, archetypeWeight), moved)
			if norm2(moved) < 0.1 {
				t.Errorf("the weights moved by %v: the test is too weak", norm2(moved))
			}
			if delta > 0 {
				continue
			}
			dict, factor := archetypeDictionary(cfg, w), math.Exp(float64(w.named(cfg, archetypeScale)[0]))
			for direction := range slices.Chunk(normals(9, 50*16), 16) {
				low, high := math.Inf(1), math.Inf(-1)
				for c := range slices.Chunk(w.named(cfg, archetypePoints), 16) {
					low, high = min(low, float64(dot(c, direction))), max(high, float64(dot(c, direction)))
				}
				for atom := range slices.Chunk(dict, 16) {
					if v := float64(dot(atom, direction)) / factor; v < low-1e-3 || v > high+1e-3 {
						t.Fatalf("%s: an atom lies outside the hull: %v of [%v, %v]", arch, v, low, high)
					}
				}
			}
		}
	}
}

// inArchetypeSets checks the sets of one step; float32 sums of up to 48 weights are 1 within 1e-5.
func inArchetypeSets(t *testing.T, cfg Config, w weights) {
	t.Helper()
	for i := range cfg.DSAE {
		var sum float64
		for _, v := range w.named(cfg, archetypeWeight)[i*cfg.Archetypal.Points : (i+1)*cfg.Archetypal.Points] {
			if v < 0 {
				t.Fatalf("%s: atom %d has a weight of %v", cfg.Arch, i, v)
			}
			sum += float64(v)
		}
		if math.Abs(sum-1) > 1e-5 {
			t.Fatalf("%s: the weights of atom %d add up to %v", cfg.Arch, i, sum)
		}
		if n := float64(norm2(w.named(cfg, archetypeRelax)[i*cfg.DIn : (i+1)*cfg.DIn])); n > cfg.Archetypal.Delta*(1+1e-5) {
			t.Fatalf("%s: the relaxation of atom %d has norm %v, more than %v", cfg.Arch, i, n, cfg.Archetypal.Delta)
		}
	}
}

// TestArchetypalErrors wants each wrong setting named, and too few rows for the centroids.
func TestArchetypalErrors(t *testing.T) {
	base := DefaultsFor(ArchRATopK)
	base.DSAE, base.K, base.InitRows = 48, 3, 100
	for field, edit := range map[string]func(*Config){
		"archetypal.points":            func(c *Config) { c.Archetypal.Points = -1 },
		"archetypal.delta":             func(c *Config) { c.Archetypal.Delta = math.NaN() },
		"decoder":                      func(c *Config) { c.Decoder = DecoderUnit },
		"rescale_acts_by_decoder_norm": func(c *Config) { c.RescaleByDecoder = true },
		"engine":                       func(c *Config) { c.Engine = EngineHost },
	} {
		c := base
		edit(&c)
		wantFieldError(t, c, field)
	}
	c := base
	c.Archetypal.Points, c.Engine = 48, EngineDense
	c, err := c.Resolve(16)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewTrainer(graphtest.Backend(t), c, normals(1, 16*20)); err == nil {
		t.Error("20 rows give 48 centroids")
	}
}
