package view

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Graph is a picture's nodes and links. Rows are drawn from the bottom (0) up.
type Graph struct {
	Title string `json:"title"`
	Note  string `json:"note,omitempty"` // a sentence below the title
	Nodes []Node `json:"nodes"`
	Links []Link `json:"links"`
	Top   int    `json:"top"` // links that the page shows at first
}

// Node is a node. A root counts as entered and a sink as left when links are pruned.
type Node struct {
	ID     string   `json:"id"`
	Label  string   `json:"label"`
	Kind   string   `json:"kind"` // gives its colour
	Row    int      `json:"row"`
	Column int      `json:"column"`
	Root   bool     `json:"root,omitempty"`
	Sink   bool     `json:"sink,omitempty"`
	Score  *float64 `json:"score,omitempty"`
	Text   []string `json:"text,omitempty"` // further lines about it
}

// Link joins two nodes by their indices.
type Link struct {
	From      int      `json:"from"`
	To        int      `json:"to"`
	Label     string   `json:"label,omitempty"` // what of the target reads it: q, k or v
	Score     float64  `json:"score"`
	Inclusion *float64 `json:"inclusion,omitempty"` // share of bootstrap circuits that have it
}

// Check refuses what cannot be drawn: no node, equal ids, links to nowhere, scores that are no numbers.
func (g *Graph) Check() error {
	if len(g.Nodes) == 0 {
		return fmt.Errorf("view: graph %q has no nodes", g.Title)
	}
	seen := map[string]bool{}
	for _, n := range g.Nodes {
		if n.ID == "" || seen[n.ID] {
			return fmt.Errorf("view: graph %q: node id %q is empty or there twice", g.Title, n.ID)
		}
		seen[n.ID] = true
		if n.Score != nil && !finite(*n.Score) {
			return fmt.Errorf("view: graph %q: node %s has score %v", g.Title, n.ID, *n.Score)
		}
	}
	for i, l := range g.Links {
		if l.From < 0 || l.From >= len(g.Nodes) || l.To < 0 || l.To >= len(g.Nodes) || l.From == l.To {
			return fmt.Errorf("view: graph %q: link %d joins %d and %d of %d nodes", g.Title, i, l.From, l.To, len(g.Nodes))
		}
		if !finite(l.Score) || l.Inclusion != nil && !finite(*l.Inclusion) {
			return fmt.Errorf("view: graph %q: link %d has score %v", g.Title, i, l.Score)
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Pruned are the indices of the n links of largest |score|, in the graph's order, less those of nodes that nothing enters or leaves; of equal
// scores the earlier links stay. Then the nodes that are left.
func (g *Graph) Pruned(n int) (links, nodes []int) {
	order := make([]int, len(g.Links))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(math.Abs(g.Links[b].Score), math.Abs(g.Links[a].Score))
	})
	links = order[:min(max(n, 0), len(order))]
	slices.Sort(links)
	for {
		in, out := make([]bool, len(g.Nodes)), make([]bool, len(g.Nodes))
		for i, node := range g.Nodes {
			in[i], out[i] = node.Root, node.Sink
		}
		for _, l := range links {
			out[g.Links[l].From], in[g.Links[l].To] = true, true
		}
		left := slices.DeleteFunc(slices.Clone(links), func(l int) bool {
			from, to := g.Links[l].From, g.Links[l].To
			return !in[from] || !out[from] || !in[to] || !out[to]
		})
		if len(left) == len(links) {
			break
		}
		links = left
	}
	used := make([]bool, len(g.Nodes))
	for _, l := range links {
		used[g.Links[l].From], used[g.Links[l].To] = true, true
	}
	for i := range g.Nodes {
		if used[i] {
			nodes = append(nodes, i)
		}
	}
	return links, nodes
}

// place is where a node is drawn.
type place struct{ x, y float64 }

const (
	cellWidth, cellHeight = 76.0, 64.0
	nodeWidth, nodeHeight = 60.0, 24.0
)

// layout places nodes row by row from the bottom, without empty rows, each row centred; it returns the picture's size too.
func (g *Graph) layout(nodes []int) (at map[int]place, width, height float64) {
	rows := map[int][]int{}
	var order []int
	for _, n := range nodes {
		r := g.Nodes[n].Row
		if rows[r] == nil {
			order = append(order, r)
		}
		rows[r] = append(rows[r], n)
	}
	slices.Sort(order)
	widest := 1
	for _, r := range order {
		slices.SortStableFunc(rows[r], func(a, b int) int { return cmp.Compare(g.Nodes[a].Column, g.Nodes[b].Column) })
		widest = max(widest, len(rows[r]))
	}
	width, height = float64(widest)*cellWidth, float64(max(len(order), 1))*cellHeight
	at = map[int]place{}
	for i, r := range order {
		y := height - (float64(i)+0.5)*cellHeight
		left := (width - float64(len(rows[r]))*cellWidth) / 2
		for j, n := range rows[r] {
			at[n] = place{left + (float64(j)+0.5)*cellWidth, y}
		}
	}
	return at, width, height
}
