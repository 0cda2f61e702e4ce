package sae

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"loupe/internal/matmul"
)

// tileScores fills a tile with numbers of which many are equal.
func tileScores(rng *rand.Rand) *tile {
	t := &tile{}
	for i := range t.scores {
		t.scores[i] = float32(rng.IntN(9) - 4)
	}
	return t
}

// TestFinishTile holds the vector form to the scores and marks of the plain one, with padding, scales and magnitudes.
func TestFinishTile(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 100 {
		a := tileScores(rng)
		b := &tile{scores: a.scores}
		bias, scale := make([]float32, matmul.TileCols), make([]float32, matmul.TileCols)
		for j := range bias {
			bias[j], scale[j] = float32(rng.NormFloat64()), float32(rng.Float64())
		}
		bias[rng.IntN(len(bias))] = float32(math.NaN())
		c := tileColumns{bias: bias}
		if rng.IntN(2) == 0 {
			c.scale = scale
		}
		if rng.IntN(2) == 0 {
			c.floor = make([]float32, matmul.TileCols)
			for j := range c.floor {
				c.floor[j] = float32(rng.IntN(7) - 3)
			}
		}
		limits := make([]float32, matmul.TileRows)
		for r := range limits {
			limits[r] = float32(rng.IntN(5))
		}
		limits[3] = float32(math.Inf(1))
		magnitude := rng.IntN(2) == 0
		some := finishTile(a, c, limits, magnitude)
		if want := finishTilePlain(b, c, limits, magnitude); some != want || a.hits != b.hits || a.hits[3] != 0 {
			t.Fatalf("marks %v %x, plain %v %x", some, a.hits, want, b.hits)
		}
		for r, hits := range a.hits {
			for j := range matmul.TileCols {
				at := r*matmul.TileCols + j
				if hits>>j&1 == 1 && math.Float32bits(a.scores[at]) != math.Float32bits(b.scores[at]) {
					t.Fatalf("score %d is %v, plain %v", at, a.scores[at], b.scores[at])
				}
			}
		}
	}
}

// encodeCase is an encoder with rows and latents that do not fill the tiles; weights are small integers, so that scores
// are exact and often equal.
func encodeCase(t *testing.T, rng *rand.Rand, edit func(*Config)) (Config, weights, []float32) {
	cfg := small(t, func(c *Config) { c.DSAE, c.Batch, c.K = 33+rng.IntN(70), 1+rng.IntN(120), 1+rng.IntN(9); edit(c) })
	w := newWeights(cfg)
	x := make([]float32, cfg.Batch*cfg.DIn)
	for _, m := range [][]float32{w.enc, w.dec, w.bEnc, x} {
		for i := range m {
			m[i] = float32(rng.IntN(5) - 2)
		}
	}
	return cfg, w, x
}

// scoresByHand are the scores of row x.
func scoresByHand(cfg Config, w weights, x []float32) []float32 {
	out := make([]float32, cfg.DSAE)
	for i := range out {
		out[i] = dotPlain(x, w.enc[i*cfg.DIn:(i+1)*cfg.DIn]) + w.bEnc[i]
		if cfg.RescaleByDecoder {
			out[i] *= norm2(w.dec[i*cfg.DIn : (i+1)*cfg.DIn])
		}
	}
	return out
}

// kept are the active latents of a row with their values, in order of index.
func kept(l Latents, r int) string {
	index, value := l.Row(r)
	type slot struct {
		i int32
		v float32
	}
	var out []slot
	for j, i := range index {
		if value[j] != 0 {
			out = append(out, slot{i, value[j]})
		}
	}
	slices.SortFunc(out, func(a, b slot) int { return int(a.i - b.i) })
	return fmt.Sprint(out)
}

