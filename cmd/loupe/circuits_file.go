package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"loupe/circuits"
	"loupe/circuits/table"
	"loupe/circuits/tracing"
	"loupe/circuits/view"
	"loupe/internal/atomicfile"
)

// circuitFileHelp says what a circuit file may be.
const circuitFileHelp = `FILE is a circuit of loupe (.arrow), or of EAP-IG (.json, .pt).`

// jsonGraphLimit bounds a .json file, which is held in memory to see which of two forms it has.
const jsonGraphLimit = 1 << 30

// graphFile is a circuit, or an attribution graph.
type graphFile struct {
	*table.Circuit
	Attribution *tracing.File // instead of a circuit
	unscored    int           // edges without a score, which count as 0
	nodes       *circuits.Exchange
}

// readGraph reads a circuit file by its ending, or an attribution graph of circuit-tracer's form.
func readGraph(path string) (*graphFile, error) {
	switch filepath.Ext(path) {
	case ".arrow":
		c, err := table.Read(path)
		return &graphFile{Circuit: c}, err
	case ".pt":
		x, err := circuits.ReadEAPTorch(path)
		if err != nil {
			return nil, err
		}
		return ofExchange(path, x), nil
	case ".json":
		g, err := readGraphJSON(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return g, nil
	}
	return nil, usagef("%s: a circuit file ends in .arrow, .json or .pt", path)
}

// readGraphJSON reads the two forms of .json: an EAP-IG file has cfg, an attribution graph qParams.
func readGraphJSON(path string) (*graphFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, jsonGraphLimit+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > jsonGraphLimit {
		return nil, fmt.Errorf("more than %d bytes of JSON; use the .pt or .arrow form", jsonGraphLimit)
	}
	if bytes.Contains(raw, []byte(`"qParams"`)) {
		f, err := tracing.ReadFile(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		return &graphFile{Attribution: f}, nil
	}
	x, err := circuits.ReadEAPJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return ofExchange(path, x), nil
}

// readCircuit is readGraph of a circuit alone.
func readCircuit(path string) (*table.Circuit, error) {
	g, err := readGraph(path)
	if err != nil {
		return nil, err
	}
	if g.Circuit == nil {
		return nil, fmt.Errorf("%s is an attribution graph of one prompt; this command takes a circuit of edges between heads and MLPs", path)
	}
	return g.Circuit, nil
}

// ofExchange is an EAP-IG file as a table; scores that it lacks are 0.
func ofExchange(path string, x *circuits.Exchange) *graphFile {
	c := &table.Circuit{Provenance: table.Provenance{Model: filepath.Base(path), Width: x.Width, Method: "EAP-IG file"}, Graph: x.Graph, Keep: x.Keep}
	g := &graphFile{Circuit: c, nodes: x}
	c.Scores = make([]float64, len(x.Scores))
	for _, e := range x.Graph.Edges() {
		if at := x.Graph.At(e); math.IsNaN(x.Scores[at]) {
			g.unscored++
		} else {
			c.Scores[at] = x.Scores[at]
		}
	}
	return g
}

// exchange is a circuit as an EAP-IG file; what an EAP-IG file holds beyond edges is kept.
func (g *graphFile) exchange() *circuits.Exchange {
	if g.nodes != nil {
		return g.nodes
	}
	x := &circuits.Exchange{Graph: g.Graph, Width: g.Width, Scores: g.Scores, Keep: g.Keep, Nodes: make([]bool, len(g.Graph.Senders))}
	_, senders := circuits.Prune(g.Of())
	for _, u := range senders {
		x.Nodes[u] = true
	}
	return x
}

// picture is what is drawn, and the number of links of a static picture: those of the circuit, or top.
func (g *graphFile) picture(title string, top int) (*view.Graph, int, error) {
	if g.Attribution != nil {
		v, err := view.OfAttribution(title, g.Attribution, top)
		if err != nil {
			return nil, 0, err
		}
		return v, v.Top, nil
	}
	c := g.Of()
	if top > 0 {
		c = circuits.TopN(g.Graph, g.Scores, top)
	}
	if c.Len() == 0 {
		return nil, 0, errors.New("the circuit keeps no edge; say how many are drawn with --top, or choose edges with `loupe circuits discover`")
	}
	v, err := view.OfCircuit(title, g.Graph, g.Scores, c, g.Inclusion)
	if err != nil {
		return nil, 0, err
	}
	if v.Note = g.note(); top == 0 {
		v.Note = strings.TrimPrefix(v.Note+"; at first as many edges as the circuit has, by score", "; ")
	}
	return v, v.Top, nil
}

// note is where a circuit comes from, in a line.
func (g *graphFile) note() string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"model", g.Model}, {"task", g.Task}, {"metric", g.Metric}, {"scores", g.Method}, {"ablation", g.Ablation}, {"edges", g.Selection}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

// outForms are the endings that writeGraph knows.
var outForms = []string{".arrow", ".json", ".pt", ".html", ".svg", ".dot", ".graphml"}

// writeGraph writes a circuit or attribution graph in the form that the ending of path names.
func writeGraph(path, title string, g *graphFile, top int) error {
	ext := filepath.Ext(path)
	if !slices.Contains(outForms, ext) {
		return usagef("--out %s: the ending is one of %s", path, strings.Join(outForms, ", "))
	}
	if g.Attribution != nil && (ext == ".arrow" || ext == ".pt") {
		return usagef("--out %s: an attribution graph is written as .json, .html, .svg, .dot or .graphml", path)
	}
	switch ext {
	case ".arrow":
		return table.Write(path, g.Circuit)
	case ".pt":
		return circuits.WriteEAPTorch(path, g.exchange())
	case ".json":
		return atomicfile.Write(path, func(w io.Writer) error {
			if g.Attribution != nil {
				return g.Attribution.Write(w)
			}
			return circuits.WriteEAPJSON(w, g.exchange())
		})
	}
	v, n, err := g.picture(title, top)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		switch ext {
		case ".html":
			return view.WriteHTML(w, v)
		case ".svg":
			return view.WriteSVG(w, v, n)
		case ".dot":
			return view.WriteDOT(w, v, n)
		default:
			return view.WriteGraphML(w, v, n)
		}
	})
}
