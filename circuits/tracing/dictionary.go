package tracing

import (
	"fmt"
	"slices"

	"loupe/probe/model"
	"loupe/sae"
)

// Dictionary says what a model's features are: coders that read one kind of site and write one kind of site.
type Dictionary struct {
	// In and Out are what is read and written: MLPIn and MLPOut for transcoders, one site for autoencoders.
	In, Out model.Kind

	layers []*sae.SAE // by layer; nil where there is none
	clt    *sae.CLT
	d      int
}

// sites are those that a dictionary may write.
var sites = []model.Kind{model.MLPOut, model.AttnOut, model.ResidPre, model.ResidMid, model.ResidPost}

// Transcoders is the dictionary of per-layer transcoders, one a layer of the model and nil for layers that have none, whose MLP output is an
// error as a whole. Each reads what the MLP reads and writes what the MLP adds to the residual stream.
func Transcoders(s *model.Spec, layers []*sae.SAE) (*Dictionary, error) {
	return newDictionary(s, &Dictionary{In: model.MLPIn, Out: model.MLPOut, layers: layers}, true)
}

// Autoencoders is the dictionary of autoencoders of one kind of site, one a layer and nil for layers that have none: MLPOut, AttnOut, ResidPre,
// ResidMid or ResidPost. Between them MLPs act by their gradient at the prompt, as patterns and divisors are held; at a residual
// site the stream is nothing but the features and the error there.
func Autoencoders(s *model.Spec, site model.Kind, layers []*sae.SAE) (*Dictionary, error) {
	return newDictionary(s, &Dictionary{In: site, Out: site, layers: layers}, false)
}

// CrossLayer is the dictionary of a cross-layer transcoder, whose features write to the MLP output of their layer and all later ones.
func CrossLayer(s *model.Spec, clt *sae.CLT) (*Dictionary, error) {
	if err := clt.Validate(); err != nil {
		return nil, err
	}
	if len(clt.Layers) != s.Layers || clt.DIn != s.DModel || clt.DOut != s.DModel {
		return nil, fmt.Errorf("tracing: a cross-layer transcoder of %d layers, widths %d and %d, for a model of %d layers of width %d", len(clt.Layers), clt.DIn, clt.DOut, s.Layers, s.DModel)
	}
	return newDictionary(s, &Dictionary{In: model.MLPIn, Out: model.MLPOut, clt: clt}, true)
}

func newDictionary(s *model.Spec, d *Dictionary, transcoder bool) (*Dictionary, error) {
	d.d = s.DModel
	if !slices.Contains(sites, d.Out) {
		return nil, fmt.Errorf("tracing: features of %s are not supported; use hook_mlp_out, hook_attn_out or a residual site", d.Out.Name())
	}
	if d.clt != nil {
		return d, nil
	}
	if len(d.layers) != s.Layers {
		return nil, fmt.Errorf("tracing: %d coders for %d layers; give one a layer, nil where there is none", len(d.layers), s.Layers)
	}
	some := false
	for l, c := range d.layers {
		if c == nil {
			continue
		}
		some = true
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("tracing: layer %d: %w", l, err)
		}
		switch {
		case c.DIn != s.DModel || c.Width() != s.DModel:
			return nil, fmt.Errorf("tracing: layer %d: the coder has widths %d and %d, the model %d", l, c.DIn, c.Width(), s.DModel)
		case c.Transcoder() != transcoder:
			return nil, fmt.Errorf("tracing: layer %d: %s is of the other sort; Transcoders takes transcoders and Autoencoders the rest", l, c.Arch)
		case c.Normalize != sae.NormalizeNone && c.Normalize != sae.NormalizeExpected:
			return nil, fmt.Errorf("tracing: layer %d: normalize_activations %s divides by each row's size, so that features are not linear in the site", l, c.Normalize)
		case c.WEnc == nil || c.Pursuit != nil || c.Temporal != nil || c.HookZ:
			return nil, fmt.Errorf("tracing: layer %d: %s has no encoder that is linear up to its threshold", l, c.Arch)
		}
		if err := s.Has(model.Site{Kind: d.In, Layer: l}); err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	if !some {
		return nil, fmt.Errorf("tracing: no layer has a coder")
	}
	return d, nil
}

// transcodes tells whether the dictionary replaces MLPs.
func (d *Dictionary) transcodes() bool { return d.In != d.Out }

// cuts tells whether the site that the dictionary writes is replaced at layer l: an MLP without a transcoder is an error as a whole.
func (d *Dictionary) cuts(l int) bool { return d.clt != nil || d.transcodes() || d.layers[l] != nil }

// skip is the linear path of layer l past the features as [d_out, d_in], or nil.
func (d *Dictionary) skip(l int) []float32 {
	switch {
	case d.clt == nil && d.layers[l] != nil:
		return d.layers[l].WSkip
	case d.clt != nil && d.clt.Layers[l].WSkip != nil: // stored [d_in, d_out]
		out := make([]float32, d.d*d.d)
		for i := range d.d {
			for j := range d.d {
				out[j*d.d+i] = d.clt.Layers[l].WSkip[i*d.d+j]
			}
		}
		return out
	}
	return nil
}

