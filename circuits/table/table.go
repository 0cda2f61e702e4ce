// Package table keeps scored circuits in Arrow files: a row for every edge, with what the scores were computed from beside them.
//
// # Layout
//
// An Arrow IPC file of one batch, whose rows are the graph's edges in its order, with the columns sender, receiver (text), score (float64, the mean over
// examples: what corrupting the edge adds to the loss), kept (bool: in the circuit), and where they were computed std_err, inclusion (float64, of a
// bootstrap over examples) and scores (float32, a fixed-size list with one score for every example). The metadata entry "loupe.circuit" is the
// [Provenance] as JSON.
package table

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"loupe/circuits"
	"loupe/internal/arrowio"
)

// Format is the version of the file's layout.
const Format = 1

// metaKey is the entry of the schema's metadata that holds the Provenance.
const metaKey = "loupe.circuit"

// Provenance says what scores were computed from, and how.
type Provenance struct {
	Format      int     `json:"format"`
	Loupe       string  `json:"loupe"` // version
	Model       string  `json:"model"`
	ModelDigest string  `json:"model_digest"`
	Layers      int     `json:"layers"`
	Heads       int     `json:"heads"`
	Parallel    bool    `json:"parallel"`
	Width       int     `json:"width"`
	Task        string  `json:"task"`
	Pairs       string  `json:"pairs_digest"` // SHA-256 of the tokens of all pairs and answers
	Rows        int     `json:"rows"`
	Seq         int     `json:"seq"`
	Metric      string  `json:"metric"`
	Method      string  `json:"method"`
	Ablation    string  `json:"ablation"`
	Selection   string  `json:"selection,omitempty"` // how the kept edges were chosen; empty: they were not
	Seed        int64   `json:"seed"`
	CleanLoss   float64 `json:"clean_loss"`
	Corrupted   float64 `json:"corrupted_loss"`
	// Stability is the mean Jaccard index between the circuits of two bootstrap resamples; 0: not computed.
	Stability   float64                `json:"stability,omitempty"`
	Certificate *circuits.Certificate  `json:"certificate,omitempty"`
	Faithful    *circuits.Faithfulness `json:"faithfulness,omitempty"`
}

// Circuit is what a file holds.
type Circuit struct {
	Provenance
	Graph     *circuits.EdgeGraph
	Scores    []float64 // [u,v], zero where there is no edge
	Keep      []bool    // [u,v]
	StdErr    []float64 // [u,v] or nil
	Inclusion []float64 // [u,v] or nil
	PerRow    []float64 // [rows,u,v] or nil; float32 in the file
}

// Of returns the circuit of the kept edges.
func (c *Circuit) Of() *circuits.Circuit { return &circuits.Circuit{Graph: c.Graph, Keep: c.Keep} }

// RowScores are the scores of every example, for a bootstrap; an error where the file has none.
func (c *Circuit) RowScores() (*circuits.Scores, error) {
	if c.PerRow == nil {
		return nil, fmt.Errorf("table: the circuit has no scores of single examples; compute them with loupe circuits attribute")
	}
	return &circuits.Scores{Graph: c.Graph, Method: c.Method, Rows: c.Rows, Values: c.PerRow}, nil
}

// Write writes the circuit to path, whole or not at all. Equal circuits give equal bytes.
func Write(path string, c *Circuit) error {
	g := c.Graph
	size := g.Size()
	for _, x := range []struct {
		name string
		got  int
		want int
		may  bool
	}{
		{"scores", len(c.Scores), size, false}, {"keep", len(c.Keep), size, false}, {"std_err", len(c.StdErr), size, c.StdErr == nil},
		{"inclusion", len(c.Inclusion), size, c.Inclusion == nil}, {"per-row scores", len(c.PerRow), c.Rows * size, c.PerRow == nil},
	} {
		if x.got != x.want && !x.may {
			return fmt.Errorf("table: %s: %d %s for a graph of %d entries and %d rows", path, x.got, x.name, size, c.Rows)
		}
	}
	p := c.Provenance
	p.Format, p.Layers, p.Heads, p.Parallel = Format, g.Layers, g.Heads, g.Parallel
	meta, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("table: %s: %w; a loss or score is not a finite number", path, err)
	}
	t := arrowio.Table{Schema: arrowio.Schema{Meta: map[string]string{metaKey: string(meta)}}}
	edges := g.Edges()
	var senders, receivers []string
	var kept []bool
	for _, e := range edges {
		senders, receivers, kept = append(senders, g.Senders[e.U]), append(receivers, g.Receivers[e.V]), append(kept, c.Keep[g.At(e)])
	}
	column := func(x []float64) []float64 {
		out := make([]float64, len(edges))
		for i, e := range edges {
			out[i] = x[g.At(e)]
		}
		return out
	}
	t.Add("sender", 0, senders, nil)
	t.Add("receiver", 0, receivers, nil)
	t.Add("score", 0, column(c.Scores), nil)
	t.Add("kept", 0, kept, nil)
	if c.StdErr != nil {
		t.Add("std_err", 0, column(c.StdErr), nil)
	}
	if c.Inclusion != nil {
		t.Add("inclusion", 0, column(c.Inclusion), nil)
	}
	if c.PerRow != nil {
		rows := make([]float32, 0, len(edges)*c.Rows)
		for _, e := range edges {
			for r := range c.Rows {
				rows = append(rows, float32(c.PerRow[r*size+g.At(e)]))
			}
		}
		t.Add("scores", c.Rows, rows, nil)
	}
	return arrowio.WriteTable(path, t)
}

