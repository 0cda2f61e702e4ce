package method

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/reader"
	"loupe/probe/token"
)

// The readers in place of a denoiser.
const (
	ReadStates    = "states"    // each token's final state
	ReadPooled    = "pooled"    // the embedding
	ReadStack     = "stack"     // key and value matrices, of a file or drawn
	ReadAttention = "attention" // drawn heads of cross-attention with queries drawn at each step
)

// ReaderConfig says what reads an encoder's states in a training.
type ReaderConfig struct {
	Kind    string  `json:"kind" doc:"what is read" enum:"states,pooled,stack,attention"`
	File    string  `json:"file" doc:"safetensors file with the matrices of a stack; empty: drawn"`
	Outputs int     `json:"outputs" doc:"outputs of a drawn stack"`
	Heads   int     `json:"heads" doc:"heads of attention"`
	Width   int     `json:"width" doc:"of a head"`
	Queries int     `json:"queries" doc:"queries of a head, drawn at each step"`
	Sigma   float64 `json:"sigma" doc:"standard deviation of a query's entries"`
}

// DefaultReader reads embeddings as four drawn heads of attention do.
func DefaultReader() ReaderConfig {
	return ReaderConfig{Kind: ReadAttention, Outputs: 256, Heads: 4, Width: 64, Queries: 8, Sigma: 1}
}

// Validate checks the kind.
func (c ReaderConfig) Validate() error {
	switch c.Kind {
	case ReadStates, ReadPooled, ReadStack:
		return nil
	case ReadAttention:
		if c.Heads < 1 || c.Width < 1 || c.Queries < 1 || !(c.Sigma > 0) {
			return fmt.Errorf("method: reader: %d heads of width %d with %d queries of standard deviation %v; each must be positive", c.Heads, c.Width, c.Queries, c.Sigma)
		}
		return nil
	}
	return fmt.Errorf("method: reader: kind %q; use %s, %s, %s or %s", c.Kind, ReadStates, ReadPooled, ReadStack, ReadAttention)
}

// open makes the reader for an encoder; what is drawn is drawn by seed.
func (c ReaderConfig) open(e *encoder.Encoder, seed uint64) (reader.Reader, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	switch c.Kind {
	case ReadStates:
		return reader.NewIdentity(e.Width(), "")
	case ReadPooled:
		pool := reader.Pooling(e.Pool)
		if e.Pool == erase.SelectLast {
			return nil, fmt.Errorf("method: reader: embeddings pooled by %q; open the encoder with %s or another pool, or use reader %s", e.Pool, erase.SelectMean, ReadStates)
		}
		return reader.NewIdentity(e.Width(), pool)
	case ReadStack:
		if c.File != "" {
			return reader.ReadStack(c.File, e.Width(), "")
		}
		return reader.DrawStack("", max(c.Outputs, 1), e.Width(), seed)
	}
	return reader.DrawAttention(c.Heads, c.Width, e.Width(), c.Queries, c.Sigma, seed)
}

// original reads texts as the original encoder has them.
type original struct {
	reader reader.Reader
	states map[string]*encoder.State
}

// readOriginal runs the original encoder over texts.
func readOriginal(ctx context.Context, e *encoder.Encoder, r reader.Reader, texts []string) (*original, error) {
	states, err := e.States(ctx, nil, texts)
	if err != nil {
		return nil, err
	}
	o := &original{reader: r, states: make(map[string]*encoder.State, len(texts))}
	for i, s := range states {
		o.states[texts[i]] = s
	}
	return o, nil
}

// longest is the number of tokens of the longest text.
func (o *original) longest() (n int) {
	for _, s := range o.states {
		n = max(n, s.Len())
	}
	return n
}

// read reads a text for the tokens of another one.
func (o *original) read(text string, at token.Encoding, queries *mat.Dense) (*mat.Dense, error) {
	s := o.states[text]
	x, err := o.reader.Read(s.X, queries)
	if err != nil {
		return nil, err
	}
	return placed(o.reader, at, s.Encoding, x), nil
}

// away is what ESD trains a concept's reading towards: null - eta (concept - null), as the original encoder has both.
func (o *original) away(concept, null string, at token.Encoding, eta float64, queries *mat.Dense) (*mat.Dense, error) {
	r0, err := o.read(null, at, queries)
	if err != nil {
		return nil, err
	}
	rc, err := o.read(concept, at, queries)
	if err != nil {
		return nil, err
	}
	n, d := rc.Dims()
	out := mat.NewDense(n, d, nil)
	for i := range n {
		row, err := erase.ESDTarget(r0.RawRowView(i), rc.RawRowView(i), eta)
		if err != nil {
			return nil, err
		}
		out.SetRow(i, row)
	}
	return out, nil
}
