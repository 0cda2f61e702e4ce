package model

import (
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// Edges asks for the edge-masked forward pass. The residual stream of a pre-norm model is the sum of what its senders
// write: the token embedding, every attention head and every MLP. With u senders, v receivers (one input per head for
// each of query, key and value, one per MLP, and the final norm) and a_u a sender's output in this same pass, every
// receiver reads
//
//	x_v <- x_v + sum_u m_uv (r_u - a_u)
//
// with the run-time tensors "mask" (m) and "corrupted" (r [b,t,u,d]), usually the senders' outputs on a corrupted
// input. Mask 0 is the plain pass and mask 1 the corrupted one. Grouped key/value heads are ungrouped: every query
// head has its own key and value input. Position embeddings, and attention output biases, belong to no sender.
//
// A plan that begins at a later block (Plan.From) takes, beside that block's residual stream, the tensor "before" [b,t,k,d]: what the k senders of the blocks before it
// wrote in the same pass.
//
// Senders are, in order, the embedding, then per layer its heads and its MLP; receivers, per layer, the queries of all
// heads, the keys of all, the values of all, the MLP, and last the final norm. See DESIGN 4; the form is that of Syed et
// al., arXiv:2310.10348.
type Edges struct {
	// Batch and Tokens give the mask a leading axis over rows and one over positions: [u,v], [b,u,v], [t,u,v] or [b,t,u,v].
	Batch, Tokens bool
	// Senders and Receivers return the senders' outputs [b,t,u,d] and the receivers' inputs [b,t,v,d].
	Senders, Receivers bool
	// GradMask returns the objective's gradient with respect to each row's mask [b,u,v] ([b,t,u,v] with Tokens), whether or
	// not the mask has a batch axis; GradReceivers that with respect to the receivers' inputs [b,t,v,d].
	GradMask, GradReceivers bool
	// GradCorrupted returns the objective's gradient with respect to the reference r [b,t,u,d].
	GradCorrupted bool
	// Scores returns [b,u,v] (with Tokens [b,t,u,v]): the products of the run-time tensor "direction" [b,t,u,d] with the
	// gradients at the receivers, summed over width (and tokens).
	Scores bool
}

// EdgeSenders counts the senders of a model: 1 + layers (heads + 1).
func (s *Spec) EdgeSenders() int { return 1 + s.Layers*(s.Heads+1) }

// EdgeReceivers counts the receivers of a model: layers (3 heads + 1) + 1.
func (s *Spec) EdgeReceivers() int { return s.Layers*(3*s.Heads+1) + 1 }

// HasEdges tells whether the model's residual stream is a sum that edges can be cut from, with the reason when not.
func (s *Spec) HasEdges() error {
	switch {
	case s.Place == PostNorm:
		return fmt.Errorf("model: a %s model normalises its residual stream after each block, so what one part writes does not reach the next unchanged and there are no edges; patch nodes instead", s.Family)
	case s.EmbedNorm:
		return fmt.Errorf("model: a %s model normalises its embeddings, so there are no edges from the input; patch nodes instead", s.Family)
	}
	return nil
}

func (e *Edges) gradients() bool { return e.GradMask || e.GradReceivers || e.GradCorrupted || e.Scores }

// tensors lists the run-time tensors.
func (e *Edges) tensors(s *Spec, from, batch, seq int) []Input {
	u := s.EdgeSenders()
	in := []Input{
		{"mask", floatType, e.MaskDims(s, batch, seq)},
		{"corrupted", floatType, []int{batch, seq, u, s.DModel}},
	}
	if from > 0 {
		in = append(in, Input{"before", floatType, []int{batch, seq, 1 + from*(s.Heads+1), s.DModel}})
	}
	if e.Scores {
		in = append(in, Input{"direction", floatType, []int{batch, seq, u, s.DModel}})
	}
	return in
}

// MaskDims is the shape of the mask.
func (e *Edges) MaskDims(s *Spec, batch, seq int) []int {
	var dims []int
	if e.Batch {
		dims = append(dims, batch)
	}
	if e.Tokens {
		dims = append(dims, seq)
	}
	return append(dims, s.EdgeSenders(), s.EdgeReceivers())
}

// validate checks an edge-masked plan.
func (e *Edges) validate(s *Spec, p *Plan) error {
	if err := s.HasEdges(); err != nil {
		return err
	}
	from, to := p.layers(s)
	switch {
	case to != s.Layers:
		return errors.New("model: plan: an edge mask needs all layers up to the last")
	case from > 0 && e.gradients():
		return errors.New("model: plan: gradients at edges need all layers")
	case from > 0 && p.Embeds:
		return errors.New("model: plan: an edge mask from a later block takes that block's residual stream, not embeddings")
	}
	if e.gradients() && p.Objective == nil {
		return errors.New("model: plan: gradients at edges need an objective")
	}
	return p.splitSites()
}

// splitSites refuses sites that every query head has one of its own of.
func (p *Plan) splitSites() error {
	split := func(k Kind) error {
		switch k {
		case LN1Scale, LN1Normalized, LN1Out, K, V, RotK:
			return fmt.Errorf("model: plan: with an edge mask or a moved receiver every query head has its own norm, key and value, so site %s does not exist; use the receivers' inputs", k.Name())
		}
		return nil
	}
	for _, c := range p.Captures {
		if err := split(c.Site.Kind); err != nil {
			return err
		}
	}
	for _, site := range p.GradSites {
		if err := split(site.Kind); err != nil {
			return err
		}
	}
	for i := range p.Edits {
		if err := split(p.Edits[i].Site); err != nil {
			return err
		}
	}
	return nil
}

// EdgeSenders returns the senders' outputs [b,t,u,d], or nil.
func (o *Outputs) EdgeSenders() *tensors.Tensor { return o.tensors["edges.senders"] }

// EdgeReceivers returns the receivers' inputs [b,t,v,d], or nil.
func (o *Outputs) EdgeReceivers() *tensors.Tensor { return o.tensors["edges.receivers"] }

// GradEdgeMask returns the gradient with respect to the mask, or nil.
func (o *Outputs) GradEdgeMask() *tensors.Tensor { return o.tensors["grad:edges.mask"] }

// GradEdgeReceivers returns the gradient with respect to the receivers' inputs [b,t,v,d], or nil.
func (o *Outputs) GradEdgeReceivers() *tensors.Tensor { return o.tensors["grad:edges.receivers"] }

// GradEdgeCorrupted returns the gradient with respect to the reference [b,t,u,d], or nil.
func (o *Outputs) GradEdgeCorrupted() *tensors.Tensor { return o.tensors["grad:edges.corrupted"] }

// EdgeScores returns the products of "direction" with the receivers' gradients, or nil.
func (o *Outputs) EdgeScores() *tensors.Tensor { return o.tensors["edges.scores"] }
