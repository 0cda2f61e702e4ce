package main

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/circuits/table"
	"loupe/circuits/tracing"
	"loupe/circuits/view"
	"loupe/internal/graphtest"
)

// writeCircuit writes a circuit of a random graph of 2 layers of 4 heads, and returns it with its path.
func writeCircuit(t *testing.T, seed uint64) (*table.Circuit, string) {
	t.Helper()
	g, err := circuits.NewEdgeGraph(2, 4, false)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	c := &table.Circuit{Graph: g, Scores: make([]float64, g.Size()), Provenance: table.Provenance{Width: 4, Task: "ioi", Method: "mask_ig"}}
	for _, e := range g.Edges() {
		c.Scores[g.At(e)] = r.NormFloat64()
	}
	c.Keep = circuits.Greedy(g, c.Scores, 20).Keep
	path := filepath.Join(t.TempDir(), "c.arrow")
	if err := table.Write(path, c); err != nil {
		t.Fatal(err)
	}
	return c, path
}

// ok runs a command that must succeed, and reads its JSON into v.
func ok(t *testing.T, v any, args ...string) {
	t.Helper()
	code, out, errs := cli(t, append(args, "--json")...)
	if code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, errs)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		t.Fatalf("%v: %v in\n%s", args, err, out)
	}
}

