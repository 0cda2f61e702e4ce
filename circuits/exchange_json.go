package circuits

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// jsonLimit bounds an EAP-IG JSON file: a model of 80 layers of 64 heads has 40 million edges of about 60 bytes.
const jsonLimit = 4 << 30

type jsonNode struct {
	In           *bool           `json:"in_graph"`
	Score        *float64        `json:"score,omitempty"`
	Neurons      json.RawMessage `json:"neurons,omitempty"`
	NeuronScores json.RawMessage `json:"neurons_scores,omitempty"`
}

type jsonEdge struct {
	Score *float64 `json:"score,omitempty"`
	In    *bool    `json:"in_graph"`
}

type jsonGraph struct {
	Cfg   *shape              `json:"cfg"`
	Nodes map[string]jsonNode `json:"nodes"`
	Edges map[string]jsonEdge `json:"edges"`
}

// ReadEAPJSON reads the JSON of EAP-IG's Graph.to_json (github.com/hannamw/EAP-IG, graph.py). The writer gives each head the whole
// layer's block [h,d] of neurons; both that and [d] are read. A node or edge that the model of its cfg does not have is an error.
func ReadEAPJSON(in io.Reader) (*Exchange, error) {
	limited := &io.LimitedReader{R: in, N: jsonLimit}
	var file jsonGraph
	if err := json.NewDecoder(limited).Decode(&file); err != nil {
		if limited.N <= 0 {
			return nil, fmt.Errorf("circuits: EAP-IG JSON of more than %d bytes", int64(jsonLimit))
		}
		return nil, fmt.Errorf("circuits: EAP-IG JSON: %w", err)
	}
	if file.Cfg == nil {
		return nil, errors.New("circuits: EAP-IG JSON: no cfg; attribution-graph files have another form")
	}
	x, err := file.Cfg.newExchange(len(file.Edges))
	if err != nil {
		return nil, fmt.Errorf("circuits: EAP-IG JSON: cfg: %w", err)
	}
	for name, edge := range file.Edges {
		e, err := x.Graph.Parse(name)
		if err != nil {
			return nil, err
		}
		if edge.In == nil {
			return nil, fmt.Errorf("circuits: EAP-IG JSON: edge %q lacks in_graph", name)
		}
		x.Keep[x.Graph.At(e)] = *edge.In
		if edge.Score != nil {
			x.Scores[x.Graph.At(e)] = *edge.Score
		}
	}
	for name, node := range file.Nodes {
		if name == "logits" { // always in, never scored
			continue
		}
		u, err := x.Graph.Sender(name)
		if err != nil {
			return nil, err
		}
		if err := x.setNode(u, node); err != nil {
			return nil, fmt.Errorf("circuits: EAP-IG JSON: node %q: %w", name, err)
		}
	}
	return x, nil
}

// setNode takes a node's entries over.
func (x *Exchange) setNode(u int, node jsonNode) error {
	if node.In == nil {
		return errors.New("no in_graph")
	}
	x.Nodes[u] = *node.In
	if node.Score != nil {
		if x.NodeScores == nil {
			x.NodeScores = unscored(len(x.Graph.Senders))
		}
		x.NodeScores[u] = *node.Score
	}
	if node.Neurons != nil {
		row, err := neuronRow[bool](node.Neurons, x.head(u), x.Graph.Heads, x.Width)
		if err != nil {
			return fmt.Errorf("neurons: %w", err)
		}
		if x.Neurons == nil {
			x.Neurons = make([]bool, len(x.Graph.Senders)*x.Width)
		}
		copy(x.Neurons[u*x.Width:], row)
	}
	if node.NeuronScores != nil {
		row, err := neuronRow[float64](node.NeuronScores, x.head(u), x.Graph.Heads, x.Width)
		if err != nil {
			return fmt.Errorf("neurons_scores: %w", err)
		}
		if x.NeuronScores == nil {
			x.NeuronScores = unscored(len(x.Graph.Senders) * x.Width)
		}
		copy(x.NeuronScores[u*x.Width:], row)
	}
	return nil
}

// head is a sender's number within its layer, or -1 for the input and MLPs.
func (x *Exchange) head(u int) int {
	h := (u - 1) % (x.Graph.Heads + 1)
	if u == 0 || h == x.Graph.Heads {
		return -1
	}
	return h
}

// neuronRow reads [d], or for head h of a layer its row of [h,d].
func neuronRow[T any](raw json.RawMessage, head, heads, width int) ([]T, error) {
	var row []T
	if err := json.Unmarshal(raw, &row); err != nil {
		var block [][]T
		if again := json.Unmarshal(raw, &block); again != nil || head < 0 || len(block) != heads {
			return nil, err
		}
		row = block[head]
	}
	if len(row) != width {
		return nil, fmt.Errorf("%d values for d_model %d", len(row), width)
	}
	return row, nil
}

func unscored(n int) []float64 { return slices.Repeat([]float64{math.NaN()}, n) }

// WriteEAPJSON writes the form that ReadEAPJSON and EAP-IG's Graph.from_json read, edges and nodes by name. Neurons go as [d] per
// node. Infinite scores are an error, since JSON has none.
func WriteEAPJSON(out io.Writer, x *Exchange) error {
	yes := true
	file := jsonGraph{
		Cfg:   &shape{x.Graph.Layers, x.Graph.Heads, x.Graph.Parallel, x.Width},
		Nodes: map[string]jsonNode{"logits": {In: &yes}}, Edges: map[string]jsonEdge{},
	}
	known := func(v float64) *float64 {
		if math.IsNaN(v) {
			return nil
		}
		return &v
	}
	for u, name := range x.Graph.Senders {
		node := jsonNode{In: &x.Nodes[u]}
		if x.NodeScores != nil {
			node.Score = known(x.NodeScores[u])
		}
		var err error
		if x.Neurons != nil {
			if node.Neurons, err = json.Marshal(x.Neurons[u*x.Width : (u+1)*x.Width]); err != nil {
				return fmt.Errorf("circuits: node %q: %w", name, err)
			}
		}
		if x.NeuronScores != nil {
			row := x.NeuronScores[u*x.Width : (u+1)*x.Width]
			if !slices.ContainsFunc(row, math.IsNaN) {
				if node.NeuronScores, err = json.Marshal(row); err != nil {
					return fmt.Errorf("circuits: node %q: %w", name, err)
				}
			}
		}
		file.Nodes[name] = node
	}
	for _, e := range x.Graph.Edges() {
		at := x.Graph.At(e)
		file.Edges[x.Graph.Name(e)] = jsonEdge{Score: known(x.Scores[at]), In: &x.Keep[at]}
	}
	if err := json.NewEncoder(out).Encode(file); err != nil {
		return fmt.Errorf("circuits: EAP-IG JSON: %w", err)
	}
	return nil
}
