package features

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/probe/model"
)

// TestBesideHeads: heads, MLPs, latents and an error are senders and receivers of one call, and what heads send adds up over all of them.
func TestBesideHeads(t *testing.T) {
	task := goldenTask(t, "gpt2-a", "cases/gpt2-a", circuits.LogitDiff(), func(row int) bool { return row < 2 })
	code := coded(t, task, "blocks.1.hook_resid_pre")
	senderSites := circuits.SenderSites(task.Model.Spec)
	a := must[*circuits.Activations](t)(task.Activations(t.Context(), append(senderSites, code.Sites()...)))
	senders := must[[]circuits.Component](t)(a.Senders())
	var receivers []circuits.Component
	for _, n := range senders {
		if n.Site().Layer == 0 && n.Site().Kind != model.Embed && n.Site().Kind != model.PosEmbed {
			receivers = append(receivers, n)
		}
	}
	early := len(receivers) // heads and the MLP before the dictionary's site; past it everything goes through features or the error
	for _, n := range everyNode(code, false) {
		receivers = append(receivers, must[circuits.Component](t)(code.Component(n)))
	}
	s := must[*circuits.ComponentScores](t)(circuits.AttributeComponents(t.Context(), task, senders, receivers, a.Clean, circuits.Paths{Held: append(senderSites, code.Sites()...)}))
	var sums, want []float64
	for u, n := range senders {
		if n.Site().Layer > 0 || n.Site().Kind == model.Embed || n.Site().Kind == model.PosEmbed {
			continue
		}
		for r := range s.Rows {
			sum := s.Loss[r*len(senders)+u]
			for v := range receivers {
				sum += s.Values[(r*len(senders)+u)*len(receivers)+v]
			}
			sums, want = append(sums, sum), append(want, s.Total[r*len(senders)+u])
		}
	}
	if len(want) == 0 || early != task.Model.Spec.Heads+1 {
		t.Fatalf("%d sums, %d early receivers", len(want), early)
	}
	near(t, "what heads and the MLP send", sums, want, 1e-3)
}

// TestChunks: rows that run in chunks give the effects, edges and losses of one batch.
func TestChunks(t *testing.T) {
	whole := goldenTask(t, "gpt2-a", "cases/gpt2-a", circuits.LogitDiff(), func(row int) bool { return row < 3 })
	opt := circuits.Options{SweepRows: 4}
	opt.Budget = 2 * must[*circuits.Memory](t)(circuits.EstimateMemory(whole.Model.Spec, 3, whole.Pairs.Seq, opt)).Row
	parts := must[*circuits.Task](t)(circuits.NewTask(t.Context(), whole.Engine, whole.Model, whole.Pairs, circuits.LogitDiff(), opt))
	var results [2][]float64
	for i, task := range []*circuits.Task{whole, parts} {
		code := coded(t, task, "blocks.0.hook_mlp_out", "blocks.1.hook_resid_pre")
		nodes := must[*Effects](t)(code.IG(t.Context(), 3)).Nodes(false)
		slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name(), b.Name()) })
		g := must[*Graph](t)(code.Edges(t.Context(), nodes, 0))
		slices.SortFunc(g.Edges, func(a, b Edge) int { return cmp.Or(a.From-b.From, a.To-b.To) })
		for _, n := range nodes {
			results[i] = append(results[i], n.PerRow...)
		}
		for _, e := range g.Edges {
			results[i] = append(results[i], e.PerRow...)
		}
		for _, rows := range must[[][]float64](t)(code.Losses(t.Context(), [][]Node{nodes[:5], nodes[5:9]}, Judge{MeanPositional, ErrorsKept})) {
			results[i] = append(results[i], rows...)
		}
	}
	near(t, "in chunks", results[1], results[0], 1e-4)
}
