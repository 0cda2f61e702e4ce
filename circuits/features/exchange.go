package features

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"loupe/internal/atomicfile"
	"loupe/probe/model"
)

// maxFile bounds the graph files that are read, in bytes.
const maxFile = 1 << 30

// graphFile is the JSON form of a Graph: edges are sparse, [from, to, weight] with to -1 for the loss.
type graphFile struct {
	Format string     `json:"format"`
	Nodes  []nodeFile `json:"nodes"`
	Edges  []edgeFile `json:"edges"`
}

type nodeFile struct {
	Site string `json:"site"`
	Node
	PerRow []float64 `json:"per_row,omitempty"`
}

type edgeFile struct {
	From   int       `json:"from"`
	To     int       `json:"to"`
	Weight float64   `json:"weight"`
	PerRow []float64 `json:"per_row,omitempty"`
}

const graphFormat = "loupe feature circuit 1"

// WriteFile writes the graph as JSON.
func (g *Graph) WriteFile(path string) error {
	if err := g.check(); err != nil {
		return err
	}
	f := graphFile{Format: graphFormat, Nodes: []nodeFile{}, Edges: []edgeFile{}}
	for _, n := range g.Nodes {
		f.Nodes = append(f.Nodes, nodeFile{n.Site.String(), n, n.PerRow})
	}
	for _, e := range g.Edges {
		f.Edges = append(f.Edges, edgeFile(e))
	}
	return atomicfile.Write(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(f) })
}

// ReadFile reads what WriteFile wrote.
func ReadFile(path string) (*Graph, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("features: %s has %d bytes; a graph has at most %d", path, info.Size(), maxFile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	g, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return g, nil
}

// parse reads a graph's JSON.
func parse(raw []byte) (*Graph, error) {
	var f graphFile
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("features: graph: %w", err)
	}
	if f.Format != graphFormat {
		return nil, fmt.Errorf("features: graph of format %q; this reads %q", f.Format, graphFormat)
	}
	g := &Graph{}
	for i, n := range f.Nodes {
		site, err := model.ParseSite(n.Site)
		if err != nil {
			return nil, fmt.Errorf("features: graph: node %d: %w", i, err)
		}
		if n.Feature < ErrorFeature || n.Position < AllPositions {
			return nil, fmt.Errorf("features: graph: node %d is feature %d at position %d", i, n.Feature, n.Position)
		}
		n.Node.Site, n.Node.PerRow = site, n.PerRow
		g.Nodes = append(g.Nodes, n.Node)
	}
	for _, e := range f.Edges {
		g.Edges = append(g.Edges, Edge(e))
	}
	return g, g.check()
}
