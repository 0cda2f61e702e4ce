package view

import (
	"fmt"
	"slices"
	"strconv"

	"loupe/circuits/tracing"
)

// OfAttribution is an attribution graph as a picture: tokens at the bottom, then the features and errors of each layer, the logits on top; columns
// are positions. The page shows top links at first, or all where top is 0. A file whose links are ambiguous is an error.
func OfAttribution(title string, f *tracing.File, top int) (*Graph, error) {
	ends, err := f.Ends()
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if top == 0 {
		top = len(f.Links)
	}
	out := &Graph{Title: title, Note: f.Metadata.Prompt, Top: top}
	highest := 0
	nodes := slices.Concat(f.Nodes, f.QKOnlyNodes)
	for _, n := range nodes {
		if l, err := strconv.Atoi(n.Layer); err == nil {
			highest = max(highest, l)
		}
	}
	for _, n := range nodes {
		node := Node{ID: n.NodeID, Label: n.NodeID, Kind: n.FeatureType, Column: n.CtxIdx, Score: n.Influence, Text: []string{
			fmt.Sprintf("%s at position %d, %q", n.FeatureType, n.CtxIdx, f.Metadata.PromptTokens[n.CtxIdx]),
		}}
		switch n.FeatureType {
		case tracing.TypeToken:
			node.Label, node.Root = f.Metadata.PromptTokens[n.CtxIdx], true
		case tracing.TypeError: // nothing enters an error
			node.Label, node.Root = "error", true
		case tracing.TypeLogit:
			node.Label, node.Sink = fmt.Sprintf("%.0f %%", 100*n.TokenProb), true
		}
		if l, err := strconv.Atoi(n.Layer); err == nil {
			node.Row = min(1+l, highest+1)
		}
		if n.Clerp != "" {
			node.Text = append(node.Text, n.Clerp)
		}
		if n.Activation != nil {
			node.Text = append(node.Text, fmt.Sprintf("activation %.4g", *n.Activation))
		}
		out.Nodes = append(out.Nodes, node)
	}
	distinct(out.Nodes)
	for i, l := range f.Links {
		out.Links = append(out.Links, Link{From: ends[i][0], To: ends[i][1], Score: l.Weight})
	}
	return out, out.Check()
}

// distinct tells nodes apart that have one id and different types, none of which has a link.
func distinct(nodes []Node) {
	seen := map[string]bool{}
	for i := range nodes {
		if seen[nodes[i].ID] {
			nodes[i].ID = nodes[i].Kind + " " + nodes[i].ID
		}
		seen[nodes[i].ID] = true
	}
}
