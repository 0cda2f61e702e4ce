package sae

import (
	"fmt"
	"math"
)

// SiteDiff compares what each latent of a crosscoder writes at two sites, or in two models.
type SiteDiff struct {
	// Relative is |W_b,i| / (|W_a,i| + |W_b,i|): 0 for a latent of a alone, 1 for one of b alone, 0.5 for one of both. A
	// latent that writes at neither has NaN.
	Relative []float64
	// Cosine is that of the two decoder rows; NaN where either is zero.
	Cosine []float64
}

// Diff compares sites a and b of the crosscoder (model diffing of Lindsey et al., Transformer Circuits 2024). Norms are those
// of the scaled activations, so that a model of larger activations is not the larger of the two by that alone.
func (c *Crosscoder) Diff(a, b int) (SiteDiff, error) {
	if err := c.Validate(); err != nil {
		return SiteDiff{}, err
	}
	if a < 0 || b < 0 || a >= c.Sites || b >= c.Sites || a == b {
		return SiteDiff{}, fmt.Errorf("sae: crosscoder: diff of sites %d and %d; name two of 0 to %d", a, b, c.Sites-1)
	}
	norms := c.SiteNorms()
	out := SiteDiff{Relative: make([]float64, c.DSAE), Cosine: make([]float64, c.DSAE)}
	for i := range c.DSAE {
		na, nb := norms[i*c.Sites+a], norms[i*c.Sites+b]
		var inner float64
		wb := c.Decoder(i, b)
		for j, v := range c.Decoder(i, a) {
			inner += float64(v) * float64(wb[j])
		}
		out.Relative[i], out.Cosine[i] = nb/(na+nb), inner/(na*nb)
		if na == 0 || nb == 0 {
			out.Cosine[i] = math.NaN()
		}
	}
	return out, nil
}

// DiffCount is how many latents belong to one site alone and how many to both.
type DiffCount struct {
	OnlyA     int     `json:"only_a"`
	Shared    int     `json:"shared"`
	OnlyB     int     `json:"only_b"`
	Between   int     `json:"between"`    // neither; those that write at neither site are here too
	Opposed   int     `json:"opposed"`    // of the shared, those whose two rows have a cosine below 0
	SharedCos float64 `json:"shared_cos"` // mean cosine of the shared; 0 for none
}

// Count sorts the latents: those of relative norm below edge or above 1 - edge belong to one site, those within band of 0.5
// to both. Lindsey et al. draw no line; an edge and a band of 0.1 are a strict choice.
func (d SiteDiff) Count(edge, band float64) DiffCount {
	var out DiffCount
	for i, r := range d.Relative {
		switch {
		case r < edge:
			out.OnlyA++
		case r > 1-edge:
			out.OnlyB++
		case math.Abs(r-0.5) <= band:
			out.Shared++
			out.SharedCos += d.Cosine[i]
			if d.Cosine[i] < 0 {
				out.Opposed++
			}
		default:
			out.Between++
		}
	}
	out.SharedCos *= inverse(float64(out.Shared))
	return out
}
