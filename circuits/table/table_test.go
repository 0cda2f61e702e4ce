package table

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"loupe/circuits"
	"loupe/internal/arrowio"
)

// sample is a circuit of two layers of two heads with everything in it.
func sample(t testing.TB) *Circuit {
	t.Helper()
	g, err := circuits.NewEdgeGraph(2, 2, true)
	if err != nil {
		t.Fatal(err)
	}
	c := &Circuit{Provenance: Provenance{
		Format: Format, Model: "toy", Layers: 2, Heads: 2, Parallel: true, Width: 8, Task: "ioi", Rows: 3, Seq: 5, Metric: "logit_diff", Method: "mask_ig(5)",
		Certificate: &circuits.Certificate{Method: "mask_ig(5)", Sum: 1, Change: 1.5, Checks: []circuits.Check{{Name: "x", Error: .1, Tolerance: .2}}},
	}, Graph: g}
	for _, x := range []*[]float64{&c.Scores, &c.StdErr, &c.Inclusion} {
		*x = make([]float64, g.Size())
	}
	c.Keep, c.PerRow = make([]bool, g.Size()), make([]float64, 3*g.Size())
	for i, e := range g.Edges() {
		at := g.At(e)
		c.Scores[at], c.StdErr[at], c.Inclusion[at], c.Keep[at] = float64(i)/3, float64(i)/7, 1/float64(i+1), i%2 == 0
		for r := range 3 {
			c.PerRow[r*g.Size()+at] = float64(i - r)
		}
	}
	return c
}

// TestRoundTrip: a file gives back what was written, one row an edge, and equal circuits give equal bytes.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.arrow"), filepath.Join(dir, "b.arrow")
	want := sample(t)
	for _, path := range []string{a, b} {
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(a)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Provenance, want.Provenance) {
		t.Errorf("provenance %+v", got.Provenance)
	}
	got.Graph, want.Graph = nil, nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the circuit changed")
	}
	x, _ := os.ReadFile(a)
	y, _ := os.ReadFile(b)
	if !bytes.Equal(x, y) {
		t.Error("two files of one circuit differ")
	}
	raw, err := arrowio.ReadTable(a)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := raw.Rows(); err != nil || rows != len(sample(t).Graph.Edges()) {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// TestReadErrors: what does not fit is refused by name.
func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.arrow")
	if err := Write(good, sample(t)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(t *arrowio.Table)
		want   string
	}{
		"an edge renamed": {func(t *arrowio.Table) { t.Columns[0].([]string)[3] = "m9" }, "row 3"},
		"a NaN":           {func(t *arrowio.Table) { t.Columns[2].([]float64)[0] = math.NaN() }, "NaN"},
		"another format": {func(t *arrowio.Table) {
			t.Meta[metaKey] = strings.Replace(t.Meta[metaKey], `"format":1`, `"format":9`, 1)
		}, "format 9"},
		"no metadata": {func(t *arrowio.Table) { delete(t.Meta, metaKey) }, "no metadata"},
		"a huge model": {func(t *arrowio.Table) {
			t.Meta[metaKey] = strings.Replace(t.Meta[metaKey], `"layers":2`, `"layers":9000`, 1)
		}, "lacks edges"},
		"more examples": {func(t *arrowio.Table) { t.Meta[metaKey] = strings.Replace(t.Meta[metaKey], `"rows":3`, `"rows":4`, 1) }, "3 examples"},
	} {
		table, err := arrowio.ReadTable(good)
		if err != nil {
			t.Fatal(err)
		}
		c.change(&table)
		path := filepath.Join(dir, "bad.arrow")
		if err := arrowio.WriteTable(path, table); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.arrow")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(cut); err == nil {
		t.Error("half a file was read")
	}
	c := sample(t)
	c.StdErr = c.StdErr[:1]
	if err := Write(cut, c); err == nil {
		t.Error("a column of the wrong length was written")
	}
}

// FuzzRead: no bytes crash the reader.
func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed.arrow")
	if err := Write(path, sample(f)); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(strings.Repeat("ARROW1", 3)))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "x.arrow")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Skip(err)
		}
		if c, err := Read(path); err == nil && len(c.Scores) != c.Graph.Size() {
			t.Errorf("%d scores", len(c.Scores))
		}
	})
}

// TestNodes: effects by hand, the round trip, and what is refused.
func TestNodes(t *testing.T) {
	n := &Nodes{Provenance: Provenance{Format: Format, Method: "noise", Rows: 2}, Site: "hook_resid_pre", Examples: 2, Rows: []Node{NewNode(0, -1, 3, []float64{1, 3}), NewNode(1, -1, 0, []float64{-1, -1})}}
	if r := n.Rows[0]; r.Effect != 2 || r.StdErr != 1 {
		t.Errorf("1 and 3 have mean %v and standard error %v", r.Effect, r.StdErr)
	}
	path := filepath.Join(t.TempDir(), "nodes.arrow")
	if err := n.Write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadNodes(path); err != nil || !reflect.DeepEqual(got, n) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), metaKey) {
		t.Errorf("nodes read as edges: %v", err)
	}
	for want, spoil := range map[string]func(x *arrowio.Table){
		"has a row already": func(x *arrowio.Table) { x.Columns[0].([]int32)[1], x.Columns[2].([]int32)[1] = 0, 3 },
		"an effect is":      func(x *arrowio.Table) { x.Columns[5].([]float64)[2] = math.Inf(1) },
		"layer -4":          func(x *arrowio.Table) { x.Columns[0].([]int32)[0] = -4 },
		"position":          func(x *arrowio.Table) { x.Fields[2].Name = "place" },
		nodesKey:            func(x *arrowio.Table) { delete(x.Meta, nodesKey) },
		"reads 1":           func(x *arrowio.Table) { x.Meta[nodesKey] = "{}" },
	} {
		bad, err := arrowio.ReadTable(path)
		if err != nil {
			t.Fatal(err)
		}
		spoil(&bad)
		if _, err := nodesOf(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// FuzzReadNodes: no bytes make the reader panic, and what it accepts can be written again.
func FuzzReadNodes(f *testing.F) {
	n := &Nodes{Site: "units", Examples: 1, Rows: []Node{NewNode(0, 1, -1, []float64{1})}}
	path := filepath.Join(f.TempDir(), "nodes.arrow")
	if err := n.Write(path); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x.arrow")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := ReadNodes(path); err == nil {
			if err := n.Write(path); err != nil {
				t.Fatal(err)
			}
		}
	})
}
