package tracing

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Naming is what a file says beside its graph.
type Naming struct {
	Slug, Scan string               // name of the graph, name of the model
	Prompt     string               // "": the tokens joined
	Tokens     []string             // of the prompt
	Token      func(int32) string   // text of a token of the vocabulary
	Label      func(Feature) string // what a feature is said to mean; nil: nothing
	Coders     []string             // names of the dictionary's parts
	// Distinct writes the ids of errors as error_{layer}_{position}, which collide with no feature's. circuit-tracer's form, 0_{layer}_{position},
	// is the default, and refused where two kept nodes would have one id.
	Distinct bool
}

// NewFile is the pruned graph as a file. Features and errors without an edge are left out; tokens and logits stay.
func NewFile(g *Graph, p *Pruned, n Naming) (*File, error) {
	if len(n.Tokens) != len(g.Tokens) || n.Token == nil || len(p.Nodes) != g.Nodes() || len(p.Edges) != len(g.A) {
		return nil, fmt.Errorf("tracing: file: %d texts for %d tokens, %d of %d nodes; the naming needs every token's text, and the pruning must be this graph's", len(n.Tokens), len(g.Tokens), len(p.Nodes), g.Nodes())
	}
	used, c := make([]bool, g.Nodes()), g.Columns()
	for i := range used {
		used[i] = i >= len(g.Features)+len(g.Errors)
	}
	f := &File{QParams: QParams{PinnedIDs: []string{}, Supernodes: [][]string{}, LinkType: "both"}, Nodes: []FileNode{}, Links: []FileLink{}}
	for r := range g.Rows() {
		for j, kept := range p.Edges[r*c : (r+1)*c] {
			if kept {
				used[j], used[g.Node(r)] = true, true
				f.Links = append(f.Links, FileLink{g.fileNode(j, n).NodeID, g.fileNode(g.Node(r), n).NodeID, g.A[r*c+j]})
			}
		}
	}
	for i, u := range used {
		if !u {
			continue
		}
		node := g.fileNode(i, n)
		if node.FeatureType != TypeLogit {
			share := p.Cumulative[i]
			node.Influence = &share
		}
		f.Nodes = append(f.Nodes, node)
	}
	version, threshold := 1, p.Pruning.Nodes
	f.Metadata = Metadata{Slug: n.Slug, Scan: n.Scan, TranscoderList: append([]string{}, n.Coders...), PromptTokens: n.Tokens, Prompt: n.Prompt, NodeThreshold: &threshold, SchemaVersion: &version}
	if f.Metadata.Prompt == "" {
		f.Metadata.Prompt = strings.Join(n.Tokens, "")
	}
	var err error
	if f.Metadata.PruningSettings, err = json.Marshal(map[string]float64{"node_threshold": p.Pruning.Nodes, "edge_threshold": p.Pruning.Edges}); err != nil {
		return nil, fmt.Errorf("tracing: file: %w", err)
	}
	if _, err := f.Ends(); err != nil {
		return nil, fmt.Errorf("%w; set Distinct for ids that do not collide", err)
	}
	return f, nil
}

// fileNode is node i of the graph without its influence.
func (g *Graph) fileNode(i int, n Naming) FileNode {
	f, e, t := len(g.Features), len(g.Errors), len(g.Tokens)
	switch {
	case i < f:
		x := g.Features[i]
		activation := x.Activation
		out := FileNode{
			NodeID: fmt.Sprintf("%d_%d_%d", x.Layer, x.Index, x.Position), Feature: cantor(x.Layer, x.Index), Layer: fmt.Sprint(x.Layer), CtxIdx: x.Position,
			FeatureType: TypeFeature, JSNodeID: fmt.Sprintf("%d_%d-0", x.Layer, x.Index), Activation: &activation,
		}
		if n.Label != nil {
			out.Clerp = n.Label(x)
		}
		return out
	case i < f+e:
		x := g.Errors[i-f]
		prefix := "0"
		if n.Distinct {
			prefix = "error"
		}
		return FileNode{
			NodeID: fmt.Sprintf("%s_%d_%d", prefix, x.Layer, x.Position), Feature: -1, Layer: fmt.Sprint(x.Layer), CtxIdx: x.Position,
			FeatureType: TypeError, JSNodeID: fmt.Sprintf("%d_%d-0", x.Layer, x.Position),
		}
	case i < f+e+t:
		p := i - f - e
		token := g.Tokens[p]
		return FileNode{
			NodeID: fmt.Sprintf("E_%d_%d", token, p), Feature: int64(p), Layer: "E", CtxIdx: p,
			FeatureType: TypeToken, JSNodeID: fmt.Sprintf("E_%d-%d", token, p),
		}
	}
	x := g.Logits[i-f-e-t]
	return FileNode{
		NodeID: fmt.Sprintf("%d_%d_%d", g.Layers+1, x.Token, t-1), Feature: int64(x.Token), Layer: fmt.Sprint(g.Layers + 1), CtxIdx: t - 1,
		FeatureType: TypeLogit, JSNodeID: fmt.Sprintf("L_%d-%d", x.Token, t-1), Clerp: fmt.Sprintf("Output %q (p=%.3f)", n.Token(x.Token), x.Probability),
		TokenProb: x.Probability, IsTargetLogit: i == f+e+t,
	}
}

// cantor pairs a layer and a feature's index in one number.
func cantor(l, f int) int64 {
	a, b := int64(l), int64(f)
	return (a+b)*(a+b+1)/2 + b
}
