package sae

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
)

// Sample are activations to test an SAE on.
type Sample struct {
	Site    string
	X       []float32 // [n, d_in]
	Y       []float32 // [n, d_out] for transcoders: what is to be predicted; nil: X
	Special []float32 // [m, d_in]: rows of special tokens, which X leaves out; may be nil
}

// Trial is how well an SAE explains a sample in one reading of it.
type Trial struct {
	What string  `json:"what"`
	FVU  float64 `json:"fvu"`
	L0   float64 `json:"l0"`
}

// IdentityReport is the outcome of [Identify].
type IdentityReport struct {
	Site     string   `json:"site"`
	Rows     int      `json:"rows"`
	FVU      float64  `json:"fvu"`
	L0       float64  `json:"l0"`
	Dead     int      `json:"silent_latents"` // latents that no row of the sample switched on
	OK       bool     `json:"ok"`
	Findings []string `json:"findings,omitempty"` // what looks wrong, in sentences
	Trials   []Trial  `json:"trials"`             // other readings
}

// The limits of [Identify]: from badFVU on an SAE does not fit the sample, and another reading is reported where it
// leaves less than betterShare of the unexplained variance, unless that is below smallFVU anyway.
const (
	badFVU      = 0.9
	betterShare = 0.5
	smallFVU    = 0.02
)

// Identify tests whether an SAE belongs to the activations that it is about to be used on. It measures the first sample
// as the SAE says, and then other readings of both: other scales and normalisations of the input, b_dec subtracted or
// not, special tokens included, and the other samples, which are of other sites. A reading that explains far more is
// reported as what is probably wrong.
func Identify(ctx context.Context, b compute.Backend, s *SAE, samples []Sample) (IdentityReport, error) {
	if len(samples) == 0 || len(samples[0].X) == 0 {
		return IdentityReport{}, fmt.Errorf("sae: identify: no rows; capture activations of the SAE's site first")
	}
	first := samples[0]
	base, err := tryReading(ctx, b, s, first)
	if err != nil {
		return IdentityReport{}, err
	}
	id := IdentityReport{Site: first.Site, Rows: len(first.X) / s.DIn, FVU: base.FVU, L0: base.L0, Dead: base.Dead}
	if !(base.FVU < badFVU) {
		id.Findings = append(id.Findings, fmt.Sprintf("the SAE leaves %.3g of the variance of %s unexplained: it does not fit these activations", base.FVU, first.Site))
	}
	best := Trial{FVU: math.Inf(1)}
	try := func(what string, s *SAE, sample Sample) error {
		r, err := tryReading(ctx, b, s, sample)
		if err != nil {
			return err
		}
		t := Trial{What: what, FVU: r.FVU, L0: r.L0}
		id.Trials = append(id.Trials, t)
		if t.FVU < best.FVU {
			best = t
		}
		return nil
	}
	for _, r := range s.readings(first) {
		if err := try(r.what, r.s, first); err != nil {
			return IdentityReport{}, err
		}
	}
	if len(first.Special) > 0 && first.Y == nil {
		with := Sample{Site: first.Site, X: slices.Concat(first.X, first.Special)}
		if err := try("special tokens included", s, with); err != nil {
			return IdentityReport{}, err
		}
	}
	for _, other := range samples[1:] {
		if err := try("site "+other.Site, s, other); err != nil {
			return IdentityReport{}, err
		}
	}
	if base.FVU > smallFVU && best.FVU < betterShare*base.FVU {
		id.Findings = append(id.Findings, fmt.Sprintf("it explains far more in another reading: %s (FVU %.3g instead of %.3g)", best.What, best.FVU, base.FVU))
	}
	if ratio := normRatio(first, s.DIn); ratio > 5 {
		id.Findings = append(id.Findings, fmt.Sprintf("rows of special tokens are %.0f times as long as others: metrics with and without them differ", ratio))
	}
	id.OK = base.FVU < badFVU && (base.FVU <= smallFVU || best.FVU >= betterShare*base.FVU)
	return id, nil
}

// tryReading measures an SAE on a sample.
func tryReading(ctx context.Context, b compute.Backend, s *SAE, sample Sample) (Result, error) {
	n := len(sample.X) / s.DIn
	y := sample.Y
	if y == nil {
		y = sample.X
	}
	if len(sample.X) != n*s.DIn || len(y) != n*s.Width() {
		return Result{}, fmt.Errorf("sae: identify: %s has %d and %d values; the SAE has d_in %d and d_out %d", sample.Site, len(sample.X), len(y), s.DIn, s.Width())
	}
	run, err := NewRunner(b, s, min(n, 1024))
	if err != nil {
		return Result{}, err
	}
	defer run.Close()
	lat, out, err := run.Reconstruct(ctx, sample.X)
	if err != nil {
		return Result{}, err
	}
	m := NewMetrics(s.Width(), s.DSAE)
	if err := m.Add(y, out, lat); err != nil {
		return Result{}, err
	}
	return m.Result(), nil
}

// reading is an SAE that takes its input in another way.
type reading struct {
	what string
	s    *SAE
}

// readings are the ways in which a file is often misread.
func (s *SAE) readings(sample Sample) []reading {
	var out []reading
	add := func(what string, edit func(c *SAE) error) {
		if c := s.clone(); edit(c) == nil && c.Validate() == nil {
			out = append(out, reading{what, c})
		}
	}
	norm := 0.0
	for row := range slices.Chunk(sample.X, s.DIn) {
		norm += float64(norm2(row)) * float64(s.DIn) / float64(len(sample.X))
	}
	plain := s.Normalize == NormalizeNone || s.Normalize == NormalizeExpected
	if plain && norm > 0 {
		scale := math.Sqrt(float64(s.DIn)) / norm
		add("inputs scaled to the mean norm sqrt(d)", func(c *SAE) error { return c.FoldScale(scale) })
		add("inputs scaled to the mean norm 1", func(c *SAE) error { return c.FoldScale(1 / norm) })
	}
	for _, kind := range []string{NormalizeNone, normalizeLayerNorm, normalizeConstantNorm} {
		if s.Transcoder() || kind == s.Normalize || (kind == NormalizeNone && plain) {
			continue
		}
		add("normalize_activations "+kind, func(c *SAE) error { c.Normalize = kind; return nil })
	}
	if !s.Transcoder() {
		what := map[bool]string{true: "b_dec not subtracted from the input", false: "b_dec subtracted from the input"}[s.ApplyBDecToInput]
		add(what, func(c *SAE) error { c.ApplyBDecToInput = !s.ApplyBDecToInput; return nil })
	}
	return out
}

// normRatio is the mean norm of the special rows over that of the others, 0 where there are none.
func normRatio(sample Sample, d int) float64 {
	mean := func(x []float32) (m float64) {
		for row := range slices.Chunk(x, d) {
			m += float64(norm2(row)) * float64(d) / float64(len(x))
		}
		return m
	}
	if len(sample.Special) == 0 {
		return 0
	}
	if m := mean(sample.X); m > 0 {
		return mean(sample.Special) / m
	}
	return 0
}
