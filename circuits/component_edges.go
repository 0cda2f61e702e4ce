package circuits

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"loupe/probe/model"
)

// ComponentScores are what senders do to receivers, to first order.
type ComponentScores struct {
	Rows               int
	Senders, Receivers []string
	// Values [rows, senders, receivers]: what moving the sender to its corrupted value adds to the loss through the receiver (to the receiver's
	// own value, for readings), by the paths asked for. Zero where the receiver does not come after the sender.
	Values []float64
	// Loss [rows, senders]: what it adds to the loss by paths that meet no held site.
	Loss []float64
	// Total [rows, senders]: what it adds to the loss by all paths.
	Total []float64
}

// At is the mean over rows of an edge's score.
func (s *ComponentScores) At(sender, receiver int) float64 {
	var sum float64
	for r := range s.Rows {
		sum += s.Values[(r*len(s.Senders)+sender)*len(s.Receivers)+receiver]
	}
	return sum / float64(s.Rows)
}

// AttributeComponents scores every pair of a sender u and a receiver v: (dm/dv) (dv/du) (u' - u), with dm/dv the loss's gradient by all paths and
// dv/du that of v by the paths asked for. With the sites of every node held the edges are direct: those between heads and MLPs are the
// sums of EAP's over a head's query, key and value, and the edges out of a node, with its direct one to the loss, add up to Total.
//
// clean holds the values of the held sites (Activations.Clean). One gradient pass for the totals, one for the direct edges to the loss, and one
// product of a vector with the Jacobian for each receiver.
func AttributeComponents(ctx context.Context, t *Task, senders, receivers []Component, clean SiteValues, paths Paths) (*ComponentScores, error) {
	if len(senders) == 0 {
		return nil, fmt.Errorf("circuits: no sender")
	}
	sites := componentSites(senders)
	all := componentSites(append(append([]Component{}, senders...), receivers...))
	for _, s := range paths.Held {
		if clean[s] == nil {
			return nil, fmt.Errorf("circuits: no clean value of site %s to hold", s)
		}
	}
	total, err := t.GradientsAt(ctx, all, nil)
	if err != nil {
		return nil, err
	}
	out := &ComponentScores{Rows: t.Pairs.Rows, Values: make([]float64, t.Pairs.Rows*len(senders)*len(receivers))}
	for _, n := range senders {
		out.Senders = append(out.Senders, n.Name())
	}
	for _, n := range receivers {
		out.Receivers = append(out.Receivers, n.Name())
	}
	byRow := func(n Component, g []float64) []float64 {
		sums := make([]float64, t.Pairs.Rows)
		for at, v := range n.Change(g) {
			sums[at/t.Pairs.Seq] += v
		}
		return sums
	}
	direct := total
	if len(paths.Held) > 0 || paths.FrozenNorms {
		if direct, err = t.gradientsBy(ctx, sites, clean, paths); err != nil {
			return nil, err
		}
	}
	out.Loss, out.Total = make([]float64, t.Pairs.Rows*len(senders)), make([]float64, t.Pairs.Rows*len(senders))
	for u, n := range senders {
		for r, v := range byRow(n, direct.At[n.Site()]) {
			out.Loss[r*len(senders)+u] = v
		}
		for r, v := range byRow(n, total.At[n.Site()]) {
			out.Total[r*len(senders)+u] = v
		}
	}
	if len(receivers) == 0 {
		return out, nil
	}
	targets := map[model.Site][]Target{}
	index := map[model.Site][]int{}
	for v, n := range receivers {
		targets[n.Site()], index[n.Site()] = append(targets[n.Site()], Target{n.Site(), n.Receive(total.At[n.Site()])}), append(index[n.Site()], v)
	}
	ends := componentSites(receivers)
	groups := [][]model.Site{ends}
	if len(ends) <= ownPrograms {
		groups = slices.Collect(slices.Chunk(ends, 1))
	}
	for _, group := range groups {
		var all []Target
		var of []int
		for _, s := range group {
			all, of = append(all, targets[s]...), append(of, index[s]...)
		}
		err := t.Pull(ctx, all, sites, clean, paths, func(i int, at map[model.Site][]float64) error {
			for u, n := range senders {
				if g := at[n.Site()]; g != nil {
					for r, x := range byRow(n, g) {
						out.Values[(r*len(senders)+u)*len(receivers)+of[i]] = x
					}
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ownPrograms is how many receivers' sites get a program each, which computes only the blocks that lead there; more share one program, since
// compiling would cost more than it saves.
const ownPrograms = 8

// componentSites lists the nodes' sites, each once, in the order of the pass.
func componentSites(nodes []Component) []model.Site {
	seen := map[model.Site]bool{}
	for _, n := range nodes {
		seen[n.Site()] = true
	}
	return slices.SortedFunc(maps.Keys(seen), CompareSites)
}
