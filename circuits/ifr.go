package circuits

import (
	"context"
	"math"

	"loupe/probe/model"
)

// IFR scores edges by information flow routes (Ferrando and Voita, arXiv:2403.00824): how much nearer, in the L1 norm, a sender's output
// brings the stream that a receiver reads,
//
//	p(u->v) = max(0, |x_v|_1 - |x_v - a_u|_1),   s(u->v) = mean over real positions of p(u->v) / sum_u' p(u'->v)
//
// on the clean input alone: no gradient, no corrupted input, no metric. The scores into a receiver add up to 1 (to the share of positions at
// which any sender counts). All inputs of a head read one stream, so they have the same scores. One pass with an output for every sender
// and one with the streams.
func IFR(ctx context.Context, t *Task) (*Scores, error) {
	return t.scored("ifr", func(t *Task) ([]float64, error) {
		cache, err := t.senders(ctx)
		if err != nil {
			return nil, err
		}
		s := t.Model.Spec
		middle := model.ResidMid
		if s.Parallel {
			middle = model.ResidPre
		}
		streams, err := t.blocks(ctx, t.Pairs.Clean, model.ResidPre, middle, model.ResidPost)
		if err != nil {
			return nil, err
		}
		out := make([]float64, t.Pairs.Rows*t.Graph.Size())
		for layer := range s.Layers {
			at := layer * (3*s.Heads + 1)
			t.flow(out, cache.clean.values, streams[model.ResidPre][layer], at, 3*s.Heads)
			t.flow(out, cache.clean.values, streams[middle][layer], at+3*s.Heads, 1)
		}
		t.flow(out, cache.clean.values, streams[model.ResidPost][s.Layers-1], len(t.Graph.Receivers)-1, 1)
		return out, nil
	})
}

// flow adds to scores [b,u,v] those of n receivers from one on that read the stream x [b,t,d]; senders is [b,t,u,d].
func (t *Task) flow(scores []float64, senders, x []float32, from, n int) {
	p, d, count := t.Pairs, t.Model.Spec.DModel, len(t.Graph.Senders)
	near := make([]float64, count)
	for r := range p.Rows {
		positions := 0
		for i := r * p.Seq; i < (r+1)*p.Seq; i++ {
			if p.real(i) {
				positions++
			}
		}
		for i := r * p.Seq; i < (r+1)*p.Seq; i++ {
			if !p.real(i) {
				continue
			}
			stream := x[i*d : (i+1)*d]
			whole, sum := 0.0, 0.0
			for _, v := range stream {
				whole += math.Abs(float64(v))
			}
			for u := range near {
				near[u] = 0
				if !t.Graph.Real(Edge{u, from}) {
					continue
				}
				left := 0.0
				for k, v := range senders[(i*count+u)*d : (i*count+u+1)*d] {
					left += math.Abs(float64(stream[k]) - float64(v))
				}
				near[u] = max(0, whole-left)
				sum += near[u]
			}
			if sum == 0 {
				continue
			}
			for u, v := range near {
				for k := range n {
					scores[r*t.Graph.Size()+t.Graph.At(Edge{u, from + k})] += v / sum / float64(positions)
				}
			}
		}
	}
}
