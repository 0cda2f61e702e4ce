package view_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/circuits/view"
)

// random is a graph of 3 blocks with 4 heads and random scores.
func random(t *testing.T, parallel bool) (*circuits.EdgeGraph, []float64, *view.Graph) {
	t.Helper()
	g, err := circuits.NewEdgeGraph(3, 4, parallel)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	scores, inclusion := make([]float64, g.Size()), make([]float64, g.Size())
	for i := range scores {
		scores[i], inclusion[i] = math.Round(50*r.NormFloat64())/50, r.Float64() // with ties
	}
	v, err := view.OfCircuit(`a "circuit" <of> three`, g, scores, circuits.TopN(g, scores, 30), inclusion)
	if err != nil {
		t.Fatal(err)
	}
	return g, scores, v
}

// TestPruned: the picture keeps the edges and nodes that TopN and Prune keep, for every n.
func TestPruned(t *testing.T) {
	for _, parallel := range []bool{false, true} {
		g, scores, v := random(t, parallel)
		if len(v.Links) != len(g.Edges()) || len(v.Nodes) != len(g.Senders)+1 || v.Top != 30 {
			t.Fatalf("%d links of %d edges, %d nodes of %d", len(v.Links), len(g.Edges()), len(v.Nodes), len(g.Senders)+1)
		}
		edges := g.Edges()
		for n := 0; n <= len(edges); n += 3 {
			want, senders := circuits.Prune(circuits.TopN(g, scores, n))
			links, nodes := v.Pruned(n)
			var got []circuits.Edge
			for _, i := range links {
				got = append(got, edges[i])
			}
			if !slices.Equal(got, want.Edges()) {
				t.Fatalf("n = %d: %d links, want %d", n, len(got), want.Len())
			}
			if want.Len() == 0 {
				continue
			}
			// the picture has the logits too, and no input that nothing reads
			if nodes[len(nodes)-1] != len(g.Senders) || !slices.Equal(nodes[:len(nodes)-1], senders) {
				t.Errorf("n = %d: nodes %v, want %v and the logits", n, nodes, senders)
			}
		}
	}
}

// TestHand: of three links the one into a dead end goes.
func TestHand(t *testing.T) {
	g := &view.Graph{Title: "hand", Top: 3, Nodes: []view.Node{{ID: "in", Label: "in", Root: true}, {ID: "a", Label: "a", Row: 1}, {ID: "b", Label: "b", Row: 1, Column: 1}, {ID: "out", Label: "out", Row: 2, Sink: true}},
		Links: []view.Link{{From: 0, To: 1, Score: 3}, {From: 0, To: 2, Score: -2}, {From: 1, To: 3, Score: 1}, {From: 2, To: 3, Score: 0.5}}}
	links, nodes := g.Pruned(3)
	if !slices.Equal(links, []int{0, 2}) || !slices.Equal(nodes, []int{0, 1, 3}) {
		t.Errorf("links %v, nodes %v", links, nodes)
	}
	var dot bytes.Buffer
	if err := view.WriteDOT(&dot, g, 3); err != nil {
		t.Fatal(err)
	}
	want := "digraph \"hand\" {\n\trankdir=BT\n\tnode [shape=box, style=rounded, fontname=\"sans-serif\"]\n\t\"in\" [label=\"in\", kind=\"\"]\n\t\"a\" [label=\"a\", kind=\"\"]\n\t\"out\" [label=\"out\", kind=\"\"]\n" +
		"\t\"in\" -> \"a\" [weight_score=3, label=\"\", color=\"#c75000\"]\n\t\"a\" -> \"out\" [weight_score=1, label=\"\", color=\"#c75000\"]\n}\n"
	if dot.String() != want {
		t.Errorf("dot:\n%s\nwant\n%s", dot.String(), want)
	}
}