// bias is what the decoders of layer l add whatever is active, or nil.
func (d *Dictionary) bias(l int) []float32 {
	switch {
	case d.clt != nil:
		return d.clt.Layers[l].BDec
	case d.layers[l] != nil:
		return d.layers[l].BDec
	}
	return nil
}

// width is the number of latents of layer l.
func (d *Dictionary) width(l int) int {
	switch {
	case d.clt != nil:
		return d.clt.DSAE
	case d.layers[l] != nil:
		return d.layers[l].DSAE
	}
	return 0
}

// last is the last layer to which features of layer l write.
func (d *Dictionary) last(l int) int {
	if d.clt != nil {
		return len(d.clt.Layers) - 1
	}
	return l
}

// encoder is what latent i of layer l reads [d] and what is added, so that its pre-activation is their product with the site plus the bias.
func (d *Dictionary) encoder(l, i int) (w []float64, bias float64) {
	w = make([]float64, d.d)
	if d.clt != nil {
		for j, v := range d.clt.Encoder(l, i) {
			w[j] = float64(v)
		}
		return w, float64(d.clt.Layers[l].BEnc[i])
	}
	c := d.layers[l]
	scale := 1.0
	bias = 0
	switch {
	case c.RMag != nil: // gated: the magnitude's path
		scale, bias = exp(c.RMag[i]), float64(c.BMag[i])
	case c.BEnc != nil:
		bias = float64(c.BEnc[i])
	}
	for j := range w {
		w[j] = scale * float64(c.WEnc[j*c.DSAE+i])
		if c.ApplyBDecToInput && !c.Transcoder() {
			bias -= w[j] * float64(c.BDec[j])
		}
	}
	if c.RescaleByDecoder {
		n := norm(c.Decoder(i))
		for j := range w {
			w[j] *= n
		}
		bias *= n
	}
	return w, bias
}

// addDecoder adds scale times what latent i of layer l writes to layer m to dst [d].
func (d *Dictionary) addDecoder(dst []float64, l, i, m int, scale float64) {
	var row []float32
	if d.clt != nil {
		row = d.clt.Decoder(l, i, m)
	} else {
		row = d.layers[l].Decoder(i)
		if d.layers[l].RescaleByDecoder {
			scale /= norm(row)
		}
	}
	for j, v := range row {
		dst[j] += scale * float64(v)
	}
}

// encode returns the active latents of layer l for the rows of x [n, d], the values of the site that layer l reads.
func (d *Dictionary) encode(l int, x []float32) (sae.Latents, error) {
	if d.clt == nil {
		if d.layers[l] == nil {
			return sae.Latents{Start: make([]int, len(x)/d.d+1)}, nil
		}
		return d.layers[l].Encode(x)
	}
	c := d.clt
	if c.Activation == sae.ActivationTopK && !c.PerLayer {
		return sae.Latents{}, fmt.Errorf("tracing: the cross-layer transcoder keeps the k largest of all layers together, so that one layer cannot be encoded alone")
	}
	one := &sae.CLT{DIn: c.DIn, DOut: c.DOut, DSAE: c.DSAE, Activation: c.Activation, Layers: []sae.CLTLayer{c.Layers[l]}}
	one.Layers[0].WDec = make([]float32, c.DSAE*c.DOut) // encoding does not read it
	if c.Activation == sae.ActivationTopK {
		one.K = c.K / len(c.Layers)
	}
	return one.Encode(x)
}

// encodeAll returns the active latents of every layer for in[l], [n, d].
func (d *Dictionary) encodeAll(in [][]float32) ([]sae.Latents, error) {
	out := make([]sae.Latents, len(in))
	if d.clt == nil || d.clt.Activation != sae.ActivationTopK || d.clt.PerLayer {
		for l, x := range in {
			var err error
			if out[l], err = d.encode(l, x); err != nil {
				return nil, fmt.Errorf("tracing: layer %d: %w", l, err)
			}
		}
		return out, nil
	}
	n := len(in[0]) / d.d
	rows := make([]float32, 0, n*len(in)*d.d)
	for r := range n {
		for _, x := range in {
			rows = append(rows, x[r*d.d:(r+1)*d.d]...)
		}
	}
	all, err := d.clt.Encode(rows)
	if err != nil {
		return nil, err
	}
	for l := range out {
		out[l].Start = []int{0}
	}
	for r := range n {
		index, value := all.Row(r)
		for j, i := range index {
			l := int(i) / d.clt.DSAE
			out[l].Index, out[l].Value = append(out[l].Index, i%int32(d.clt.DSAE)), append(out[l].Value, value[j])
		}
		for l := range out {
			out[l].Start = append(out[l].Start, len(out[l].Index))
		}
	}
	return out, nil
}
