package view_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/circuits/tracing"
	"loupe/circuits/view"
	"loupe/internal/graphtest"
)

// TestAttribution: the reference attribution graph as a picture has its nodes and links, each layer above the one before, and every format takes it.
func TestAttribution(t *testing.T) {
	raw, err := os.Open(filepath.Join(graphtest.Golden(t), "circuits", "attribution", "relu", "graph.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	f, err := tracing.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	g, err := view.OfAttribution("relu", f, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != len(f.Nodes) || len(g.Links) != len(f.Links) || g.Top != len(f.Links) {
		t.Errorf("%d nodes of %d, %d links of %d", len(g.Nodes), len(f.Nodes), len(g.Links), len(f.Links))
	}
	for i, l := range g.Links {
		from, to := g.Nodes[l.From], g.Nodes[l.To]
		if from.ID != f.Links[i].Source || to.ID != f.Links[i].Target || from.Row >= to.Row || from.Sink || to.Root {
			t.Errorf("link %d goes from %+v to %+v", i, from, to)
		}
	}
	for name, write := range map[string]func(*bytes.Buffer) error{
		"html": func(b *bytes.Buffer) error { return view.WriteHTML(b, g) },
		"dot":  func(b *bytes.Buffer) error { return view.WriteDOT(b, g, len(g.Links)) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || !strings.Contains(b.String(), "0_6_4") {
			t.Errorf("%s: %v, %d bytes", name, err, b.Len())
		}
	}
	f.Nodes[0].NodeID, f.Nodes[0].FeatureType, f.Nodes[0].Feature = f.Nodes[1].NodeID, tracing.TypeError, -1
	if _, err := view.OfAttribution("relu", f, 0); err == nil {
		t.Error("an ambiguous file is drawn")
	}
}
