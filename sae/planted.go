package sae

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
)

// PlantedConfig describes activations in superposition: more features than dimensions, of which each row has a few.
type PlantedConfig struct {
	Dim      int     // d
	Features int     // unit directions, uniform on the sphere
	Active   int     // different features in each row, with strengths uniform in [0.5, 1.5)
	Noise    float64 // standard deviation of the normal noise in each dimension
	Zipf     float64 // feature i is drawn with weight (i+1)^-Zipf; 0: all alike
	Seed     uint64  // of directions and rows
}

// Planted makes rows x = sum_j a_j u_j + noise of features u_j that are known, without end. It is a [Rows]; row r depends on
// seed and r alone.
type Planted struct {
	cfg        PlantedConfig
	dictionary []float32 // [features, d]
	cumulative []float64 // of the weights
	row        int64
}

// NewPlanted draws the features.
func NewPlanted(cfg PlantedConfig) (*Planted, error) {
	if cfg.Dim < 1 || cfg.Active < 1 || cfg.Active > cfg.Features || cfg.Features > math.MaxInt32/cfg.Dim || !(cfg.Noise >= 0) || !(cfg.Zipf >= 0) {
		return nil, fmt.Errorf("sae: planted features: %+v; it needs dimensions, 1 to all features active, noise and zipf of at least 0", cfg)
	}
	p := &Planted{cfg: cfg, dictionary: make([]float32, cfg.Features*cfg.Dim), cumulative: make([]float64, cfg.Features)}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x9a))
	var sum float64
	for i := range cfg.Features {
		row := p.Feature(i)
		for j := range row {
			row[j] = float32(rng.NormFloat64())
		}
		unit(row)
		sum += math.Pow(float64(i+1), -cfg.Zipf)
		p.cumulative[i] = sum
	}
	return p, nil
}

// Feature returns direction i, which the caller must not change.
func (p *Planted) Feature(i int) []float32 {
	d := p.cfg.Dim
	return p.dictionary[i*d : (i+1)*d]
}

// Next fills dst with whole rows.
func (p *Planted) Next(dst []float32) (int, error) {
	d := p.cfg.Dim
	n := len(dst) / d
	start := p.row
	parallel(n, func(_, _, lo, hi int) {
		chosen := make([]int, p.cfg.Active)
		for r := lo; r < hi; r++ {
			p.fill(start+int64(r), dst[r*d:(r+1)*d], chosen)
		}
	})
	p.row += int64(n)
	return n, nil
}

// fill writes row r to dst and its features to chosen.
func (p *Planted) fill(r int64, dst []float32, chosen []int) {
	rng := rand.New(rand.NewPCG(p.cfg.Seed, 0x10000+uint64(r)))
	for j := range dst {
		dst[j] = float32(p.cfg.Noise * rng.NormFloat64())
	}
	for n := 0; n < len(chosen); {
		i := p.draw(rng)
		if slices.Contains(chosen[:n], i) {
			continue
		}
		chosen[n] = i
		n++
		axpy(float32(0.5+rng.Float64()), p.Feature(i), dst)
	}
}

// draw returns a feature by its weight.
func (p *Planted) draw(rng *rand.Rand) int {
	if p.cfg.Zipf == 0 {
		return rng.IntN(p.cfg.Features)
	}
	at := rng.Float64() * p.cumulative[len(p.cumulative)-1]
	return sort.Search(len(p.cumulative)-1, func(i int) bool { return p.cumulative[i] > at })
}

// State returns the number of rows given.
func (p *Planted) State() ([]byte, error) { return json.Marshal(p.row) }

// Restore continues from a state.
func (p *Planted) Restore(state []byte) error {
	if err := json.Unmarshal(state, &p.row); err != nil {
		return fmt.Errorf("sae: planted rows: cursor: %w", err)
	}
	return nil
}

// Matched returns, for each feature, the largest cosine with a decoder row of an SAE, of either sign where its latents have
// both signs (abstopk). F random rows reach about sqrt(2 ln F / d).
func (p *Planted) Matched(s *SAE) []float64 {
	d := p.cfg.Dim
	rows, _ := unitRows(s.WDec, d)
	best := make([]float64, p.cfg.Features)
	parallel(len(best), func(_, _, lo, hi int) {
		for i := lo; i < hi; i++ {
			best[i] = -1
			for r := 0; r < len(rows); r += d {
				var c float64
				for j, v := range p.Feature(i) {
					c += float64(v) * rows[r+j]
				}
				if s.Arch == ArchAbsTopK {
					c = math.Abs(c)
				}
				best[i] = max(best[i], c)
			}
		}
	})
	return best
}

// Recovered returns the share of the features that an SAE has a decoder row for with a cosine of at least least.
func (p *Planted) Recovered(s *SAE, least float64) float64 {
	var hits float64
	for _, c := range p.Matched(s) {
		if c >= least {
			hits++
		}
	}
	return hits / float64(p.cfg.Features)
}
