package model

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"
)

// Above returns the blocks from layer on as a decoder of its own, whose token i stands for rows[i*d:(i+1)*d], a value of hook_resid_pre of that
// layer: what reads the stream there can be studied with the stream changed by anything at all, and what wrote it is one sender, the embedding. At
// most Spec.Vocab rows fit. Tokens to be predicted keep their ids. Weights other than W_E are those of m: free W_E alone. Only rotary models have
// blocks that do not know how far up they stand.
func (m *Model) Above(b compute.Backend, layer int, rows []float32) (*Model, error) {
	s := *m.Spec
	switch {
	case layer < 0 || layer >= s.Layers:
		return nil, fmt.Errorf("model: blocks above layer %d of %d", layer, s.Layers)
	case !s.Decoder || s.Positions != PosRotary || s.RelBias != nil || s.TypeVocab > 0 || s.EmbedNorm || s.InverseLayer:
		return nil, fmt.Errorf("model: the blocks above layer %d of a %s model depend on more than the stream; only rotary decoders are cut", layer, s.Family)
	case len(rows)%s.DModel != 0 || len(rows) > s.Vocab*s.DModel:
		return nil, fmt.Errorf("model: %d values for at most %d rows of width %d", len(rows), s.Vocab, s.DModel)
	}
	unembed := "W_U"
	if s.Tied {
		unembed = "W_E"
	}
	s.Layers, s.Tied, s.EmbedScale = s.Layers-layer, false, 0
	if s.RopeOf != nil {
		s.RopeOf = slices.Clone(s.RopeOf[layer:])
	}
	if s.Window != nil {
		s.Window = slices.Clone(s.Window[layer:])
	}
	table := make([]float32, s.Vocab*s.DModel)
	copy(table, rows)
	out := &Params{spec: &s, dtype: m.Params.dtype, index: map[string]int{}}
	for i, p := range s.Params() {
		var block int
		var rest string
		name := p.Name
		switch _, err := fmt.Sscanf(name, "blocks.%d.%s", &block, &rest); {
		case err == nil:
			name = blockName(block+layer, rest)
		case name == "W_U":
			name = unembed
		}
		var t *tensors.Tensor
		if name == "W_E" && p.Name == name {
			var err error
			if t, err = newParam(b, out.dtype, p, table); err != nil {
				return nil, fmt.Errorf("model: %s: %w", p.Name, err)
			}
		} else {
			t = m.Params.Get(name)
		}
		out.tensors, out.index[p.Name] = append(out.tensors, t), i
	}
	return &Model{Name: fmt.Sprintf("%s above layer %d", m.Name, layer), Dir: m.Dir, Spec: &s, Params: out}, nil
}
