package sae

import "math"

// SAELens's per-row input normalisations, which an SAE from elsewhere may ask for.
const (
	normalizeLayerNorm      = "layer_norm"              // (x - mean) / (std + 1e-5), std with d-1; undone on the output
	normalizeConstantNorm   = "constant_norm_rescale"   // x * sqrt(d) / |x|; undone on the output
	normalizeConstantScalar = "constant_scalar_rescale" // x * a constant, temporal only; undone on the output
)

// rowScale is what normalising a row did, x' = (x - shift) * scale, and how to undo it: y = y' * back + shift. Layer
// norm's epsilon is in scale only, as in SAELens.
type rowScale struct{ shift, scale, back float32 }

func sameScale(scale float32) rowScale { return rowScale{scale: scale, back: 1 / scale} }

// normalizeRow writes the normalised x into dst and returns how to undo it.
func normalizeRow(kind string, dst, x []float32) rowScale {
	u := sameScale(1)
	switch kind {
	case normalizeLayerNorm:
		var sum, sq float64
		for _, v := range x {
			sum += float64(v)
		}
		mean := sum / float64(len(x))
		for _, v := range x {
			diff := float64(v) - mean
			sq += diff * diff
		}
		std := math.Sqrt(sq / float64(max(len(x)-1, 1)))
		u = rowScale{float32(mean), float32(1 / (std + 1e-5)), float32(std)}
	case normalizeConstantNorm:
		var sq float64
		for _, v := range x {
			sq += float64(v) * float64(v)
		}
		if sq > 0 {
			u = sameScale(float32(math.Sqrt(float64(len(x)) / sq)))
		}
	}
	for i, v := range x {
		dst[i] = (v - u.shift) * u.scale
	}
	return u
}

// undo turns a normalised row back, in place.
func (u rowScale) undo(x []float32) {
	for i, v := range x {
		x[i] = v*u.back + u.shift
	}
}
