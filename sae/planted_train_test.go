package sae

import (
	"math/rand/v2"
	"testing"

	"loupe/internal/graphtest"
)

// superposed are 64 features in 32 dimensions, 4 in each row; experiments/planted has the full size and every architecture.
var superposed = PlantedConfig{Dim: 32, Features: 64, Active: 4, Noise: 0.05, Seed: 1}

// trainPlanted trains an SAE of 128 latents on rows of superposed from row number from on, and returns it beside its untrained
// state.
func trainPlanted(t *testing.T, from string, edit func(*Config)) (before, after *SAE) {
	t.Helper()
	c := DefaultConfig()
	edit(&c)
	c.K = superposed.Active
	c.DeriveDefaults()
	edit(&c)
	c.DSAE, c.Batch, c.Tokens, c.InitRows, c.DeadTokens, c.CheckpointTokens = 128, 256, 256*800, 2048, 30_000, 1<<40
	c.LR = 4e-3
	c, err := c.Resolve(superposed.Dim)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlanted(t, superposed)
	if err := p.Restore([]byte(from)); err != nil {
		t.Fatal(err)
	}
	tr, err := Start(graphtest.Backend(t), c, p)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if before, err = tr.SAE(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Train(t.Context(), p, TrainOptions{}); err != nil {
		t.Fatal(err)
	}
	if after, err = tr.SAE(); err != nil {
		t.Fatal(err)
	}
	return before, after
}

// TestPlantedRecovery trains TopK on features in superposition and wants 95 % of them with a cosine of 0.95, of which an
// untrained dictionary has none.
func TestPlantedRecovery(t *testing.T) {
	before, after := trainPlanted(t, "0", func(c *Config) { c.Arch, c.Engine = ArchTopK, EngineHost })
	p := newPlanted(t, superposed)
	got, untrained := p.Recovered(after, 0.95), p.Recovered(before, 0.95)
	t.Logf("recovered %.3f, untrained %.3f", got, untrained)
	if got < 0.95 || untrained > 0.02 {
		t.Errorf("recovered %.3f (untrained %.3f), want at least 0.95 (at most 0.02)", got, untrained)
	}
}

// TestPlantedPrefixes trains a Matryoshka SAE: each prefix of its latents leaves less error than the one before, and less than
// any of ten random sets of as many of its latents.
func TestPlantedPrefixes(t *testing.T) {
	var widths []int
	_, s := trainPlanted(t, "0", func(c *Config) {
		c.Arch, c.Engine, c.Matryoshka.Widths = ArchMatryoshka, EngineHost, []int{16, 32, 64, 128}
		widths = c.Matryoshka.Widths
	})
	p := newPlanted(t, superposed)
	if err := p.Restore([]byte("1000000")); err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 4000*superposed.Dim)
	if _, err := p.Next(x); err != nil {
		t.Fatal(err)
	}
	lat, err := s.Encode(x)
	if err != nil {
		t.Fatal(err)
	}
	squaredError := func(keep func(latent int) bool) float64 {
		var sum float64
		e := make([]float32, s.DIn)
		for r := range lat.Rows() {
			copy(e, x[r*s.DIn:(r+1)*s.DIn])
			axpy(-1, s.BDec, e)
			index, value := lat.Row(r)
			for k, i := range index {
				if keep(int(i)) {
					axpy(-value[k], s.Decoder(int(i)), e)
				}
			}
			sum += squaredNorm(e)
		}
		return sum / float64(lat.Rows())
	}
	rng := rand.New(rand.NewPCG(1, 1))
	last := squaredError(func(int) bool { return false })
	for _, w := range widths {
		first := squaredError(func(i int) bool { return i < w })
		if first >= last {
			t.Errorf("the first %d latents leave %v, fewer left %v", w, first, last)
		}
		last = first
		if w == s.DSAE {
			break
		}
		for range 10 {
			place := rng.Perm(s.DSAE)
			if random := squaredError(func(i int) bool { return place[i] < w }); random <= first {
				t.Errorf("the first %d latents leave %v, %d random ones %v", w, first, w, random)
			}
		}
	}
}

// TestPlantedStability trains TopK and RA-SAE three times from other starts on other rows: any two dictionaries of RA-SAE are
// more alike than any two of TopK, whose superfluous latents end anywhere.
func TestPlantedStability(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	pairs := func(arch, engine string) (low, high float64) {
		var dictionaries []*SAE
		low = 1
		for seed, from := range []string{"0", "100000000", "200000000"} {
			_, s := trainPlanted(t, from, func(c *Config) { c.Arch, c.Engine, c.Seed, c.InitEncoder = arch, engine, uint64(seed), InitRandom })
			for _, other := range dictionaries {
				m, err := MeasureStability(t.Context(), s.WDec, other.WDec, s.DIn, 0.95)
				if err != nil {
					t.Fatal(err)
				}
				low, high = min(low, m.MeanMaxCosine), max(high, m.MeanMaxCosine)
			}
			dictionaries = append(dictionaries, s)
		}
		t.Logf("%s: mean largest cosine of two seeds %.3f to %.3f", arch, low, high)
		return low, high
	}
	_, most := pairs(ArchTopK, EngineHost)
	if least, _ := pairs(ArchRATopK, EngineDense); least <= most {
		t.Errorf("two RA-SAEs agree by %.3f, two TopK SAEs by up to %.3f", least, most)
	}
}
