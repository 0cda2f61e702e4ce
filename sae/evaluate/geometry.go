package evaluate

import (
	"context"
	"fmt"

	"loupe/internal/stats"
	"loupe/sae"
)

// Geometry measures how latents lie to each other: the largest cosine of each decoder row and of each encoder column with
// another, and the cosine of each latent's column and row. Random directions are what it is read against.
func (b *Bench) Geometry(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	out := &Outcome{
		Suite: "geometry",
		On:    "means over latents; the values within a dictionary depend on each other, so that they have no interval",
		Metrics: []Metric{
			{Name: "max_decoder_cosine", Better: Lower}, {Name: "max_encoder_cosine", Better: Lower}, {Name: "encoder_decoder_cosine"},
		},
	}
	bar := b.progress("geometry", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for _, d := range dicts {
		bar.Add(1)
		switch {
		case d.Control == ControlPCA || d.Control == ControlLinear:
			out.leaveOut(d, "its directions are orthogonal by construction")
			continue
		case d.SAE == nil:
			out.leaveOut(d, "its latents have directions in several sites")
			continue
		case d.Latents < 2:
			out.leaveOut(d, "it has one latent")
			continue
		}
		enc := d.SAE.WEnc
		if enc == nil { // tied
			enc = make([]float32, len(d.SAE.WDec))
			for i := range d.Latents {
				for j := range d.DIn {
					enc[j*d.Latents+i] = d.SAE.WDec[i*d.DIn+j]
				}
			}
		}
		g, err := sae.MeasureGeometry(ctx, enc, d.SAE.WDec, d.Latents)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
		}
		s := Score{Dictionary: d.Name, Values: map[string]stats.Interval{
			"max_decoder_cosine": exact(mean(g.MaxDecoder)), "max_encoder_cosine": exact(mean(g.MaxEncoder)),
		}}
		if g.EncoderCosine != nil {
			s.Values["encoder_decoder_cosine"] = exact(mean(g.EncoderCosine))
		}
		out.Scores = append(out.Scores, s)
	}
	return out, nil
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