// Read reads a file that Write wrote. The rows must be the edges of the model that the metadata names, every number finite.
func Read(path string) (*Circuit, error) {
	t, err := arrowio.ReadTable(path)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	c, err := parse(t)
	if err != nil {
		return nil, fmt.Errorf("table: %s: %w", path, err)
	}
	return c, nil
}

func parse(t arrowio.Table) (*Circuit, error) {
	text, ok := t.Meta[metaKey]
	if !ok {
		return nil, fmt.Errorf("no metadata entry %s; this is no circuit that loupe wrote", metaKey)
	}
	c := &Circuit{}
	if err := json.Unmarshal([]byte(text), &c.Provenance); err != nil {
		return nil, fmt.Errorf("%s: %w", metaKey, err)
	}
	if c.Format != Format {
		return nil, fmt.Errorf("format %d; this program reads %d", c.Format, Format)
	}
	senders, err := arrowio.ColumnOf[string](t, "sender")
	if err != nil {
		return nil, err
	}
	receivers, err := arrowio.ColumnOf[string](t, "receiver")
	if err != nil {
		return nil, err
	}
	if err := c.fits(len(senders)); err != nil {
		return nil, err
	}
	if c.Graph, err = circuits.NewEdgeGraph(c.Layers, c.Heads, c.Parallel); err != nil {
		return nil, err
	}
	edges := c.Graph.Edges()
	if len(edges) != len(senders) {
		return nil, fmt.Errorf("%d rows; a model of %d layers of %d heads has %d edges", len(senders), c.Layers, c.Heads, len(edges))
	}
	for i, e := range edges {
		if senders[i] != c.Graph.Senders[e.U] || receivers[i] != c.Graph.Receivers[e.V] {
			return nil, fmt.Errorf("row %d is %s->%s; the model has %s there", i, senders[i], receivers[i], c.Graph.Name(e))
		}
	}
	kept, err := arrowio.ColumnOf[bool](t, "kept")
	if err != nil {
		return nil, err
	}
	c.Keep = make([]bool, c.Graph.Size())
	for i, e := range edges {
		c.Keep[c.Graph.At(e)] = kept[i]
	}
	for name, into := range map[string]*[]float64{"score": &c.Scores, "std_err": &c.StdErr, "inclusion": &c.Inclusion} {
		if name != "score" && t.Index(name) < 0 {
			continue
		}
		if *into, err = c.matrix(t, name, edges); err != nil {
			return nil, err
		}
	}
	return c, c.perRow(t, edges)
}

// fits bounds the sizes that the metadata names by the file's rows before anything is allocated: a graph has at least a quarter of
// senders x receivers as edges.
func (c *Circuit) fits(rows int) error {
	const most = 1 << 16
	if c.Layers < 1 || c.Heads < 1 || c.Layers > most || c.Heads > most || c.Rows < 0 || c.Rows > 1<<24 || c.Width < 0 {
		return fmt.Errorf("a model of %d layers of %d heads, %d examples", c.Layers, c.Heads, c.Rows)
	}
	if u, v := 1+c.Layers*(c.Heads+1), c.Layers*(3*c.Heads+1)+1; u*v > 8*rows+1024 {
		return fmt.Errorf("%d rows for %d senders and %d receivers; the file lacks edges", rows, u, v)
	}
	return nil
}

// matrix is a column as [u,v].
func (c *Circuit) matrix(t arrowio.Table, name string, edges []circuits.Edge) ([]float64, error) {
	x, err := arrowio.ColumnOf[float64](t, name)
	if err != nil {
		return nil, err
	}
	out := make([]float64, c.Graph.Size())
	for i, e := range edges {
		if math.IsNaN(x[i]) || math.IsInf(x[i], 0) {
			return nil, fmt.Errorf("%s of %s is %v", name, c.Graph.Name(e), x[i])
		}
		out[c.Graph.At(e)] = x[i]
	}
	return out, nil
}

// perRow reads the scores of single examples, if the file has them.
func (c *Circuit) perRow(t arrowio.Table, edges []circuits.Edge) error {
	at := t.Index("scores")
	if at < 0 {
		return nil
	}
	if got := t.Fields[at].Size; got != c.Rows {
		return fmt.Errorf("scores of %d examples; the metadata names %d", got, c.Rows)
	}
	x, err := arrowio.ColumnOf[float32](t, "scores")
	if err != nil {
		return err
	}
	if bad := slices.IndexFunc(x, func(v float32) bool { return math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) }); bad >= 0 {
		return fmt.Errorf("a score of %s is %v", c.Graph.Name(edges[bad/c.Rows]), x[bad])
	}
	c.PerRow = make([]float64, c.Rows*c.Graph.Size())
	for i, e := range edges {
		for r := range c.Rows {
			c.PerRow[r*c.Graph.Size()+c.Graph.At(e)] = float64(x[i*c.Rows+r])
		}
	}
	return nil
}
