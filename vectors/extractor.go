package vectors

import (
	"context"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Extractor finds concepts in activations by dictionary learning (Fel et al., arXiv:2306.07304): rows a are written as
// Centre + u W, and the methods differ in what they ask of u and W.
type Extractor interface {
	Name() string
	// Extract finds r concepts in a [n, d]; the seed decides what is random.
	Extract(ctx context.Context, a *mat.Dense, r int, seed uint64) (*Concepts, error)
}

// Concepts are r directions and how much of each some rows hold.
type Concepts struct {
	Method string
	W      *mat.Dense // [r, d]
	Centre []float64  // [d]
	U      *mat.Dense // [n, r], of the rows that they were extracted from

	encode   func(ctx context.Context, a *mat.Dense) (*mat.Dense, error)
	jacobian func(u []float64) (*mat.Dense, error) // nil where codes do not move smoothly with a
}

// Encode returns how much of each concept rows a [n, d] hold, [n, r], with the concepts as they are.
func (c *Concepts) Encode(ctx context.Context, a *mat.Dense) (*mat.Dense, error) {
	_, d, err := checkRows("activations", a)
	if err != nil {
		return nil, err
	}
	if err := checkWidth(c.Method+" concepts", len(c.Centre), d); err != nil {
		return nil, err
	}
	return c.encode(ctx, a)
}

// Decode returns Centre + u W [n, d] for codes u [n, r].
func (c *Concepts) Decode(u *mat.Dense) (*mat.Dense, error) {
	n, r, err := checkRows("codes", u)
	if err != nil {
		return nil, err
	}
	if want, _ := c.W.Dims(); r != want {
		return nil, fmt.Errorf("vectors: codes of %d concepts for %d: %w", r, want, ErrShape)
	}
	out := product(u, c.W)
	for i := range n {
		floats.Add(out.RawRowView(i), c.Centre)
	}
	return out, nil
}

// Jacobian is the derivative [r, d] of a row's codes u [r] with respect to the row: what turns a map of an activation into
// one of a concept.
func (c *Concepts) Jacobian(u []float64) (*mat.Dense, error) {
	if c.jacobian == nil {
		return nil, fmt.Errorf("vectors: codes of %s jump: %w; they have no derivative to attribute with", c.Method, ErrArgument)
	}
	return c.jacobian(u)
}

// checkExtract checks what every extractor is given.
func checkExtract(what string, a *mat.Dense, r int) (n, d int, err error) {
	n, d, err = checkRows("activations", a)
	if err != nil {
		return 0, 0, err
	}
	if r < 1 || r > n {
		return 0, 0, fmt.Errorf("vectors: %s: %d concepts in %d rows: %w; each needs a row", what, r, n, ErrArgument)
	}
	return n, d, nil
}