// TestFiles: GraphML and SVG are well-formed, hold what is left after pruning, and escape the title; the page refers to nothing outside.
func TestFiles(t *testing.T) {
	_, _, v := random(t, false)
	links, nodes := v.Pruned(40)
	var ml, svg, html bytes.Buffer
	if err := view.WriteGraphML(&ml, v, 40); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Graph struct {
			ID    string `xml:"id,attr"`
			Nodes []struct {
				ID string `xml:"id,attr"`
			} `xml:"node"`
			Edges []struct {
				Source string `xml:"source,attr"`
				Target string `xml:"target,attr"`
				Data   []struct {
					Key   string `xml:"key,attr"`
					Value string `xml:",chardata"`
				} `xml:"data"`
			} `xml:"edge"`
		} `xml:"graph"`
	}
	if err := xml.Unmarshal(ml.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Graph.ID != v.Title || len(doc.Graph.Nodes) != len(nodes) || len(doc.Graph.Edges) != len(links) {
		t.Errorf("GraphML has %q with %d nodes and %d edges, want %d and %d", doc.Graph.ID, len(doc.Graph.Nodes), len(doc.Graph.Edges), len(nodes), len(links))
	}
	for i, e := range doc.Graph.Edges {
		l := v.Links[links[i]]
		if got, err := strconv.ParseFloat(e.Data[0].Value, 64); err != nil || got != l.Score || e.Source != v.Nodes[l.From].ID || e.Target != v.Nodes[l.To].ID {
			t.Errorf("edge %d: %+v, want %+v", i, e, l)
		}
	}
	if err := view.WriteSVG(&svg, v, 40); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(svg.Bytes(), new(struct{})); err != nil {
		t.Errorf("SVG: %v", err)
	}
	if got := strings.Count(svg.String(), "<path "); got != len(links) {
		t.Errorf("SVG has %d paths, want %d", got, len(links))
	}
	if err := view.WriteHTML(&html, v); err != nil {
		t.Fatal(err)
	}
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9.-]+\.[a-z]{2,}`).FindAllString(html.String(), -1)
	for _, a := range outside {
		if a != "http://www.w3.org" { // the name of SVG's vocabulary, which nothing fetches
			t.Errorf("the page names %s", a)
		}
	}
	if strings.Contains(html.String(), "<of>") {
		t.Error("the title is not escaped")
	}
	var again bytes.Buffer
	if err := view.WriteHTML(&again, v); err != nil || !bytes.Equal(html.Bytes(), again.Bytes()) {
		t.Error("equal graphs give other bytes")
	}
}

// TestPageInBrowser opens the page in headless Chromium and counts what it draws at several settings of the slider.
func TestPageInBrowser(t *testing.T) {
	browser, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("no chromium on this machine; what the page draws is not looked at")
	}
	_, _, v := random(t, true)
	file := filepath.Join(t.TempDir(), "graph.html")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := view.WriteHTML(out, v); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 12, 60, len(v.Links)} {
		links, nodes := v.Pruned(n)
		cmd := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+t.TempDir(), "--dump-dom", fmt.Sprintf("file://%s#top=%d", file, n))
		dom, err := cmd.Output()
		if err != nil {
			t.Fatalf("chromium: %v", err)
		}
		page := string(dom)
		_, drawn, _ := strings.Cut(page, `<svg id="graph"`)
		drawn, _, _ = strings.Cut(drawn, "</svg>")
		if got := strings.Count(drawn, "<path "); got != len(links) {
			t.Errorf("top %d: %d paths, want %d", n, got, len(links))
		}
		if got := strings.Count(drawn, "<rect "); got != len(nodes) {
			t.Errorf("top %d: %d boxes, want %d", n, got, len(nodes))
		}
		if !strings.Contains(page, fmt.Sprintf(`<output id="edges">%d</output> links, <output id="nodes">%d</output>`, len(links), len(nodes))) {
			t.Errorf("top %d: the counts are not %d and %d", n, len(links), len(nodes))
		}
	}
}

func TestErrors(t *testing.T) {
	ok := func() *view.Graph {
		return &view.Graph{Title: "t", Nodes: []view.Node{{ID: "a"}, {ID: "b"}}, Links: []view.Link{{From: 0, To: 1, Score: 1}}}
	}
	nan := math.NaN()
	for want, change := range map[string]func(*view.Graph){
		"no nodes":   func(g *view.Graph) { g.Nodes = nil },
		"twice":      func(g *view.Graph) { g.Nodes[1].ID = "a" },
		"joins 0":    func(g *view.Graph) { g.Links[0].To = 2 },
		"score NaN":  func(g *view.Graph) { g.Links[0].Score = nan },
		"node a has": func(g *view.Graph) { g.Nodes[0].Score = &nan },
	} {
		g := ok()
		change(g)
		for _, write := range []func() error{
			func() error { return view.WriteHTML(&bytes.Buffer{}, g) }, func() error { return view.WriteDOT(&bytes.Buffer{}, g, 1) },
			func() error { return view.WriteGraphML(&bytes.Buffer{}, g, 1) }, func() error { return view.WriteSVG(&bytes.Buffer{}, g, 1) },
		} {
			if err := write(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", want, err)
			}
		}
	}
	g, err := circuits.NewEdgeGraph(1, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := view.OfCircuit("t", g, make([]float64, 3), circuits.NewCircuit(g), nil); err == nil {
		t.Error("three scores are no error")
	}
}
