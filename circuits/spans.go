package circuits

import (
	"fmt"
	"strconv"
)

// Spans name groups of positions: every place of a batch belongs to one, by its position or by its role in the prompt ("subject", "last").
type Spans struct {
	Names []string
	Of    []int // [rows*seq]: the index of a place's span; -1 for padding
}

// EachPosition makes every position a span, named by the number of real tokens before it, so that padding moves nothing.
func EachPosition(p *Pairs) *Spans {
	s := &Spans{Of: p.groups(MeanPositional)}
	for i, at := range s.Of {
		if !p.real(i) {
			s.Of[i] = -1
			continue
		}
		for len(s.Names) <= at {
			s.Names = append(s.Names, strconv.Itoa(len(s.Names)))
		}
	}
	return s
}

// validate checks spans against a batch.
func (s *Spans) validate(p *Pairs) error {
	if len(s.Of) != p.Rows*p.Seq || len(s.Names) == 0 {
		return fmt.Errorf("circuits: %d spans of %d places for %d rows of %d positions", len(s.Names), len(s.Of), p.Rows, p.Seq)
	}
	for i, at := range s.Of {
		if at < -1 || at >= len(s.Names) || at == -1 && p.real(i) {
			return fmt.Errorf("circuits: row %d, position %d is in span %d; every real position needs one of 0..%d", i/p.Seq, i%p.Seq, at, len(s.Names)-1)
		}
	}
	return nil
}

// rows are the spans of the places of a chunk.
func (s *Spans) rows(c *Task) []int {
	if c.index == nil {
		return s.Of
	}
	return pick(s.Of, c.index, c.Pairs.Seq)
}

// PositionCircuit is a set of edges at spans of positions: the edge is there where its receiver reads.
type PositionCircuit struct {
	Graph *EdgeGraph
	Spans *Spans
	Keep  []bool // [s,u,v]
}

// AtEvery is the circuit that has c's edges at every position.
func AtEvery(c *Circuit, s *Spans) *PositionCircuit {
	out := &PositionCircuit{Graph: c.Graph, Spans: s}
	for range s.Names {
		out.Keep = append(out.Keep, c.Keep...)
	}
	return out
}

// Anywhere is the circuit of the edges that are there at some position.
func (c *PositionCircuit) Anywhere() *Circuit {
	out := NewCircuit(c.Graph)
	for i, keep := range c.Keep {
		if keep {
			out.Keep[i%c.Graph.Size()] = true
		}
	}
	return out
}

// Names lists the edges as "a0.h0->m0@3", by span and then in the graph's order.
func (c *PositionCircuit) Names() []string {
	out := []string{}
	for i, span := range c.Spans.Names {
		for _, e := range c.Graph.Edges() {
			if c.Keep[i*c.Graph.Size()+c.Graph.At(e)] {
				out = append(out, c.Graph.Name(e)+"@"+span)
			}
		}
	}
	return out
}

// Len counts edges at spans.
func (c *PositionCircuit) Len() int { return len(c.Names()) }
