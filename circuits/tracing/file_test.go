package tracing

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// fileOf is the file of the graph by hand, with all edges.
func fileOf(t *testing.T, distinct bool) (*File, error) {
	t.Helper()
	r := byHand(t)
	if err := r.attribute(t.Context(), DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	p := must[*Pruned](t)(r.Graph.Prune(Pruning{Nodes: 1, Edges: 1}))
	return NewFile(r.Graph, p, Naming{
		Slug: "hand", Scan: "one block", Tokens: []string{"a", "b"}, Distinct: distinct,
		Token: func(id int32) string { return fmt.Sprint("<", id, ">") }, Label: func(f Feature) string { return fmt.Sprint("feature ", f.Index) },
	})
}

// TestFileByHand: ids, labels and links of the hand-computed graph.
func TestFileByHand(t *testing.T) {
	f := must[*File](t)(fileOf(t, true))
	var got []string
	for _, n := range f.Nodes {
		got = append(got, fmt.Sprintf("%s %s %d %s %q", n.NodeID, n.JSNodeID, n.Feature, n.Layer, n.Clerp))
	}
	want := []string{
		`0_0_1 0_0-0 0 0 "feature 0"`, `error_0_1 0_1-0 -1 0 ""`, `E_0_0 E_0-0 0 E ""`, `E_1_1 E_1-1 1 E ""`, `2_1_1 L_1-1 1 2 "Output \"<1>\" (p=0.600)"`,
	} // feature 1 writes (1,1), which the logit does not read
	if !slices.Equal(got, want) {
		t.Errorf("nodes are %s", strings.Join(got, "\n"))
	}
	var links []string
	for _, l := range f.Links {
		links = append(links, fmt.Sprintf("%s %s %g", l.Source, l.Target, l.Weight))
	}
	if want := []string{"E_0_0 0_0_1 1", "0_0_1 2_1_1 -0.375", "error_0_1 2_1_1 0.125", "E_0_0 2_1_1 0.0625", "E_1_1 2_1_1 -0.6875"}; !slices.Equal(links, want) {
		t.Errorf("links are %q", links)
	}
	// circuit-tracer's ids of the error and of feature 0 at position 1 are both 0_0_1 in a model of one layer
	if _, err := fileOf(t, false); !errors.Is(err, ErrCollision) {
		t.Errorf("colliding ids: %v", err)
	}
	if a, b := cantor(2, 3), cantor(3, 2); a != 18 || b != 17 {
		t.Errorf("pairs are %d and %d", a, b)
	}
}

// TestFileRefuses: what is no attribution graph is refused, with the place.
func TestFileRefuses(t *testing.T) {
	var buffer bytes.Buffer
	if err := must[*File](t)(fileOf(t, true)).Write(&buffer); err != nil {
		t.Fatal(err)
	}
	good := buffer.String()
	if _, err := ReadFile(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"no slug":        {`"slug": "hand",`, ``, "metadata has no slug"},
		"no links":       {`"links"`, `"edges"`, "links is missing"},
		"position":       {`"ctx_idx": 1`, `"ctx_idx": 2`, "not among 2 tokens"},
		"layer of token": {`"layer": "E"`, `"layer": "F"`, "want E"},
		"no weight":      {`"weight"`, `"w"`, "has no weight"},
		"unknown node":   {`"source": "E_0_0"`, `"source": "E_9_0"`, "not both nodes"},
		"text":           {`{`, `[`, ""},
	} {
		bad := strings.Replace(good, c[0], c[1], 1)
		if bad == good {
			t.Errorf("%s: nothing to replace", name)
		}
		if _, err := ReadFile(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := must[*File](t)(fileOf(t, true))
	f.Nodes = append(f.Nodes, f.Nodes[0])
	if err := f.Validate(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a node that is there twice: %v", err)
	}
	other := f.Nodes[0]
	other.FeatureType, other.Feature = TypeError, -1
	f.Nodes[len(f.Nodes)-1] = other
	if err := f.Validate(); err != nil {
		t.Errorf("one id of two types is valid: %v", err)
	}
	if _, err := f.Ends(); !errors.Is(err, ErrCollision) {
		t.Errorf("links to it are not: %v", err)
	}
}

func FuzzReadFile(f *testing.F) {
	for _, name := range []string{"relu", "topk"} {
		raw, err := os.ReadFile(filepath.Join(graphtest.Golden(f), "circuits", "attribution", name, "graph.json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"metadata":{"slug":"a","scan":"b","prompt":"","prompt_tokens":["x"]},"qParams":{},"nodes":[],"links":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := ReadFile(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := g.Write(&out); err != nil {
			if !errors.Is(err, ErrCollision) {
				t.Fatalf("a file that was read cannot be written: %v", err)
			}
			return
		}
		again, err := ReadFile(&out)
		if err != nil {
			t.Fatalf("a file that was written cannot be read: %v", err)
		}
		if len(again.Nodes) != len(g.Nodes) || len(again.Links) != len(g.Links) {
			t.Fatal("nodes or links are lost")
		}
	})
}
