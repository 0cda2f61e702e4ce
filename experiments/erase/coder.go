package erase

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/sae"
	"loupe/vectors"
)

// Coder writes states as sparse codes and back.
type Coder interface {
	// Width is the width d of a state.
	Width() int
	// Encode returns the codes [n, f] of states x [n, d].
	Encode(x *mat.Dense) (*mat.Dense, error)
	// Decode returns the states [n, d] of codes z [n, f].
	Decode(z *mat.Dense) (*mat.Dense, error)
}

// TopKCoder is the autoencoder of ItD in float64: z = relu(topk((x - b_pre) W_enc + b_enc)), x^ = z W_dec + b_pre. TopK is taken of
// the signed pre-activations; where several equal the K-th largest, all of them stay.
type TopKCoder struct {
	Encoder *mat.Dense // W_enc [d, f]
	Decoder *mat.Dense // W_dec [f, d]
	BEnc    []float64  // [f]
	BPre    []float64  // [d]
	K       int
}

// Width implements Coder.
func (c *TopKCoder) Width() int { return len(c.BPre) }

// Encode implements Coder.
func (c *TopKCoder) Encode(x *mat.Dense) (*mat.Dense, error) {
	d, f := len(c.BPre), len(c.BEnc)
	n, _, err := checkRows("states", x, d)
	if err != nil {
		return nil, err
	}
	if r, w := c.Encoder.Dims(); r != d || w != f || c.K < 1 || c.K > f {
		return nil, fmt.Errorf("erase: encoder [%d, %d] with biases [%d] and [%d] and K = %d: %w", r, w, d, f, c.K, vectors.ErrShape)
	}
	centred := mat.NewDense(n, d, nil)
	centred.Apply(func(_, j int, v float64) float64 { return v - c.BPre[j] }, x)
	var z mat.Dense
	z.Mul(centred, c.Encoder)
	for i := range n {
		row := z.RawRowView(i)
		for j, b := range c.BEnc {
			row[j] += b
		}
		sorted := slices.Clone(row)
		slices.Sort(sorted)
		least := max(sorted[f-c.K], 0)
		for j, v := range row {
			if v < least {
				row[j] = 0
			}
		}
	}
	return &z, nil
}

// Decode implements Coder.
func (c *TopKCoder) Decode(z *mat.Dense) (*mat.Dense, error) {
	if _, _, err := checkRows("codes", z, len(c.BEnc)); err != nil {
		return nil, err
	}
	var x mat.Dense
	x.Mul(z, c.Decoder)
	x.Apply(func(_, j int, v float64) float64 { return v + c.BPre[j] }, &x)
	return &x, nil
}

// SAECoder is a trained autoencoder as a Coder; it computes in float32.
type SAECoder struct{ SAE *sae.SAE }

// Width implements Coder.
func (c SAECoder) Width() int { return c.SAE.DIn }

// Encode implements Coder.
func (c SAECoder) Encode(x *mat.Dense) (*mat.Dense, error) {
	n, _, err := checkRows("states", x, c.SAE.DIn)
	if err != nil {
		return nil, err
	}
	narrow := make([]float32, 0, n*c.SAE.DIn)
	for _, v := range flat(x) {
		narrow = append(narrow, float32(v))
	}
	latents, err := c.SAE.Encode(narrow)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	z := mat.NewDense(n, c.SAE.DSAE, nil)
	for i := range n {
		index, value := latents.Row(i)
		for j, f := range index {
			if value[j] != 0 {
				z.Set(i, int(f), float64(value[j]))
			}
		}
	}
	return z, nil
}

// Decode implements Coder.
func (c SAECoder) Decode(z *mat.Dense) (*mat.Dense, error) {
	n, f, err := checkRows("codes", z, c.SAE.DSAE)
	if err != nil {
		return nil, err
	}
	latents := sae.Latents{Start: make([]int, 1, n+1)}
	for i := range n {
		for j := range f {
			if v := z.At(i, j); v != 0 {
				latents.Index, latents.Value = append(latents.Index, int32(j)), append(latents.Value, float32(v))
			}
		}
		latents.Start = append(latents.Start, len(latents.Index))
	}
	narrow, err := c.SAE.Decode(latents)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	x := mat.NewDense(n, c.SAE.DIn, nil)
	for i, v := range narrow {
		x.RawMatrix().Data[i] = float64(v)
	}
	return x, nil
}
