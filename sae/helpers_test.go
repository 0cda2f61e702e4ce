package sae

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gomlx/compute"

	"loupe/internal/graphtest"
)

// engines are the engines that the backend under test can run: the Go backend's TopK does not finish.
func engines(t testing.TB) []string {
	if graphtest.IsGo(t) {
		return []string{EngineHost, EngineHybrid}
	}
	return []string{EngineHost, EngineHybrid, EngineXLA, EngineDense}
}

// small is a resolved configuration of a few hundred weights.
func small(t testing.TB, edit func(*Config)) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.DSAE, cfg.K, cfg.Batch, cfg.Tokens, cfg.AuxK = 64, 4, 32, 32*20, 8
	cfg.LR, cfg.Warmup, cfg.Decay, cfg.InitRows = 1e-3, 0.1, 0.2, 64
	cfg.DeadTokens, cfg.Engine, cfg.CheckpointTokens = 96, EngineHost, 32*5
	if edit != nil {
		edit(&cfg)
	}
	cfg, err := cfg.Resolve(16)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// normals returns n standard normal numbers by seed.
func normals(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64())
	}
	return out
}

// planted is data with known sparse features: x = sum of active unit features times uniform strengths, plus noise.
type planted struct {
	d, features int
	dictionary  []float32 // [features, d]
	x           []float32
}

func plant(seed uint64, d, features, active, rows int, noise float64) planted {
	rng := rand.New(rand.NewPCG(seed, 2))
	p := planted{d: d, features: features, dictionary: normals(seed+1, features*d), x: make([]float32, rows*d)}
	for i := range features {
		unit(p.dictionary[i*d : (i+1)*d])
	}
	for r := range rows {
		row := p.x[r*d : (r+1)*d]
		for range active {
			i := rng.IntN(features)
			axpyPlain(float32(0.5+rng.Float64()), p.dictionary[i*d:(i+1)*d], row)
		}
		for j := range row {
			row[j] += float32(noise * rng.NormFloat64())
		}
	}
	return p
}

// recovered is the share of the planted features that some decoder row matches with a cosine above least.
func (p planted) recovered(s *SAE, least float64) float64 {
	hits := 0
	for i := range p.features {
		best := 0.0
		for j := range s.DSAE {
			row := s.Decoder(j)
			c := float64(dotPlain(p.dictionary[i*p.d:(i+1)*p.d], row)) / math.Sqrt(float64(dotPlain(row, row)))
			if s.Arch == ArchAbsTopK {
				c = math.Abs(c) // a latent may be negative
			}
			best = max(best, c)
		}
		if best > least {
			hits++
		}
	}
	return float64(hits) / float64(p.features)
}

// train runs a whole training over x and returns the SAE and the last step's report.
func train(t testing.TB, b compute.Backend, cfg Config, x []float32) (*SAE, StepStats) {
	t.Helper()
	rows, err := NewMemoryRows(x, cfg.DIn, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	var last StepStats
	if err := tr.Train(t.Context(), rows, TrainOptions{OnStep: func(s StepStats) error { last = s; return nil }}); err != nil {
		t.Fatal(err)
	}
	s, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	return s, last
}

// nearly reports an error when got and want differ by more than atol + rtol |want| anywhere.
func nearly(t testing.TB, name string, got, want []float32, rtol, atol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	for i, w := range want {
		if diff := math.Abs(float64(got[i]) - float64(w)); !(diff <= atol+rtol*math.Abs(float64(w))) {
			t.Errorf("%s[%d] is %v, want %v (off by %.2g; rtol %g, atol %g)", name, i, got[i], w, diff, rtol, atol)
			return
		}
	}
}

// near reports an error when got and want differ by more than rtol |want|.
func near(t testing.TB, name string, got, want, rtol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rtol*math.Abs(want)) {
		t.Errorf("%s is %v, want %v (rtol %g)", name, got, want, rtol)
	}
}
