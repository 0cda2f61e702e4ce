package circuits

import (
	"errors"
	"fmt"
	"slices"

	"loupe/internal/torchzip"
)

// ReadEAPTorch reads the .pt of EAP-IG's Graph.to_pt: a dictionary of cfg, src_nodes, dst_nodes, edges_scores [u,v],
// edges_in_graph [u,v], nodes_in_graph [u], and of nodes_scores [u], neurons_in_graph and neurons_scores [u,d] where it has them.
// Nothing of the pickle is executed; see package torchzip.
func ReadEAPTorch(path string) (*Exchange, error) {
	f, err := torchzip.Open(path)
	if err != nil {
		return nil, err
	}
	x, err := exchangeOf(f.Root())
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("circuits: %s: %w", path, err)
	}
	return x, nil
}

// exchangeOf reads the tree of a file.
func exchangeOf(root any) (*Exchange, error) {
	dict, ok := root.(*torchzip.Dict)
	if !ok {
		return nil, errors.New("the saved object is no dictionary")
	}
	s, err := torchShape(dict)
	if err != nil {
		return nil, err
	}
	entries := 0
	if scores, ok := dict.Get("edges_scores"); ok {
		if t, ok := scores.(*torchzip.Tensor); ok {
			entries = t.Len()
		}
	}
	x, err := s.newExchange(entries)
	if err != nil {
		return nil, fmt.Errorf("cfg: %w", err)
	}
	for key, want := range map[string][]string{"src_nodes": x.Graph.Senders, "dst_nodes": x.Graph.Receivers} {
		if err := sameNames(dict, key, want); err != nil {
			return nil, err
		}
	}
	u, v := len(x.Graph.Senders), len(x.Graph.Receivers)
	if x.Scores, err = torchFloats(dict, "edges_scores", u, v); err != nil {
		return nil, err
	}
	if x.Keep, err = torchBools(dict, "edges_in_graph", u, v); err != nil {
		return nil, err
	}
	if x.Nodes, err = torchBools(dict, "nodes_in_graph", u); err != nil {
		return nil, err
	}
	for at, keep := range x.Keep {
		if e := (Edge{at / v, at % v}); keep && !x.Graph.Real(e) {
			return nil, fmt.Errorf("edges_in_graph holds %s, which is no edge", x.Graph.Name(e))
		}
	}
	if _, ok := dict.Get("nodes_scores"); ok {
		if x.NodeScores, err = torchFloats(dict, "nodes_scores", u); err != nil {
			return nil, err
		}
	}
	if _, ok := dict.Get("neurons_in_graph"); ok {
		if x.Neurons, err = torchBools(dict, "neurons_in_graph", u, x.Width); err != nil {
			return nil, err
		}
	}
	if _, ok := dict.Get("neurons_scores"); ok {
		if x.NeuronScores, err = torchFloats(dict, "neurons_scores", u, x.Width); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// torchShape reads cfg.
func torchShape(dict *torchzip.Dict) (shape, error) {
	value, _ := dict.Get("cfg")
	cfg, ok := value.(*torchzip.Dict)
	if !ok {
		return shape{}, errors.New("no dictionary cfg; this is no EAP-IG graph")
	}
	number := func(key string) (int, error) {
		value, _ := cfg.Get(key)
		n, ok := value.(int64)
		if !ok || n < 0 || n > 1<<31-1 {
			return 0, fmt.Errorf("cfg: %s is %v; want a number", key, value)
		}
		return int(n), nil
	}
	var s shape
	for key, into := range map[string]*int{"n_layers": &s.Layers, "n_heads": &s.Heads, "d_model": &s.Width} {
		n, err := number(key)
		if err != nil {
			return shape{}, err
		}
		*into = n
	}
	parallel, _ := cfg.Get("parallel_attn_mlp")
	s.Parallel, ok = parallel.(bool)
	if !ok {
		return shape{}, fmt.Errorf("cfg: parallel_attn_mlp is %v; want a truth value", parallel)
	}
	return s, nil
}

// sameNames compares a list of node names with the graph's.
func sameNames(dict *torchzip.Dict, key string, want []string) error {
	value, _ := dict.Get(key)
	list, ok := value.([]any)
	if !ok || len(list) != len(want) {
		return fmt.Errorf("%s is no list of the %d nodes of cfg", key, len(want))
	}
	for i, name := range list {
		if name != any(want[i]) {
			return fmt.Errorf("%s[%d] is %v; the model of cfg has %q there", key, i, name, want[i])
		}
	}
	return nil
}

// torchTensor returns a tensor of dims.
func torchTensor(dict *torchzip.Dict, key string, dims ...int) (*torchzip.Tensor, error) {
	value, _ := dict.Get(key)
	t, ok := value.(*torchzip.Tensor)
	if !ok {
		return nil, fmt.Errorf("no tensor %s", key)
	}
	if !slices.Equal(t.Shape, dims) {
		return nil, fmt.Errorf("%s has shape %v; cfg needs %v", key, t.Shape, dims)
	}
	return t, nil
}

func torchFloats(dict *torchzip.Dict, key string, dims ...int) ([]float64, error) {
	t, err := torchTensor(dict, key, dims...)
	if err != nil {
		return nil, err
	}
	single, err := t.Float32s()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	out := make([]float64, len(single))
	for i, v := range single {
		out[i] = float64(v)
	}
	return out, nil
}

func torchBools(dict *torchzip.Dict, key string, dims ...int) ([]bool, error) {
	t, err := torchTensor(dict, key, dims...)
	if err != nil {
		return nil, err
	}
	if t.DType != "BOOL" {
		return nil, fmt.Errorf("%s has type %s; want truth values", key, t.DType)
	}
	out := make([]bool, t.Len())
	for i, b := range t.Bytes() {
		out[i] = b != 0
	}
	return out, nil
}
