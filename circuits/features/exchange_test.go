package features

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
)

func TestExchange(t *testing.T) {
	pre, post := site(t, "blocks.0.hook_resid_pre"), site(t, "blocks.1.hook_resid_post")
	g := &Graph{
		Nodes: []Node{{Site: pre, Feature: 3, Position: AllPositions, Effect: 1.5, PerRow: []float64{1, 2}}, {Site: post, Feature: ErrorFeature, Position: 2, Effect: -1}},
		Edges: []Edge{{From: 0, To: 1, Weight: .25, PerRow: []float64{0, .5}}, {From: 1, To: Loss, Weight: 2}},
	}
	path := filepath.Join(t.TempDir(), "graph.json")
	if err := g.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got := must[*Graph](t)(ReadFile(path))
	a, b := must[[]byte](t)(json.Marshal(got)), must[[]byte](t)(json.Marshal(g))
	if string(a) != string(b) || got.Nodes[0].Site != pre || !slices.Equal(got.Nodes[0].PerRow, []float64{1, 2}) {
		t.Errorf("read %s, wrote %s", a, b)
	}
	g.Edges[0] = Edge{From: 1, To: 0}
	if err := g.WriteFile(path); err == nil {
		t.Error("an edge back: no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":"loupe feature circuit 1","nodes":[{"site":"blocks.0.hook_resid_pre","feature":1,"position":-1,"effect":1}],"edges":[{"from":0,"to":-1,"weight":2}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := parse(raw)
		if err != nil {
			return
		}
		for _, e := range g.Edges {
			if e.From >= len(g.Nodes) || e.To >= len(g.Nodes) {
				t.Fatal("an edge to nowhere")
			}
		}
	})
}
