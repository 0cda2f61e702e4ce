package erase

import (
	"fmt"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

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

// Features implements Coder.
func (c *TopKCoder) Features() int { return len(c.BEnc) }

// Encode implements Coder.
func (c *TopKCoder) Encode(x *mat.Dense) (*Codes, error) {
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
	var pre mat.Dense
	pre.Mul(centred, c.Encoder)
	z := &Codes{Features: f, Index: make([][]int32, n), Value: make([][]float64, n)}
	for i := range n {
		row := pre.RawRowView(i)
		floats.Add(row, c.BEnc)
		sorted := slices.Clone(row)
		slices.Sort(sorted)
		least := sorted[f-c.K]
		for j, v := range row {
			if v >= least && v > 0 {
				z.Index[i], z.Value[i] = append(z.Index[i], int32(j)), append(z.Value[i], v)
			}
		}
	}
	return z, nil
}

// Decode implements Coder.
func (c *TopKCoder) Decode(z *Codes) (*mat.Dense, error) {
	x, err := c.Directions(z)
	if err != nil {
		return nil, err
	}
	for i := range z.Index {
		floats.Add(x.RawRowView(i), c.BPre)
	}
	return x, nil
}

// Directions implements Coder.
func (c *TopKCoder) Directions(z *Codes) (*mat.Dense, error) {
	if err := z.check(c.Features()); err != nil {
		return nil, err
	}
	x := mat.NewDense(len(z.Index), c.Width(), nil)
	for i, index := range z.Index {
		for j, f := range index {
			floats.AddScaled(x.RawRowView(i), z.Value[i][j], c.Decoder.RawRowView(int(f)))
		}
	}
	return x, nil
}

// Pullback implements Coder.
func (c *TopKCoder) Pullback(a *Codes, g *mat.Dense) (*mat.Dense, error) {
	if err := checkPullback(a, c.Features(), g, c.Width()); err != nil {
		return nil, err
	}
	out := mat.NewDense(len(a.Index), c.Width(), nil)
	for i, index := range a.Index {
		row := out.RawRowView(i)
		for j, f := range index {
			s := a.Value[i][j] * floats.Dot(g.RawRowView(i), c.Decoder.RawRowView(int(f)))
			for k := range row {
				row[k] += s * c.Encoder.At(k, int(f))
			}
		}
	}
	return out, nil
}

func checkPullback(a *Codes, features int, g *mat.Dense, d int) error {
	if err := a.check(features); err != nil {
		return err
	}
	n, _, err := checkRows("gradient", g, d)
	if err == nil && n != len(a.Index) {
		err = fmt.Errorf("erase: gradient of %d states for codes of %d: %w", n, len(a.Index), vectors.ErrShape)
	}
	return err
}
