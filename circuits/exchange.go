package circuits

import "fmt"

// Exchange is a scored circuit as EAP-IG stores it. Scores that are missing are NaN.
type Exchange struct {
	Graph        *EdgeGraph
	Width        int // d_model
	Scores       []float64
	Keep         []bool    // [u,v]
	Nodes        []bool    // [u]: senders in the circuit
	NodeScores   []float64 // [u] or nil
	Neurons      []bool    // [u,d] or nil: components of senders in the circuit
	NeuronScores []float64 // [u,d] or nil
}

// shape is the configuration of an EAP-IG file.
type shape struct {
	Layers   int  `json:"n_layers"`
	Heads    int  `json:"n_heads"`
	Parallel bool `json:"parallel_attn_mlp"`
	Width    int  `json:"d_model"`
}

// newExchange returns an empty file of a shape; entries bounds the size of what is allocated.
func (s shape) newExchange(entries int) (*Exchange, error) {
	const most = 1 << 16
	if s.Layers < 1 || s.Heads < 1 || s.Width < 0 || s.Layers > most || s.Heads > most || s.Width > most {
		return nil, fmt.Errorf("a model of %d layers of %d heads of width %d", s.Layers, s.Heads, s.Width)
	}
	u, v := 1+s.Layers*(s.Heads+1), s.Layers*(3*s.Heads+1)+1
	// a file lists every edge, about half of the matrix
	if u*v > 8*entries+1024 {
		return nil, fmt.Errorf("%d senders and %d receivers, of which it has %d entries", u, v, entries)
	}
	g, err := NewEdgeGraph(s.Layers, s.Heads, s.Parallel)
	if err != nil {
		return nil, err
	}
	return &Exchange{Graph: g, Width: s.Width, Scores: unscored(g.Size()), Keep: make([]bool, g.Size()), Nodes: make([]bool, len(g.Senders))}, nil
}

// Circuit returns the file's circuit.
func (x *Exchange) Circuit() *Circuit { return &Circuit{x.Graph, x.Keep} }