// TestCircuitsConvert: a circuit keeps its edges and scores (float32 in .pt) through every form that is read back, and pictures are written.
func TestCircuitsConvert(t *testing.T) {
	want, path := writeCircuit(t, 1)
	dir := t.TempDir()
	from := path
	for _, name := range []string{"a.json", "b.pt", "c.arrow"} {
		to := filepath.Join(dir, name)
		var w writtenGraph
		ok(t, &w, "circuits", "convert", from, to)
		got, err := readCircuit(to)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Keep, want.Keep) || w.Kept != 20 || w.Edges != len(want.Graph.Edges()) {
			t.Errorf("%s: other edges, %+v", name, w)
		}
		for i, v := range got.Scores {
			if math.Abs(v-want.Scores[i]) > 1e-7*math.Abs(want.Scores[i]) {
				t.Fatalf("%s: score %d is %v, want %v", name, i, v, want.Scores[i])
			}
		}
		from = to
	}
	for _, name := range []string{"x.svg", "x.dot", "x.graphml"} {
		to := filepath.Join(dir, name)
		ok(t, nil, "circuits", "view", path, "--out", to)
		if info, err := os.Stat(to); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCircuitsPageIsTop: the page that `view` writes has a node for every sender and the logits and a link for every row of the table, refers to
// no outside address, and what it shows at N edges is what `graph --top N` lists.
func TestCircuitsPageIsTop(t *testing.T) {
	c, path := writeCircuit(t, 2)
	page := filepath.Join(t.TempDir(), "p.html")
	ok(t, nil, "circuits", "view", path, "--out", page)
	html, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if at := regexp.MustCompile(`(?i)(src|href)\s*=\s*"[^"#]|url\(|@import|fetch\(|XMLHttpRequest`).Find(html); at != nil {
		t.Errorf("the page refers to something outside: %s", at)
	}
	start := strings.Index(string(html), `{"title"`)
	if start < 0 {
		t.Fatal("the page holds no graph")
	}
	var g view.Graph
	if err := json.NewDecoder(strings.NewReader(string(html)[start:])).Decode(&g); err != nil {
		t.Fatal(err)
	}
	edges := c.Graph.Edges()
	if len(g.Nodes) != len(c.Graph.Senders)+1 || len(g.Links) != len(edges) || g.Top != 20 {
		t.Fatalf("%d nodes, %d links, %d shown", len(g.Nodes), len(g.Links), g.Top)
	}
	for _, n := range []string{"15", "20", "60"} {
		var r graphReport
		ok(t, &r, "circuits", "graph", path, "--top", n)
		var top int
		if err := json.Unmarshal([]byte(n), &top); err != nil {
			t.Fatal(err)
		}
		links, nodes := g.Pruned(top)
		var names, listed, kept []string
		for _, i := range links {
			names = append(names, c.Graph.Name(edges[i]))
		}
		for _, e := range r.Edges {
			listed = append(listed, e.Edge)
		}
		for _, i := range nodes {
			kept = append(kept, g.Nodes[i].ID)
		}
		slices.Sort(names)
		slices.Sort(listed)
		if len(names) == 0 || !slices.Equal(names, listed) || !slices.Equal(kept, r.Nodes) {
			t.Errorf("top %s: the page shows %v of %v, the list has %v of %v", n, names, kept, listed, r.Nodes)
		}
	}
}

// TestCircuitsCompare: a circuit shares all edges with itself; of two, gained and lost are what one has alone.
func TestCircuitsCompare(t *testing.T) {
	a, one := writeCircuit(t, 1)
	b, other := writeCircuit(t, 2)
	var r compareReport
	ok(t, &r, "circuits", "compare", one, one)
	if r.Jaccard != 1 || r.Size.Z < 5 || len(r.Gained)+len(r.Lost) != 0 {
		t.Errorf("with itself: %+v", r)
	}
	ok(t, &r, "circuits", "compare", one, other)
	if r.Jaccard != circuits.Jaccard(a.Of(), b.Of()) || len(r.Lost)+r.Shared != 20 || len(r.Gained)+r.Shared != 20 {
		t.Errorf("%+v", r)
	}
}

// TestCircuitsFilesRefused: what is no circuit is refused with the thing, the place and the cure.
func TestCircuitsFilesRefused(t *testing.T) {
	_, path := writeCircuit(t, 1)
	dir := t.TempDir()
	file := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	cfg := `{"cfg": {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": false, "d_model": 2}, "nodes": {%}, "edges": {`
	unknown := file("unknown.json", strings.Replace(cfg, "%", "", 1)+`"a7.h0->m0": {"in_graph": true}}}`)
	node := file("node.json", strings.Replace(cfg, "%", `"a3.h0": {"in_graph": true}`, 1)+`}}`)
	graphNode := func(id, layer, kind string) tracing.FileNode {
		return tracing.FileNode{NodeID: id, JSNodeID: id, Layer: layer, FeatureType: kind, Clerp: "x", IsTargetLogit: kind == tracing.TypeLogit}
	}
	colliding, err := json.Marshal(tracing.File{
		Metadata: tracing.Metadata{Slug: "s", Scan: "m", TranscoderList: []string{}, PromptTokens: []string{"a"}, Prompt: "a"},
		QParams:  tracing.QParams{PinnedIDs: []string{}, Supernodes: [][]string{}},
		Nodes:    []tracing.FileNode{graphNode("0_1_0", "0", tracing.TypeFeature), graphNode("0_1_0", "1", tracing.TypeError), graphNode("27_2_0", "27", tracing.TypeLogit)},
		Links:    []tracing.FileLink{{Source: "0_1_0", Target: "27_2_0", Weight: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	clash := file("clash.json", string(colliding))
	empty := file("empty.json", strings.Replace(cfg, "%", "", 1)+`"input->m0": {"in_graph": false, "score": 1}}}`)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	short := file("short.arrow", string(raw[:len(raw)/2]))
	for _, c := range []struct {
		args string
		want []string
	}{
		{"check " + unknown, []string{"unknown.json", `"a7.h0->m0"`, "among input, a0.h0"}},
		{"check " + node, []string{"node.json", `"a3.h0"`, "among input"}},
		{"check " + clash, []string{"clash.json", "0_1_0"}},
		{"check " + short, []string{"short.arrow"}},
		{"check " + dir + "/none.arrow", []string{"none.arrow"}},
		{"check " + dir + "/x.txt", []string{"x.txt", ".arrow, .json or .pt"}},
		{"graph " + empty, []string{"empty.json keeps no edge", "--top"}},
		{"graph " + path + " --top 0", []string{"at least one edge"}},
		{"view " + empty + " --out " + dir + "/x.svg", []string{"keeps no edge", "--top"}},
		{"view " + path + " --out x.png", []string{".html, .svg, .dot or .graphml"}},
		{"convert " + path + " x.gif", []string{"ending is one of .arrow"}},
		{"compare " + path + " " + empty, []string{"keeps no edge", "--top"}},
	} {
		code, _, errs := cli(t, append([]string{"circuits"}, strings.Fields(c.args)...)...)
		if code == 0 {
			t.Errorf("%s was accepted", c.args)
		}
		for _, want := range c.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: %q does not say %q", c.args, errs, want)
			}
		}
	}
	golden := filepath.Join(graphtest.Golden(t), "circuits", "formats")
	for _, name := range []string{"edges.json", "edges.pt", "neurons.pt"} {
		var r checkReport
		ok(t, &r, "circuits", "check", filepath.Join(golden, name))
		if r.Form != "circuit of EAP-IG" || r.Edges == 0 || r.Kept == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