// TestTileTopK compares the selection by tiles with topK over whole rows of scores: of all latents, by value or magnitude,
// and among some, where scores of any sign are kept.
func TestTileTopK(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	for n := range 60 {
		cfg, w, x := encodeCase(t, rng, func(c *Config) {
			c.RescaleByDecoder = n%2 == 0
			if n%3 == 0 {
				c.Arch = ArchAbsTopK
			}
		})
		e := newTileEncoder(cfg)
		if err := e.publish(w); err != nil {
			t.Fatal(err)
		}
		copy(e.input(), x)
		got, _, err := e.choose()
		if err != nil {
			t.Fatal(err)
		}
		var dead []int32
		for i := range int32(cfg.DSAE) {
			if rng.IntN(3) == 0 || i == 5 {
				dead = append(dead, i)
			}
		}
		some, err := e.among(w, dead, min(cfg.K, len(dead)))
		if err != nil {
			t.Fatal(err)
		}
		for r := range cfg.Batch {
			scores := scoresByHand(cfg, w, x[r*cfg.DIn:(r+1)*cfg.DIn])
			order := slices.Clone(scores)
			for i, v := range order {
				if cfg.byMagnitude() {
					order[i] = max(v, -v)
				}
			}
			want := newLatents(1, cfg.K)
			topK(order, want.Index, want.Value)
			for j, i := range want.Index {
				if want.Value[j] = scores[i]; order[i] <= 0 {
					want.Value[j] = 0
				}
			}
			if kept(got, r) != kept(want, 0) {
				t.Fatalf("case %d, row %d: %s, want %s", n, r, kept(got, r), kept(want, 0))
			}
			among := newLatents(1, some.K)
			topKAmong(order, dead, among.Index, among.Value)
			for j, i := range among.Index {
				among.Value[j] = scores[i]
			}
			index, _ := some.Row(r)
			slices.Sort(index)
			slices.Sort(among.Index)
			if !slices.Equal(index, among.Index) {
				t.Fatalf("case %d, row %d among %v: %v, want %v", n, r, dead, index, among.Index)
			}
		}
	}
}

// TestTileBatch compares batchtopk's selection by tiles with that over all scores, over several batches of one encoder, so
// that its guess is too low, about right and too high.
func TestTileBatch(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for range 30 {
		cfg, w, x := encodeCase(t, rng, func(c *Config) { c.Arch = ArchBatchTopK })
		e := newTileEncoder(cfg)
		if err := e.publish(w); err != nil {
			t.Fatal(err)
		}
		for _, scale := range []float32{1, 1, 4, 0.25, 0, 1} {
			var all []float32
			for i, v := range x {
				e.input()[i] = scale * v
			}
			for r := range cfg.Batch {
				all = append(all, scoresByHand(cfg, w, e.input()[r*cfg.DIn:(r+1)*cfg.DIn])...)
			}
			got, least, err := e.choose()
			if err != nil {
				t.Fatal(err)
			}
			want, wantLeast := newBatchSelector(cfg.Batch).run(all, cfg.Batch, cfg.DSAE, cfg.batchK())
			if float32(least) != wantLeast || !slices.Equal(got.Start, want.Start) || !slices.Equal(got.Index, want.Index) || !slices.Equal(got.Value, want.Value) {
				t.Fatalf("scale %v: least %v, want %v; %v, want %v", scale, least, wantLeast, got, want)
			}
		}
	}
}

// TestHostCores wants the same bytes of the host engine on one core as on all.
func TestHostCores(t *testing.T) {
	for _, arch := range []string{ArchTopK, ArchBatchTopK, ArchMatryoshka} {
		var first params
		for i, cores := range []int{runtime.GOMAXPROCS(0), 1, 3} {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			cfg := small(t, func(c *Config) { c.Arch, c.Engine, c.Batch = arch, EngineHost, 200 })
			x := normals(5, cfg.Batch*cfg.DIn)
			e, err := newEngine(nil, EngineHost, cfg, newParams(initialWeights(cfg, x, x)))
			if err != nil {
				t.Fatal(err)
			}
			for s := range 3 {
				if _, err := e.step(stepInput{x: x, rate: 1e-3, t: int64(s + 1), dead: []int32{3, 4, 40}}); err != nil {
					t.Fatal(err)
				}
			}
			p, err := e.snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = p
				continue
			}
			for n, m := range p.w.slices() {
				nearly(t, fmt.Sprintf("%s: %s on %d cores", arch, layout(cfg)[n].name, cores), m, first.w.slices()[n], 0, 0)
			}
		}
	}
}
