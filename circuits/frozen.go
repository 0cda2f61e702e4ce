package circuits

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
)

// FrozenEdges are scores of the edges of a model that normalises its stream after each block, where nothing that a part writes reaches a later one
// unchanged. They take the norms between as linear maps, with their divisors as the clean run has them. That is an approximation, so its
// error is measured with it.
type FrozenEdges struct {
	// Scores are EAP's with frozen norms: Values for edges into queries, keys, values and MLP inputs, Loss for those into the output, and Total
	// what a sender's gradient says it does by all paths, its norms' own derivatives included.
	Scores *ComponentScores
	// Direct [rows, senders, receivers] is Scores.Values with the true change of what the receiver reads in place of the linear one: the sender at
	// its corrupted value, all others at their clean ones, every norm computed anew. DirectLoss [rows, senders] is what that does to the
	// loss past all receivers, measured.
	Direct, DirectLoss []float64
	// Nodes [rows, senders] is what the loss truly gains when the sender takes its corrupted value (node patching).
	Nodes []float64
	// Measured are edges whose true effect on the loss was measured: one receiver alone reads the change.
	Measured []MeasuredEdge
	Errors   FrozenErrors
}

// MeasuredEdge is the true effect [rows] of one edge.
type MeasuredEdge struct {
	Sender, Receiver int
	Effect           []float64
}

// FrozenErrors are relative errors: the Euclidean length of the difference, over rows and edges (or senders), over that of the truth.
type FrozenErrors struct {
	Norms       float64 `json:"norms" doc:"frozen scores against the same with true norms, over all edges: what freezing costs"`
	Edges       float64 `json:"edges" doc:"frozen scores against measured effects of edges"`
	EdgesLinear float64 `json:"edges_linear" doc:"scores with true norms against measured effects of edges: what is left without freezing"`
	EdgesMedian float64 `json:"edges_median" doc:"median relative error of a measured edge's mean effect, over edges of at least 1 % of the largest"`
	Counted     int     `json:"counted" doc:"edges that were measured"`
	Output      float64 `json:"output" doc:"frozen scores of edges into the loss against measured effects"`
	Nodes       float64 `json:"nodes" doc:"sums of a sender's frozen edges against its measured effect"`
	NodesLinear float64 `json:"nodes_linear" doc:"a sender's whole gradient against its measured effect: what is left without freezing"`
}

// AttributeFrozen scores all edges between embeddings, heads and MLPs with frozen norms, and measures the error. Of the edges measure of them are
// patched one at a time, drawn by seed; 0 measures all. SenderSites and ReceiverSites must be captured. One product with the Jacobian for
// each receiver, two passes for each sender and one pass for each measured edge, those of one sender Options.SweepRows rows at a time.
func AttributeFrozen(ctx context.Context, a *Activations, measure int, seed uint64) (*FrozenEdges, error) {
	t := a.Task
	senders, err := a.Senders()
	if err != nil {
		return nil, err
	}
	receivers, err := a.Receivers()
	if err != nil {
		return nil, err
	}
	held := SenderSites(t.Model.Spec)
	out := &FrozenEdges{}
	if out.Scores, err = AttributeComponents(ctx, t, senders, receivers, a.Clean, Paths{Held: held, FrozenNorms: true}); err != nil {
		return nil, err
	}
	sites := ReceiverSites(t.Model.Spec)
	gradient, err := t.GradientsAt(ctx, sites, nil)
	if err != nil {
		return nil, err
	}
	rows, u, v := t.Pairs.Rows, len(senders), len(receivers)
	out.Direct, out.DirectLoss, out.Nodes = make([]float64, rows*u*v), make([]float64, rows*u), make([]float64, rows*u)
	chosen := drawEdges(senders, receivers, measure, seed)
	for i, n := range senders {
		moved := n.(*part).patched(a.Clean[n.Site()], a.Corrupted[n.Site()])
		alone := maps.Clone(a.Clean.only(held))
		alone[n.Site()] = moved
		read, loss, err := t.capture(ctx, t.Pairs.Clean, sites, held, alone)
		if err != nil {
			return nil, err
		}
		_, patched, err := t.capture(ctx, t.Pairs.Clean, sites, held, SiteValues{n.Site(): moved})
		if err != nil {
			return nil, err
		}
		for r := range rows {
			out.DirectLoss[r*u+i], out.Nodes[r*u+i] = loss[r]-t.CleanLoss[r], patched[r]-t.CleanLoss[r]
		}
		for j, receiver := range receivers {
			if CompareSites(n.Site(), receiver.Site()) >= 0 {
				continue
			}
			p := *receiver.(*part)
			p.corrupted = read[receiver.Site()]
			for at, x := range p.Change(gradient.At[receiver.Site()]) {
				out.Direct[(at/t.Pairs.Seq*u+i)*v+j] += x
			}
		}
		effects, err := t.patchReceivers(ctx, sites, a.Clean, read, receivers, chosen[i])
		if err != nil {
			return nil, err
		}
		for k, j := range chosen[i] {
			out.Measured = append(out.Measured, MeasuredEdge{i, j, effects[k]})
		}
	}
	out.Errors = out.measure()
	return out, nil
}

// measure compares scores with what was measured.
func (f *FrozenEdges) measure() FrozenErrors {
	s := f.Scores
	u, v := len(s.Senders), len(s.Receivers)
	e := FrozenErrors{Counted: len(f.Measured), Norms: relativeError(s.Values, f.Direct), Output: relativeError(s.Loss, f.DirectLoss), NodesLinear: relativeError(s.Total, f.Nodes)}
	sums := slices.Clone(s.Loss)
	for i := range sums {
		for j := range v {
			sums[i] += s.Values[i*v+j]
		}
	}
	e.Nodes = relativeError(sums, f.Nodes)
	var frozen, direct, truth, means []float64
	largest := 0.0
	for _, m := range f.Measured {
		for r, x := range m.Effect {
			at := (r*u+m.Sender)*v + m.Receiver
			frozen, direct, truth = append(frozen, s.Values[at]), append(direct, f.Direct[at]), append(truth, x)
		}
		largest = max(largest, math.Abs(mean(m.Effect)))
	}
	e.Edges, e.EdgesLinear = relativeError(frozen, truth), relativeError(direct, truth)
	for _, m := range f.Measured {
		if x := mean(m.Effect); math.Abs(x) >= 0.01*largest && x != 0 {
			means = append(means, math.Abs(s.At(m.Sender, m.Receiver)-x)/math.Abs(x))
		}
	}
	if len(means) > 0 {
		slices.Sort(means)
		e.EdgesMedian = (means[(len(means)-1)/2] + means[len(means)/2]) / 2
	}
	return e
}

// relativeError is |x - y| / |y|, and 0 when both are zero.
func relativeError(x, y []float64) float64 {
	var difference, size float64
	for i, v := range y {
		difference += (x[i] - v) * (x[i] - v)
		size += v * v
	}
	if difference == 0 {
		return 0
	}
	return math.Sqrt(difference / size)
}

// String is one line for a report.
func (e FrozenErrors) String() string {
	return fmt.Sprintf("frozen norms: edges off by %.3g of their length (true norms: %.3g, %d measured), by freezing alone %.3g; senders' sums off by %.3g (gradient: %.3g)",
		e.Edges, e.EdgesLinear, e.Counted, e.Norms, e.Nodes, e.NodesLinear)
}
