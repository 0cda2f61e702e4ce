package circuits

import (
	"fmt"
	"path/filepath"
	"strings"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// WriteEAPTorch writes the .pt that ReadEAPTorch and EAP-IG's Graph.from_pt read, replacing path atomically: scores in float32, missing ones
// as NaN. torch.load reads it with weights_only=True. Equal graphs give equal bytes.
func WriteEAPTorch(path string, x *Exchange) error {
	g := x.Graph
	u, v := len(g.Senders), len(g.Receivers)
	for _, part := range []struct {
		name string
		n    int
		want int
		skip bool
	}{
		{"scores", len(x.Scores), u * v, false}, {"keep", len(x.Keep), u * v, false}, {"nodes", len(x.Nodes), u, false},
		{"node scores", len(x.NodeScores), u, x.NodeScores == nil}, {"neurons", len(x.Neurons), u * x.Width, x.Neurons == nil},
		{"neuron scores", len(x.NeuronScores), u * x.Width, x.NeuronScores == nil},
	} {
		if !part.skip && part.n != part.want {
			return fmt.Errorf("circuits: %s: %d %s for %d senders and %d receivers of width %d; want %d", path, part.n, part.name, u, v, x.Width, part.want)
		}
	}
	tensors := []safetensors.Tensor{
		safetensors.F32("edges_scores", []int{u, v}, singles(x.Scores)), safetensors.Bool("edges_in_graph", []int{u, v}, x.Keep),
		safetensors.Bool("nodes_in_graph", []int{u}, x.Nodes),
	}
	if x.NodeScores != nil {
		tensors = append(tensors, safetensors.F32("nodes_scores", []int{u}, singles(x.NodeScores)))
	}
	if x.Neurons != nil {
		tensors = append(tensors, safetensors.Bool("neurons_in_graph", []int{u, x.Width}, x.Neurons))
	}
	if x.NeuronScores != nil {
		tensors = append(tensors, safetensors.F32("neurons_scores", []int{u, x.Width}, singles(x.NeuronScores)))
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return torchzip.Write(path, name, tensors,
		torchzip.Item{Key: "cfg", Value: []torchzip.Item{
			{Key: "n_layers", Value: g.Layers}, {Key: "n_heads", Value: g.Heads}, {Key: "parallel_attn_mlp", Value: g.Parallel}, {Key: "d_model", Value: x.Width},
		}},
		torchzip.Item{Key: "src_nodes", Value: g.Senders}, torchzip.Item{Key: "dst_nodes", Value: g.Receivers})
}

// singles are values in float32.
func singles(x []float64) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i] = float32(v)
	}
	return out
}
