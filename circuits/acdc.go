package circuits

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/model"
)

// ACDCResult is a circuit found by ACDC and how it came about.
type ACDCResult struct {
	Tau          float64
	Circuit      *Circuit
	Start, Final float64   // mean losses of the whole model and of the circuit
	Order        []Edge    // the edges in the order they were tried
	Deltas       []float64 // what removing each added to the mean loss
	Runs         int       // masked passes
}

// SenderOrder is the order in which ACDC tries the edges into one receiver.
type SenderOrder string

// Orders: the latest sender first, the earliest first, or drawn by seed for each receiver.
const (
	LatestFirst   SenderOrder = "reverse"
	EarliestFirst SenderOrder = "normal"
	RandomOrder   SenderOrder = "random"
)

// ACDCConfig says how ACDC runs.
type ACDCConfig struct {
	Taus  []float64 // thresholds; each gives a circuit
	Order SenderOrder
	Seed  uint64 // of RandomOrder
	// Restart begins each pass at the receiver's block with the clean stream from a cache. All edges that are gone by then lead into that
	// block or later ones, so the stream is that of the masked pass and the results are the same; it compiles one program more for each block. Tasks
	// in chunks begin at the first block all the same.
	Restart bool
}

// ACDCTaus are the thresholds of a usual sweep: 1, 3, 5, 7 and 9 times 1e-5 to 1e-2.
func ACDCTaus() []float64 {
	var out []float64
	for _, scale := range []float64{1e5, 1e4, 1e3, 1e2} {
		for _, n := range []float64{1, 3, 5, 7, 9} {
			out = append(out, n/scale)
		}
	}
	return out
}

// ACDC removes edges one at a time, from the logits back (Conmy et al., arXiv:2304.14997): an edge goes for good when removing it
// raises the mean loss by less than tau, D = new - current < tau. Receivers are tried in reverse order, of one block the MLP,
// then the heads from the last to the first with query, key and value of each, and into each receiver the latest sender first.
// Edges into a node that no longer feeds anything change nothing and go without a run.
func ACDC(ctx context.Context, t *Task, ref *Reference, tau float64) (*ACDCResult, error) {
	out, err := ACDCSweep(ctx, t, ref, ACDCConfig{Taus: []float64{tau}, Order: LatestFirst})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// acdcState is a circuit on its way, shared by the thresholds that have decided alike so far.
type acdcState struct {
	circuit *Circuit
	current float64
	feeds   []int // edges that leave each sender
	results []int
}

// ACDCSweep is ACDC for several thresholds and orders, one result for each threshold. Thresholds that have removed the same edges share their passes, and those
// that have not run side by side.
func ACDCSweep(ctx context.Context, t *Task, ref *Reference, cfg ACDCConfig) ([]*ACDCResult, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	if len(cfg.Taus) == 0 {
		return nil, fmt.Errorf("circuits: ACDC without a threshold")
	}
	g := t.Graph
	order, err := acdcOrder(g, cfg.Order, cfg.Seed)
	if err != nil {
		return nil, err
	}
	first := &acdcState{circuit: Whole(g), feeds: make([]int, len(g.Senders))}
	out := make([]*ACDCResult, len(cfg.Taus))
	for i, tau := range cfg.Taus {
		if tau <= 0 {
			return nil, fmt.Errorf("circuits: ACDC with a threshold of %g; it must be positive, since an edge that changes nothing adds 0", tau)
		}
		out[i] = &ACDCResult{Tau: tau, Order: order, Runs: 1}
		first.results = append(first.results, i)
	}
	for _, e := range order {
		first.feeds[e.U]++
	}
	start, err := t.evaluateMeans(ctx, ref, first.circuit)
	if err != nil {
		return nil, err
	}
	first.current = start[0]
	restart := cfg.Restart && t.chunks == nil
	var streams map[model.Kind][][]float32
	if restart {
		if streams, err = t.blocks(ctx, t.Pairs.Clean, model.ResidPre); err != nil {
			return nil, err
		}
	}
	states := []*acdcState{first}
	for _, e := range order {
		var masks [][]float32
		var tried []*acdcState
		for _, s := range states {
			s.circuit.Keep[g.At(e)] = false
			if o := g.Owner[e.V]; o < 0 || s.feeds[o] > 0 {
				masks, tried = append(masks, s.circuit.mask()), append(tried, s)
			}
		}
		block, stream := 0, []float32(nil)
		if restart {
			block = min(e.V/(3*g.Heads+1), g.Layers-1)
			stream = streams[model.ResidPre][block]
		}
		losses, err := t.maskedFrom(ctx, block, stream, masks, ref)
		if err != nil {
			return nil, err
		}
		var next []*acdcState
		for _, s := range states {
			changed := s.current
			if i := slices.Index(tried, s); i >= 0 {
				changed = mean(losses[i])
				for _, r := range s.results {
					out[r].Runs++
				}
			}
			next = append(next, s.decide(g, e, changed, out)...)
		}
		states = next
	}
	for _, s := range states {
		for _, r := range s.results {
			out[r].Start, out[r].Final = start[0], s.current
			out[r].Circuit = &Circuit{g, slices.Clone(s.circuit.Keep)}
		}
	}
	return out, nil
}

// decide removes an edge, without which the loss is changed, for the thresholds that allow it, and returns one state or two.
func (s *acdcState) decide(g *EdgeGraph, e Edge, changed float64, results []*ACDCResult) []*acdcState {
	var gone, kept []int
	for _, r := range s.results {
		results[r].Deltas = append(results[r].Deltas, changed-s.current)
		if changed-s.current < results[r].Tau {
			gone = append(gone, r)
		} else {
			kept = append(kept, r)
		}
	}
	var out []*acdcState
	if len(kept) > 0 {
		k := s
		if len(gone) > 0 {
			k = &acdcState{circuit: &Circuit{g, slices.Clone(s.circuit.Keep)}, current: s.current, feeds: slices.Clone(s.feeds)}
		}
		k.results, k.circuit.Keep[g.At(e)] = kept, true
		out = append(out, k)
	}
	if len(gone) > 0 {
		s.results, s.current = gone, changed
		s.feeds[e.U]--
		out = append(out, s)
	}
	return out
}

// acdcOrder lists the edges in the order of ACDC.
func acdcOrder(g *EdgeGraph, order SenderOrder, seed uint64) ([]Edge, error) {
	receivers := []int{len(g.Receivers) - 1}
	for l := g.Layers - 1; l >= 0; l-- {
		first := l * (3*g.Heads + 1)
		receivers = append(receivers, first+3*g.Heads)
		for h := g.Heads - 1; h >= 0; h-- {
			for part := range 3 {
				receivers = append(receivers, first+part*g.Heads+h)
			}
		}
	}
	r := rand.New(rand.NewPCG(seed, 0x61636463))
	var out []Edge
	for _, v := range receivers {
		n := g.before[v]
		senders := make([]int, n)
		for i := range senders {
			senders[i] = i
		}
		switch order {
		case LatestFirst:
			slices.Reverse(senders)
		case EarliestFirst:
		case RandomOrder:
			r.Shuffle(n, func(i, j int) { senders[i], senders[j] = senders[j], senders[i] })
		default:
			return nil, fmt.Errorf("circuits: ACDC order %q is none of %s, %s, %s", order, LatestFirst, EarliestFirst, RandomOrder)
		}
		for _, u := range senders {
			out = append(out, Edge{u, v})
		}
	}
	return out, nil
}
