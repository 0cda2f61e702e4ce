package sae

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"loupe/internal/graphtest"
)

// TestKMeans wants well-separated clusters found, and the mean of all rows for one centroid.
func TestKMeans(t *testing.T) {
	b := graphtest.Backend(t)
	const d, k, n = 8, 5, 1500 // more rows than are computed at once
	centres, x := normals(1, k*d), normals(2, n*d)
	scaleBy(centres, 20)
	for r := range n {
		scaleBy(x[r*d:(r+1)*d], 0.1)
		axpy(1, centres[(r%k)*d:(r%k+1)*d], x[r*d:(r+1)*d])
	}
	found, hits := 0, 0
	for seed := range uint64(10) {
		got, err := kMeans(b, x, d, k, rand.New(rand.NewPCG(seed, 1)))
		if err != nil {
			t.Fatal(err)
		}
		hits = 0
		for i := range k {
			c := centres[i*d : (i+1)*d]
			for j := range k {
				diff := slices.Clone(got[j*d : (j+1)*d])
				axpy(-1, c, diff)
				if norm2(diff) < 0.1 {
					hits++
				}
			}
		}
		if hits == k {
			found++
		}
	}
	if found < 1 { // Lloyd's rounds from rows that share a cluster keep sharing it
		t.Error("no start of ten finds all clusters")
	}
	got, err := kMeans(b, x, d, 1, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	mean, _ := rowMean(x, d)
	nearly(t, "one centroid", got, mean, 1e-4, 1e-4)
}

// archetypeWeights are weights of RA-SAE away from every edge of their sets.
func archetypeWeights(cfg Config) weights {
	w := newWeights(cfg)
	for i, s := range w.slices() {
		copy(s, normals(uint64(20+i), len(s)))
	}
	for i, t := 0, w.named(cfg, "threshold"); i < len(t); i++ {
		t[i] = 0.2
	}
	return w
}

// TestArchetypeGraph compares the projections and the dictionary of the training graph with those on the host, which the
// reference's golden cases check.
func TestArchetypeGraph(t *testing.T) {
	cfg := Config{Arch: ArchRATopK, DIn: 6, DSAE: 10, K: 2, Archetypal: ArchetypalConfig{Points: 7, Delta: 1.5}}
	w := archetypeWeights(cfg)
	exec, err := NewExec(graphtest.Backend(t), func(convex, relax, scale, points *Node) *Node {
		nodes := weightNodes{archetypeWeight: convex, archetypeRelax: relax, archetypeScale: scale, archetypePoints: points}
		return archetypeDecoder(project(cfg, nodes))
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
	var flat []float32
	for _, row := range got.Value().([][]float32) {
		flat = append(flat, row...)
	}
	nearly(t, "dictionary", flat, archetypeDictionary(cfg, w), 1e-5, 1e-5)
}

// TestArchetypalHull trains RA-SAE and wants every atom, less its factor, within delta of a convex combination of the
// points; without relaxation, within the hull's width in every direction.
func TestArchetypalHull(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	p := newPlanted(t, PlantedConfig{Dim: 16, Features: 24, Active: 3, Noise: 0.02, Seed: 4})
	cfg := archConfig(t, ArchRATopK, func(c *Config) { c.Tokens, c.InitRows, c.Archetypal.Delta = 256*200, 200, 0 })
	tr, err := Start(graphtest.Backend(t), cfg, p)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Train(t.Context(), p, TrainOptions{}); err != nil {
		t.Fatal(err)
	}
	w := tr.params(t).w
	points, dict := w.named(cfg, archetypePoints), archetypeDictionary(cfg, w)
	factor := math.Exp(float64(w.named(cfg, archetypeScale)[0]))
	for _, direction := range slices.Collect(slices.Chunk(normals(9, 50*16), 16)) {
		low, high := math.Inf(1), math.Inf(-1)
		for c := range slices.Chunk(points, 16) {
			low, high = min(low, float64(dot(c, direction))), max(high, float64(dot(c, direction)))
		}
		for i := range cfg.DSAE {
			if v := float64(dot(dict[i*16:(i+1)*16], direction)) / factor; v < low-1e-3 || v > high+1e-3 {
				t.Fatalf("atom %d lies outside the hull: %v of [%v, %v]", i, v, low, high)
			}
		}
	}
}
