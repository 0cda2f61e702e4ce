package model

import (
	"fmt"
	"math"
)

// Bounds of a Spec: far above any published model, and low enough that counting its parameters cannot overflow.
const (
	maxLayers = 1 << 10
	maxHeads  = 1 << 12
	maxWidth  = 1 << 18 // d_model
	maxHead   = 1 << 14
	maxMLP    = 1 << 20
	maxRows   = 1 << 24 // vocabulary, positions, token types
)

// validate refuses what no model has or what the graph code does not compute.
func (s *Spec) validate() error {
	if s.Positions == PosLearned && (s.PosRows < 1 || s.PosRows > maxRows || s.MaxPos < 1) {
		return fmt.Errorf("a table of %d positions leaves %d for text", s.PosRows, s.MaxPos)
	}
	for _, x := range []struct {
		what          string
		n, least, max int
	}{
		{"number of layers", s.Layers, 1, maxLayers}, {"hidden size", s.DModel, 1, maxWidth}, {"number of attention heads", s.Heads, 1, maxHeads},
		{"number of key/value heads", s.KVHeads, 1, maxHeads}, {"head width", s.DHead, 1, maxHead}, {"MLP width", s.DMLP, 1, maxMLP},
		{"vocabulary size", s.Vocab, 1, maxRows}, {"number of positions", s.MaxPos, 0, math.MaxInt32}, {"number of token types", s.TypeVocab, 0, maxRows},
		{"projection width", s.Projection, 0, maxWidth}, {"pad token id", s.PadID, 0, math.MaxInt32},
	} {
		if x.n < x.least || x.n > x.max {
			return fmt.Errorf("the %s is %d; it must be from %d to %d", x.what, x.n, x.least, x.max)
		}
	}
	switch {
	case s.Heads%s.KVHeads != 0:
		return fmt.Errorf("%d attention heads cannot share %d key/value heads", s.Heads, s.KVHeads)
	case !(s.NormEps >= 0 && s.NormEps < 1):
		return fmt.Errorf("the norms' epsilon is %g; it must be from 0 to 1", s.NormEps)
	case !(s.AttnScale > 0) || math.IsInf(s.AttnScale, 0):
		return fmt.Errorf("the attention scale is %g; it must be positive", s.AttnScale)
	case !(s.AttnSoftcap >= 0) || !(s.LogitSoftcap >= 0):
		return fmt.Errorf("soft caps %g and %g must not be negative", s.AttnSoftcap, s.LogitSoftcap)
	case s.Act == "":
		return fmt.Errorf("no activation function")
	}
	for i, w := range s.Window {
		if w < 0 {
			return fmt.Errorf("layer %d has a sliding window of %d keys", i, w)
		}
	}
	if r := s.RelBias; r != nil && (r.Buckets < 4 || r.Buckets > r.Rows || r.Rows > maxRows || r.MaxDistance <= r.Buckets/4) {
		return fmt.Errorf("a relative bias of %d buckets (%d rows) up to distance %d cannot be", r.Buckets, r.Rows, r.MaxDistance)
	}
	for _, r := range s.Ropes {
		if r.Dim < 2 || r.Dim%2 != 0 || r.Dim > s.DHead {
			return fmt.Errorf("the rotary width is %d; it must be even, from 2 to the head width %d", r.Dim, s.DHead)
		}
		if !(r.Theta > 0) {
			return fmt.Errorf("rope_theta is %g; it must be positive", r.Theta)
		}
	}
	return nil
}
