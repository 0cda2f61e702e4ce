package sae

import (
	"fmt"
	"math"
)

// Temporal are the settings and the attention layers of a temporal SAE (arXiv:2511.01836).
type Temporal struct {
	Heads      int
	Bottleneck int     // queries and keys have d_sae / Bottleneck dimensions
	TopK       int     // novel latents kept for each token; 0: all above zero
	Tied       bool    // the encoder is the transposed decoder
	Scale      float64 // factor of the input with Normalize "constant_scalar_rescale"
	Layers     []TemporalLayer
}

// TemporalLayer is one attention layer over latents; weights are [out, in].
type TemporalLayer struct {
	KWeight, KBias, QWeight, QBias, VWeight, VBias, OutWeight, OutBias []float32
}

// temporalArch splits a token's latents into what attention over earlier tokens predicts and a sparse rest.
func temporalArch() architecture {
	return architecture{
		name: ArchTemporal, tensors: temporalTensors,
		read: func(c *saelensConfig, s *SAE) error {
			if c.Layers < 0 || c.Layers > 1024 {
				return fmt.Errorf("n_attn_layers is %d; want at most 1024", c.Layers)
			}
			t := &Temporal{Heads: c.Heads, Bottleneck: c.Bottleneck, Tied: c.Tied == nil || *c.Tied, Scale: 1, Layers: make([]TemporalLayer, c.Layers)}
			if c.ActFactor != nil {
				t.Scale = *c.ActFactor
			}
			switch c.DiffType {
			case "", "topk":
				t.TopK = c.KVal
			case "relu":
			default:
				return fmt.Errorf("sae_diff_type %q is not supported; supported: topk, relu", c.DiffType)
			}
			s.Temporal = t
			return nil
		},
		write: func(s *SAE, cfg map[string]any) {
			t := s.Temporal
			cfg["n_heads"], cfg["n_attn_layers"], cfg["bottleneck_factor"] = t.Heads, len(t.Layers), t.Bottleneck
			cfg["tied_weights"], cfg["activation_normalization_factor"] = t.Tied, t.Scale
			cfg["sae_diff_type"] = "relu"
			if t.TopK > 0 {
				cfg["sae_diff_type"], cfg["kval_topk"] = "topk", t.TopK
			}
		},
		validate: func(s *SAE) error {
			t := s.Temporal
			switch {
			case t == nil || t.Heads < 1 || t.Bottleneck < 1 || t.Heads > s.DSAE || t.Bottleneck > s.DSAE || s.DSAE%(t.Heads*t.Bottleneck) != 0:
				return fmt.Errorf("temporal needs n_heads * bottleneck_factor to divide d_sae %d; got %+v", s.DSAE, t)
			case t.TopK < 0 || t.TopK > s.DSAE:
				return fmt.Errorf("kval_topk is %d; it must be at most d_sae = %d", t.TopK, s.DSAE)
			case !(t.Scale > 0):
				return fmt.Errorf("activation_normalization_factor is %v; it must be positive", t.Scale)
			case s.DSAE > math.MaxInt32/s.DSAE:
				return fmt.Errorf("d_sae %d is too large for attention over latents", s.DSAE)
			}
			return nil
		},
	}
}

func temporalTensors(s *SAE) []slot {
	f, t := s.DSAE, s.Temporal
	out := []slot{{"W_dec", []int{f, s.DIn}, &s.WDec}, {"b_dec", []int{s.DIn}, &s.BDec}}
	if t == nil {
		return out
	}
	if !t.Tied {
		out = append(out, slot{"W_enc", []int{s.DIn, f}, &s.WEnc})
	}
	small := f / max(t.Bottleneck, 1)
	for i := range t.Layers {
		l, name := &t.Layers[i], fmt.Sprintf("attn_layers.%d.", i)
		out = append(out,
			slot{name + "k_ctx.weight", []int{small, f}, &l.KWeight}, slot{name + "k_ctx.bias", []int{small}, &l.KBias},
			slot{name + "q_target.weight", []int{small, f}, &l.QWeight}, slot{name + "q_target.bias", []int{small}, &l.QBias},
			slot{name + "v_ctx.weight", []int{f, f}, &l.VWeight}, slot{name + "v_ctx.bias", []int{f}, &l.VBias},
			slot{name + "c_proj.weight", []int{f, f}, &l.OutWeight}, slot{name + "c_proj.bias", []int{f}, &l.OutBias})
	}
	return out
}

