package table

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"loupe/internal/arrowio"
)

// The entries of a table of nodes: the Provenance as JSON, and the site.
const (
	nodesKey = "loupe.circuit.nodes"
	siteKey  = "loupe.circuit.site"
)

// Nodes are effects of patching places: an Arrow file with the columns layer, head, position (int32; -1: no head, or all positions), effect, std_err
// (float64) and per_example (float64, a fixed-size list).
type Nodes struct {
	Provenance        // Method is the direction
	Site       string // name of the patched site, or "units" for heads and MLPs at all positions
	Examples   int
	Rows       []Node
}

// Node is one place.
type Node struct {
	Layer, Head, Position int       // -1: no head, or all of the axis
	Effect, StdErr        float64   // what patching adds to the mean loss, and its standard error over examples (NaN for one)
	PerExample            []float64 // effect on each example
}

// NewNode sums effects up.
func NewNode(layer, head, position int, effects []float64) Node {
	n := Node{Layer: layer, Head: head, Position: position, StdErr: math.NaN(), PerExample: effects}
	for _, v := range effects {
		n.Effect += v / float64(len(effects))
	}
	if len(effects) > 1 {
		var sum float64
		for _, v := range effects {
			sum += (v - n.Effect) * (v - n.Effect)
		}
		n.StdErr = math.Sqrt(sum / float64(len(effects)-1) / float64(len(effects)))
	}
	return n
}

// Write writes the table at path, whole or not at all.
func (n *Nodes) Write(path string) error {
	var t arrowio.Table
	var layer, head, position []int32
	var effect, stderr, rows []float64
	for _, r := range n.Rows {
		if len(r.PerExample) != n.Examples {
			return fmt.Errorf("table: %d effects for %d examples", len(r.PerExample), n.Examples)
		}
		layer, head, position = append(layer, int32(r.Layer)), append(head, int32(r.Head)), append(position, int32(r.Position))
		effect, stderr, rows = append(effect, r.Effect), append(stderr, r.StdErr), append(rows, r.PerExample...)
	}
	t.Add("layer", 0, layer, nil)
	t.Add("head", 0, head, nil)
	t.Add("position", 0, position, nil)
	t.Add("effect", 0, effect, nil)
	t.Add("std_err", 0, stderr, nil)
	t.Add("per_example", n.Examples, rows, nil)
	p := n.Provenance
	p.Format = Format
	meta, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("table: %s: %w; a loss is not a finite number", path, err)
	}
	t.Meta = map[string]string{nodesKey: string(meta), siteKey: n.Site}
	return arrowio.WriteTable(path, t)
}

// ReadNodes reads a table of nodes. A place that is named twice and effects that are no numbers are errors.
func ReadNodes(path string) (*Nodes, error) {
	t, err := arrowio.ReadTable(path)
	if err != nil {
		return nil, err
	}
	n, err := nodesOf(t)
	if err != nil {
		return nil, fmt.Errorf("table: %s: %w", path, err)
	}
	return n, nil
}

func nodesOf(t arrowio.Table) (*Nodes, error) {
	text, ok := t.Meta[nodesKey]
	if !ok {
		return nil, fmt.Errorf("no metadata entry %s; this is no table of loupe circuits patch", nodesKey)
	}
	n := &Nodes{Site: t.Meta[siteKey]}
	if err := json.Unmarshal([]byte(text), &n.Provenance); err != nil {
		return nil, fmt.Errorf("%s: %w", nodesKey, err)
	}
	if n.Format != Format {
		return nil, fmt.Errorf("format %d; this program reads %d", n.Format, Format)
	}
	layer, err1 := arrowio.ColumnOf[int32](t, "layer")
	heads, err2 := arrowio.ColumnOf[int32](t, "head")
	position, err3 := arrowio.ColumnOf[int32](t, "position")
	effect, err4 := arrowio.ColumnOf[float64](t, "effect")
	stderr, err5 := arrowio.ColumnOf[float64](t, "std_err")
	rows, err6 := arrowio.ColumnOf[float64](t, "per_example")
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	if _, err := t.Rows(); err != nil {
		return nil, err
	}
	n.Examples = t.Fields[t.Index("per_example")].Width()
	if len(rows) != len(layer)*n.Examples || len(heads) != len(layer) || len(position) != len(layer) || len(effect) != len(layer) || len(stderr) != len(layer) {
		return nil, errors.New("a column has lists where one value a row belongs")
	}
	seen := map[[3]int32]bool{}
	for i := range layer {
		place := [3]int32{layer[i], heads[i], position[i]}
		if layer[i] < 0 || heads[i] < -1 || position[i] < -1 {
			return nil, fmt.Errorf("row %d: layer %d, head %d, position %d", i, layer[i], heads[i], position[i])
		}
		if seen[place] {
			return nil, fmt.Errorf("row %d: layer %d, head %d, position %d has a row already", i, layer[i], heads[i], position[i])
		}
		seen[place] = true
		own := rows[i*n.Examples : (i+1)*n.Examples]
		for _, v := range append([]float64{effect[i]}, own...) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("row %d: an effect is %v", i, v)
			}
		}
		n.Rows = append(n.Rows, Node{int(layer[i]), int(heads[i]), int(position[i]), effect[i], stderr[i], own})
	}
	return n, nil
}
