package features

import (
	"fmt"
	"math"

	"loupe/probe/model"
	"loupe/sae"
)

// Dictionary writes a site's value as a sum of directions with coefficients and an error.
type Dictionary struct {
	Site model.Site
	N, D int
	// Write [n,d] is what a feature adds to the site per unit of its coefficient; Read [n,d] is the coefficient's gradient in the site's value
	// where the feature is on.
	Write, Read []float32
	// Constant [d] is what the site is when all coefficients and the error are zero; nil: 0.
	Constant []float32
	// Encode returns the coefficients of rows [k,d] of the site's values.
	Encode func(x []float32) (sae.Latents, error)
}

// FromSAE is the dictionary of an autoencoder at a site. Architectures whose latents read the site by one encoder row each are taken; the
// gradient of a coefficient is that row where the latent is on (the choice of the k largest, and thresholds, do not move).
func FromSAE(site model.Site, s *sae.SAE) (*Dictionary, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Transcoder() {
		return nil, fmt.Errorf("features: %s is a transcoder: it writes another site than it reads; circuits/tracing takes it", s.Arch)
	}
	if s.Normalize != sae.NormalizeNone && s.Normalize != sae.NormalizeExpected {
		return nil, fmt.Errorf("features: an autoencoder with normalisation %q does not write its site as a sum of directions; fold it first", s.Normalize)
	}
	switch s.Arch {
	case sae.ArchStandard, sae.ArchTopK, sae.ArchBatchTopK, sae.ArchMatryoshka, sae.ArchJumpReLU, sae.ArchGated:
	default:
		return nil, fmt.Errorf("features: architecture %s has no encoder row for each latent; take standard, topk, batchtopk, matryoshka, jumprelu or gated", s.Arch)
	}
	d := &Dictionary{Site: site, N: s.DSAE, D: s.DIn, Write: s.WDec, Constant: s.BDec, Read: make([]float32, s.DSAE*s.DIn), Encode: s.Encode}
	if s.RescaleByDecoder {
		d.Write = make([]float32, len(s.WDec))
	}
	for i := range s.DSAE {
		slope := 1.0
		if s.Arch == sae.ArchGated {
			slope = math.Exp(float64(s.RMag[i]))
		}
		if s.RescaleByDecoder { // the coefficient is the pre-activation times the decoder row's norm, which decoding divides by
			norm := length(s.Decoder(i))
			slope *= norm
			for j, v := range s.Decoder(i) {
				d.Write[i*s.DIn+j] = float32(float64(v) / norm)
			}
		}
		for j := range s.DIn {
			d.Read[i*s.DIn+j] = float32(slope * float64(s.WEnc[j*s.DSAE+i]))
		}
	}
	return d, nil
}

// FromConcepts is the dictionary of concept vectors [n,d] at a site: the coefficient of each is the site's component along it,
// c = v.x / |v|^2. Vectors that are not orthogonal overlap, and the error takes the overlap.
func FromConcepts(site model.Site, vectors []float32, d int) (*Dictionary, error) {
	if d < 1 || len(vectors) == 0 || len(vectors)%d != 0 {
		return nil, fmt.Errorf("features: %d values are not concept vectors of width %d", len(vectors), d)
	}
	out := &Dictionary{Site: site, N: len(vectors) / d, D: d, Write: vectors, Read: make([]float32, len(vectors))}
	for i := range out.N {
		norm := length(vectors[i*d : (i+1)*d])
		if norm == 0 {
			return nil, fmt.Errorf("features: concept vector %d is zero", i)
		}
		for j, v := range vectors[i*d : (i+1)*d] {
			out.Read[i*d+j] = float32(float64(v) / (norm * norm))
		}
	}
	out.Encode = func(x []float32) (sae.Latents, error) {
		if len(x)%d != 0 {
			return sae.Latents{}, fmt.Errorf("features: %d values are not rows of width %d", len(x), d)
		}
		rows := len(x) / d
		l := sae.Latents{K: out.N, Index: make([]int32, rows*out.N), Value: make([]float32, rows*out.N)}
		for r := range rows {
			for i := range out.N {
				l.Index[r*out.N+i] = int32(i)
				l.Value[r*out.N+i] = float32(dot(out.Read[i*d:(i+1)*d], x[r*d:(r+1)*d]))
			}
		}
		return l, nil
	}
	return out, nil
}

// write is what feature i adds to the site per unit of its coefficient, and read its coefficient's gradient.
func (d *Dictionary) write(i int32) []float32 { return d.Write[int(i)*d.D : (int(i)+1)*d.D] }
func (d *Dictionary) read(i int32) []float32  { return d.Read[int(i)*d.D : (int(i)+1)*d.D] }

// check refuses dictionaries that do not fit a model, and two at one site.
func check(s *model.Spec, all []*Dictionary) error {
	if len(all) == 0 {
		return fmt.Errorf("features: no dictionary")
	}
	seen := map[model.Site]bool{}
	for _, d := range all {
		if err := s.Has(d.Site); err != nil {
			return err
		}
		axes := d.Site.Kind.Axes()
		width := s.Width(d.Site.Kind, 1)
		switch {
		case len(axes) != 3 || axes[:2] != "bt":
			return fmt.Errorf("features: site %s is no stream of vectors [b,t,width]", d.Site)
		case width != d.D:
			return fmt.Errorf("features: the dictionary of %s reads vectors of width %d; the site has %d", d.Site, d.D, width)
		case d.N < 1 || len(d.Write) != d.N*d.D || len(d.Read) != d.N*d.D || d.Constant != nil && len(d.Constant) != d.D:
			return fmt.Errorf("features: the dictionary of %s has %d and %d values for %d features of width %d", d.Site, len(d.Write), len(d.Read), d.N, d.D)
		case seen[d.Site]:
			return fmt.Errorf("features: two dictionaries for site %s", d.Site)
		}
		seen[d.Site] = true
	}
	return nil
}

func length(x []float32) float64 { return math.Sqrt(dot(x, x)) }

func dot[A, B float32 | float64](x []A, y []B) float64 {
	var sum float64
	for i, v := range x {
		sum += float64(v) * float64(y[i])
	}
	return sum
}