// Sequence encodes the tokens of one sequence, x [T, d], with a temporal SAE, on the host. novel are the sparse latents
// of each token, predicted [T, F] what attention over the earlier tokens foresaw, and y [T, d] the reconstruction from
// both.
func (s *SAE) Sequence(x []float32) (novel Latents, predicted, y []float32, err error) {
	if err := s.Validate(); err != nil {
		return novel, nil, nil, err
	}
	if s.Temporal == nil {
		return novel, nil, nil, fmt.Errorf("sae: %s encodes rows, not sequences; use Reconstruct", s.Arch)
	}
	if len(x)%s.DIn != 0 {
		return novel, nil, nil, fmt.Errorf("sae: %d values are not rows of width d_in = %d", len(x), s.DIn)
	}
	novel, predicted, decoded, undo := s.sequence(x)
	row := make([]float32, s.DIn)
	for r, out := range decoded {
		for j, v := range out {
			row[j] = float32(v)
		}
		undo[r].undo(row)
		y = append(y, row...)
	}
	return novel, predicted, y, nil
}

// sequence is Sequence in float64: decoded are the reconstructions, before the normalisation is undone.
func (s *SAE) sequence(x []float32) (novel Latents, predicted []float32, decoded [][]float64, undo []rowScale) {
	d, f, n := s.DIn, s.DSAE, len(x)/s.DIn
	residual := make([][]float64, n)
	undo = make([]rowScale, n)
	centred := make([]float32, d)
	for r := range n {
		undo[r] = s.centre(x[r*d:(r+1)*d], centred)
		residual[r] = widen(centred)
	}
	decoder := make([][]float64, f)
	for i := range decoder {
		decoder[i] = widen(s.Decoder(i))
	}
	encode := func(r []float64) []float64 { return s.temporalCodes(decoder, r) }
	total := make([][]float64, n)
	for r := range total {
		total[r] = make([]float64, f)
	}
	for i := range s.Temporal.Layers {
		s.temporalLayer(&s.Temporal.Layers[i], decoder, residual, total, encode)
	}
	var rows active
	rows.reset()
	novel.Start = []int{0}
	for r := range n {
		z := encode(residual[r])
		h := make([]float32, f)
		for i, v := range z {
			h[i] = float32(v)
			predicted = append(predicted, float32(total[r][i]))
		}
		from := len(rows.index)
		s.novel(h, &rows)
		for _, i := range rows.index[from:] {
			total[r][i] += z[i]
		}
		rows.endRow()
		out := widen(s.BDec)
		addRows(out, total[r], decoder)
		decoded = append(decoded, out)
	}
	rows.appendTo(&novel)
	return novel, predicted, decoded, undo
}

// temporalCodes is relu(r W_enc / (4 d)).
func (s *SAE) temporalCodes(decoder [][]float64, r []float64) []float64 {
	z := make([]float64, s.DSAE)
	for i := range z {
		var sum float64
		if s.Temporal.Tied {
			sum = dot64(decoder[i], r)
		} else {
			for j, v := range r {
				sum += v * float64(s.WEnc[j*s.DSAE+i])
			}
		}
		z[i] = max(sum/float64(4*s.DIn), 0)
	}
	return z
}

// temporalLayer predicts each token's latents from the earlier ones, adds the part that lies along the residual to
// total and takes it out of the residual.
func (s *SAE) temporalLayer(l *TemporalLayer, decoder, residual, total [][]float64, encode func([]float64) []float64) {
	n, f := len(residual), s.DSAE
	z := make([][]float64, n)
	q, k, v := make([][]float64, n), make([][]float64, n), make([][]float64, n)
	for r := range n {
		z[r] = encode(residual[r])
		past := make([]float64, f)
		if r > 0 {
			past = z[r-1]
		}
		q[r], k[r], v[r] = affine(l.QWeight, l.QBias, z[r]), affine(l.KWeight, l.KBias, past), affine(l.VWeight, l.VBias, past)
	}
	for r := range n {
		p := affine(l.OutWeight, l.OutBias, attend(q[r], k[:r+1], v[:r+1], s.Temporal.Heads))
		for i := range p {
			p[i] = max(p[i], 0)
		}
		along := make([]float64, s.DIn)
		addRows(along, p, decoder)
		size := math.Sqrt(dot64(along, along)) + 1e-6
		scale := dot64(along, residual[r]) / (size * size)
		for i, w := range p {
			total[r][i] += scale * w
		}
		for j, w := range along {
			residual[r][j] -= scale * w
		}
	}
}

// attend is softmax attention of one query over keys and values, in heads.
func attend(q []float64, keys, values [][]float64, heads int) []float64 {
	dk, dv := len(q)/heads, len(values[0])/heads
	out := make([]float64, len(values[0]))
	for h := range heads {
		score := make([]float64, len(keys))
		top := math.Inf(-1)
		for t, k := range keys {
			score[t] = dot64(q[h*dk:(h+1)*dk], k[h*dk:(h+1)*dk]) / math.Sqrt(float64(dk))
			top = max(top, score[t])
		}
		var sum float64
		for t := range score {
			score[t] = math.Exp(score[t] - top)
			sum += score[t]
		}
		for t, w := range score {
			for j, v := range values[t][h*dv : (h+1)*dv] {
				out[h*dv+j] += w / sum * v
			}
		}
	}
	return out
}
