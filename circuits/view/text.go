package view

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
)

// WriteDOT writes the n links of largest |score|, pruned, as a Graphviz graph that is drawn from the bottom up.
func WriteDOT(w io.Writer, g *Graph, n int) error {
	if err := g.Check(); err != nil {
		return err
	}
	links, nodes := g.Pruned(n)
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "digraph %s {\n\trankdir=BT\n\tnode [shape=box, style=rounded, fontname=\"sans-serif\"]\n", quote(g.Title))
	for _, i := range nodes {
		v := g.Nodes[i]
		fmt.Fprintf(out, "\t%s [label=%s, kind=%s]\n", quote(v.ID), quote(v.Label), quote(v.Kind))
	}
	for _, i := range links {
		l := g.Links[i]
		colour := "\"#c75000\""
		if l.Score < 0 {
			colour = "\"#0b6bb8\""
		}
		fmt.Fprintf(out, "\t%s -> %s [weight_score=%s, label=%s, color=%s]\n", quote(g.Nodes[l.From].ID), quote(g.Nodes[l.To].ID), number(l.Score), quote(l.Label), colour)
	}
	fmt.Fprintln(out, "}")
	return flush(out)
}

// quote is a double-quoted string of the dot language, where only quotes and backslashes need care.
func quote(s string) string {
	var b []byte
	b = append(b, '"')
	for _, c := range []byte(s) {
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// number prints a float so that it reads back exactly.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// graphML are the elements of a GraphML file.
type graphML struct {
	XMLName xml.Name `xml:"http://graphml.graphdrawing.org/xmlns graphml"`
	Keys    []mlKey  `xml:"key"`
	Graph   mlGraph  `xml:"graph"`
}

type mlKey struct {
	ID   string `xml:"id,attr"`
	For  string `xml:"for,attr"`
	Name string `xml:"attr.name,attr"`
	Type string `xml:"attr.type,attr"`
}

type mlGraph struct {
	ID        string   `xml:"id,attr"`
	Direction string   `xml:"edgedefault,attr"`
	Nodes     []mlNode `xml:"node"`
	Edges     []mlEdge `xml:"edge"`
}

type mlNode struct {
	ID   string   `xml:"id,attr"`
	Data []mlData `xml:"data"`
}

type mlEdge struct {
	Source string   `xml:"source,attr"`
	Target string   `xml:"target,attr"`
	Data   []mlData `xml:"data"`
}

type mlData struct {
	Key   string `xml:"key,attr"`
	Value string `xml:",chardata"`
}

// WriteGraphML writes the n links of largest |score|, pruned, as GraphML with kinds, labels, scores and inclusions.
func WriteGraphML(w io.Writer, g *Graph, n int) error {
	if err := g.Check(); err != nil {
		return err
	}
	links, nodes := g.Pruned(n)
	doc := graphML{
		Keys: []mlKey{
			{"label", "node", "label", "string"}, {"kind", "node", "kind", "string"}, {"row", "node", "row", "int"},
			{"part", "edge", "part", "string"}, {"score", "edge", "score", "double"}, {"inclusion", "edge", "inclusion", "double"},
		},
		Graph: mlGraph{ID: g.Title, Direction: "directed"},
	}
	for _, i := range nodes {
		v := g.Nodes[i]
		doc.Graph.Nodes = append(doc.Graph.Nodes, mlNode{v.ID, []mlData{{"label", v.Label}, {"kind", v.Kind}, {"row", strconv.Itoa(v.Row)}}})
	}
	for _, i := range links {
		l := g.Links[i]
		data := []mlData{{"score", number(l.Score)}}
		if l.Label != "" {
			data = append(data, mlData{"part", l.Label})
		}
		if l.Inclusion != nil {
			data = append(data, mlData{"inclusion", number(*l.Inclusion)})
		}
		doc.Graph.Edges = append(doc.Graph.Edges, mlEdge{g.Nodes[l.From].ID, g.Nodes[l.To].ID, data})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

// WriteSVG writes the n links of largest |score|, pruned, as a picture for papers: black on white, no script.
func WriteSVG(w io.Writer, g *Graph, n int) error {
	if err := g.Check(); err != nil {
		return err
	}
	links, nodes := g.Pruned(n)
	at, width, height := g.layout(nodes)
	most := 0.0
	for _, i := range links {
		most = max(most, abs(g.Links[i].Score))
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 %g %g" width="%g" height="%g" font-family="sans-serif" font-size="11">`+"\n<title>", width+20, height+20, width+20, height+20)
	if err := xml.EscapeText(out, []byte(g.Title)); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	fmt.Fprintf(out, "</title>\n<rect x=\"-10\" y=\"-10\" width=\"%g\" height=\"%g\" fill=\"#fff\"/>\n", width+20, height+20)
	for _, i := range links {
		l := g.Links[i]
		share := 1.0
		if most > 0 {
			share = abs(l.Score) / most
		}
		colour := "#c75000"
		if l.Score < 0 {
			colour = "#0b6bb8"
		}
		a, b := at[l.From], at[l.To]
		y1, y2 := a.y-nodeHeight/2, b.y+nodeHeight/2
		bend := max(20, abs(y1-y2)/2)
		side := 24 * min(abs(a.y-b.y)/cellHeight-1, 4) // links past other rows go round their boxes
		fmt.Fprintf(out, `<path d="M%g,%gC%g,%g %g,%g %g,%g" fill="none" stroke="%s" stroke-width="%.2f" opacity="%.2f"/>`+"\n", a.x, y1, a.x+side, y1-bend, b.x+side, y2+bend, b.x, y2, colour, 0.6+3*share, 0.3+0.65*share)
	}
	for _, i := range nodes {
		p := at[i]
		fmt.Fprintf(out, `<rect x="%g" y="%g" width="%g" height="%g" rx="5" fill="#eef1f5" stroke="#889"/><text x="%g" y="%g" text-anchor="middle" dominant-baseline="central">`, p.x-nodeWidth/2, p.y-nodeHeight/2, nodeWidth, nodeHeight, p.x, p.y)
		if err := xml.EscapeText(out, []byte(g.Nodes[i].Label)); err != nil {
			return fmt.Errorf("view: %w", err)
		}
		fmt.Fprintln(out, "</text>")
	}
	fmt.Fprintln(out, "</svg>")
	return flush(out)
}

func abs(v float64) float64 { return max(v, -v) }

func flush(out *bufio.Writer) error {
	if err := out.Flush(); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}
