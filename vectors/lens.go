package vectors

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// NormKind is the final norm through which a lens reads.
type NormKind string

// The norms: (x - mean)/sqrt(var + eps) * gamma + beta; x/sqrt(mean square + eps) * gamma; x itself.
const (
	LayerNorm NormKind = "layer_norm"
	RMSNorm   NormKind = "rms_norm"
	NoNorm    NormKind = "none"
)

// Lens reads activations of the residual stream as next-token logits: norm(h) Unembed + Bias (the logit lens).
type Lens struct {
	Norm        NormKind
	Eps         float64
	Gamma, Beta []float64  // [d]; nil is ones and zeros; NoNorm reads neither, RMSNorm no Beta
	Unembed     *mat.Dense // [d, v]
	Bias        []float64  // [v] or nil
	Softcap     float64    // c of c tanh(logit / c); 0 is none
}

// Validate says which part does not fit.
func (l *Lens) Validate() error {
	d, v, err := checkRows("unembedding", l.Unembed)
	if err != nil {
		return err
	}
	switch {
	case l.Norm != LayerNorm && l.Norm != RMSNorm && l.Norm != NoNorm:
		return fmt.Errorf("vectors: lens norm %q: %w; it is %q, %q or %q", l.Norm, ErrArgument, LayerNorm, RMSNorm, NoNorm)
	case !(l.Eps >= 0) || !(l.Softcap >= 0):
		return fmt.Errorf("vectors: lens eps %v, softcap %v: %w; they are 0 or more", l.Eps, l.Softcap, ErrArgument)
	case l.Gamma != nil && len(l.Gamma) != d, l.Beta != nil && len(l.Beta) != d, l.Bias != nil && len(l.Bias) != v:
		return fmt.Errorf("vectors: lens with gamma [%d], beta [%d], bias [%d] and unembedding [%d, %d]: %w", len(l.Gamma), len(l.Beta), len(l.Bias), d, v, ErrShape)
	}
	return nil
}

// Logits returns the logits [t, v] of h [t, d].
func (l *Lens) Logits(h *mat.Dense) (*mat.Dense, error) {
	t, d, err := checkRows("h", h)
	if err != nil {
		return nil, err
	}
	if err := l.Validate(); err != nil {
		return nil, err
	}
	if width, _ := l.Unembed.Dims(); width != d {
		return nil, checkWidth("unembedding", width, d)
	}
	normed := mat.DenseCopyOf(h)
	for i := range t {
		row := normed.RawRowView(i)
		l.scaleRow(row, l.scale(row))
		if l.Norm == LayerNorm && l.Beta != nil {
			floats.Add(row, l.Beta)
		}
	}
	var out mat.Dense
	out.Mul(normed, l.Unembed)
	for i := range t {
		row := out.RawRowView(i)
		if l.Bias != nil {
			floats.Add(row, l.Bias)
		}
		for j, v := range row {
			if l.Softcap > 0 {
				row[j] = l.Softcap * math.Tanh(v/l.Softcap)
			}
		}
	}
	return &out, nil
}

// scale is what the norm divides row by.
func (l *Lens) scale(row []float64) float64 {
	square, d := floats.Dot(row, row), float64(len(row))
	switch l.Norm {
	case RMSNorm:
		return math.Sqrt(square/d + l.Eps)
	case LayerNorm:
		mean, spread := floats.Sum(row)/d, 0.0
		for _, v := range row {
			spread += (v - mean) * (v - mean)
		}
		return math.Sqrt(spread/d + l.Eps)
	}
	return 1
}

// scaleRow is the norm without beta at a given scale; it is linear in row.
func (l *Lens) scaleRow(row []float64, scale float64) {
	if l.Norm == LayerNorm {
		floats.AddConst(-floats.Sum(row)/float64(len(row)), row)
	}
	floats.Scale(1/scale, row)
	if l.Norm != NoNorm && l.Gamma != nil {
		floats.Mul(row, l.Gamma)
	}
}

// Reading is what a lens sees at some positions.
type Reading struct {
	Top     [][]int    // [t][k], the tokens of largest logit, descending; of equal ones the smaller id first
	LogProb *mat.Dense // [t, v]
	Entropy []float64  // [t], nats
}

// Read returns the k most probable tokens, log-probabilities and entropy at each row of h [t, d].
func (l *Lens) Read(h *mat.Dense, k int) (*Reading, error) {
	logits, err := l.Logits(h)
	if err != nil {
		return nil, err
	}
	t, v := logits.Dims()
	if k < 1 || k > v {
		return nil, fmt.Errorf("vectors: lens: top %d of %d tokens: %w", k, v, ErrArgument)
	}
	r := &Reading{Top: make([][]int, t), LogProb: logits, Entropy: make([]float64, t)}
	for i := range t {
		row := logits.RawRowView(i)
		r.Top[i] = largestIndices(row, k)
		floats.AddConst(-floats.LogSumExp(row), row)
		for _, lp := range row {
			r.Entropy[i] -= math.Exp(lp) * lp
		}
	}
	return r, nil
}

// KL returns at each position the divergence KL(final || layer) in nats of a layer's reading from that of the final layer.
func KL(final, layer *Reading) ([]float64, error) {
	t, v := final.LogProb.Dims()
	if tl, vl := layer.LogProb.Dims(); tl != t || vl != v {
		return nil, fmt.Errorf("vectors: readings [%d, %d] and [%d, %d]: %w", t, v, tl, vl, ErrShape)
	}
	out := make([]float64, t)
	for i := range t {
		of := layer.LogProb.RawRowView(i)
		for j, lp := range final.LogProb.RawRowView(i) {
			out[i] += math.Exp(lp) * (lp - of[j])
		}
	}
	return out, nil
}
