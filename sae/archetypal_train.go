package sae

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute"
)

// The architectures of RA-SAE (arXiv:2502.12892), whose dictionary is made of the data (see archetypes). They are saved as
// topk and jumprelu, with the dictionary written out.
const (
	ArchRATopK     = "ra_topk"
	ArchRAJumpReLU = "ra_jumprelu"
)

// ArchetypalConfig is what RA-SAE alone has.
type ArchetypalConfig struct {
	Points int     `json:"points" doc:"data points that atoms are convex combinations of: k-means centroids of the initial sample; 0: d_sae, or half of the sample's rows if that is less"`
	Delta  float64 `json:"delta" doc:"how far an atom may lie from the hull of the points, in the units of the normalised activations"`
}

// The tensors of RA-SAE's dictionary.
const (
	archetypeWeight = "archetype_weight" // W, [f, points]
	archetypeRelax  = "archetype_relax"  // Lambda, [f, d]
	archetypeScale  = "archetype_scale"  // m, [1]
	archetypePoints = "archetype_points" // C, [points, d], never trained
)

// archetypal tells whether the dictionary is RA-SAE's.
func (c Config) archetypal() bool { return c.Arch == ArchRATopK || c.Arch == ArchRAJumpReLU }

// archetypeLayout lists the tensors of RA-SAE: there is no W_dec.
func archetypeLayout(cfg Config) []weightInfo {
	f, d, p := cfg.DSAE, cfg.DIn, cfg.Archetypal.Points
	out := []weightInfo{
		{"W_enc", []int{f, d}}, {"b_enc", []int{f}}, {"b_dec", []int{d}},
		{archetypeWeight, []int{f, p}}, {archetypeRelax, []int{f, d}}, {archetypeScale, []int{1}}, {archetypePoints, []int{p, d}},
	}
	if cfg.base() == ArchJumpReLU {
		out = append(out, weightInfo{"threshold", []int{f}})
	}
	return out
}

// isFixed tells whether a tensor lies with the weights but is never trained.
func isFixed(name string) bool { return name == archetypePoints }

func (c Config) validateArchetypal(bad func(string, any, string) error) error {
	a := c.Archetypal
	switch {
	case a.Points < 1 || a.Points > math.MaxInt32/max(c.DSAE, c.DIn):
		return bad("archetypal.points", a.Points, "at least 1, with a product with d_sae below 2^31")
	case !(a.Delta >= 0 && a.Delta <= 1e12):
		return bad("archetypal.delta", a.Delta, "0 (atoms within the hull) or more")
	case c.Decoder != DecoderFree:
		return bad("decoder", c.Decoder, fmt.Sprintf("%q for %s, whose rows are made of data", DecoderFree, c.Arch))
	case c.RescaleByDecoder:
		return bad("rescale_acts_by_decoder_norm", true, "false for "+c.Arch)
	}
	return nil
}

// archetypeSeed draws the first centroids: C belongs to the data, and is the same for every seed of a configuration.
const archetypeSeed = 0xa2c

// startArchetypes fills in the start of RA-SAE for normalised rows x [n, d]: b_dec as configured, C the k-means centroids of
// x - b_dec, and atom i at centroid i; where there are more atoms than centroids, the further ones begin beside them, at a
// random relaxation of half of delta. Tied encoder rows are D_i / |D_i|^2, so that an atom's latent measures how much of it
// there is.
func startArchetypes(b compute.Backend, cfg Config, w weights, x []float32) error {
	f, d, p := cfg.DSAE, cfg.DIn, cfg.Archetypal.Points
	n := len(x) / d
	if n < p {
		return fmt.Errorf("sae: %s needs at least archetypal.points = %d rows to find as many centroids; the initial sample has %d: raise init_rows, or lower archetypal.points", cfg.Arch, p, n)
	}
	rng := rand.New(rand.NewPCG(cfg.Seed, archetypeSeed))
	for j, v := range startOf(cfg, x) {
		w.bDec[j] = float32(v)
	}
	rows := make([]float32, n*d)
	for r := range n {
		row := rows[r*d : (r+1)*d]
		normalizeRow(cfg.Normalize, row, x[r*d:(r+1)*d])
		axpy(-1, w.bDec, row)
	}
	centroids, err := kMeans(b, rows, d, p, rand.New(rand.NewPCG(0, archetypeSeed)))
	if err != nil {
		return err
	}
	points, convex, relax := w.named(cfg, archetypePoints), w.named(cfg, archetypeWeight), w.named(cfg, archetypeRelax)
	copy(points, centroids)
	for i := range f {
		convex[i*p+i%p] = 1
		row := relax[i*d : (i+1)*d]
		if i >= p {
			randomUnit(row, rng)
			scaleBy(row, float32(cfg.Archetypal.Delta/2))
		}
		atom := w.enc[i*d : (i+1)*d]
		if cfg.InitEncoder == InitRandom {
			randomUnit(atom, rng)
			continue
		}
		copy(atom, row)
		axpy(1, points[(i%p)*d:(i%p+1)*d], atom)
		if sq := squaredNorm(atom); sq > 0 {
			scaleBy(atom, float32(1/sq))
		}
	}
	for i, t := 0, w.named(cfg, "threshold"); i < len(t); i++ {
		t[i] = float32(cfg.JumpReLU.Init)
	}
	return nil
}

// archetypeDictionary is the dictionary that weights in training stand for, [f, d].
func archetypeDictionary(cfg Config, w weights) []float32 {
	wide := func(name string) []float64 {
		values := w.named(cfg, name)
		out := make([]float64, len(values))
		for i, v := range values {
			out[i] = float64(v)
		}
		return out
	}
	a := archetypes{
		points: cfg.Archetypal.Points, delta: cfg.Archetypal.Delta, weight: wide(archetypeWeight), relax: wide(archetypeRelax),
		multiplier: float64(w.named(cfg, archetypeScale)[0]),
	}
	a.project(cfg.DIn)
	out := make([]float32, cfg.DSAE*cfg.DIn)
	for i, v := range a.dictionary(wide(archetypePoints), cfg.DIn) {
		out[i] = float32(v)
	}
	return out
}
