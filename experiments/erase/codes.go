package erase

import (
	"cmp"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Codes are the active features of n states: state i has the features Index[i], ascending, with the values Value[i]; all others are 0.
type Codes struct {
	Features int // F, features there are
	Index    [][]int32
	Value    [][]float64
}

// Dense is the codes as a matrix [n, F].
func (c *Codes) Dense() *mat.Dense {
	z := mat.NewDense(len(c.Index), c.Features, nil)
	for i, index := range c.Index {
		for j, f := range index {
			z.Set(i, int(f), c.Value[i][j])
		}
	}
	return z
}

// times multiplies every value by what factor says of its state and feature, in a copy.
func (c *Codes) times(factor func(state int, feature int32) float64) *Codes {
	out := &Codes{Features: c.Features, Index: c.Index, Value: make([][]float64, len(c.Value))}
	for i, value := range c.Value {
		out.Value[i] = make([]float64, len(value))
		for j, v := range value {
			out.Value[i][j] = v * factor(i, c.Index[i][j])
		}
	}
	return out
}

func (c *Codes) check(features int) error {
	if c == nil || len(c.Index) == 0 || len(c.Value) != len(c.Index) || c.Features != features {
		return fmt.Errorf("erase: codes of another shape than [n, %d]: %w", features, vectors.ErrShape)
	}
	for i, index := range c.Index {
		if len(c.Value[i]) != len(index) {
			return fmt.Errorf("erase: codes: state %d has %d features and %d values: %w", i, len(index), len(c.Value[i]), vectors.ErrShape)
		}
		for _, f := range index {
			if f < 0 || int(f) >= features {
				return fmt.Errorf("erase: codes: feature %d of %d: %w; is it another autoencoder's?", f, features, vectors.ErrShape)
			}
		}
	}
	return nil
}

// Coder writes states as sparse codes and back.
type Coder interface {
	// Width is the width d of a state.
	Width() int
	// Features is the number F of features.
	Features() int
	// Encode returns the codes of states x [n, d].
	Encode(x *mat.Dense) (*Codes, error)
	// Decode returns the states [n, d] of codes: their sum of directions and what the coder adds to it.
	Decode(z *Codes) (*mat.Dense, error)
	// Directions is the sum [n, d] of each state's features' directions times their values, alone.
	Directions(z *Codes) (*mat.Dense, error)
	// Pullback is the gradient with respect to x of <g, Directions(a z(x))> for the codes' active features and factors a in the
	// place of their values, which features are active being held fixed.
	Pullback(a *Codes, g *mat.Dense) (*mat.Dense, error)
}

// largest is a min-heap of the k largest values that it was offered; of equal ones the first that came stays.
type largest struct {
	k     int
	value []float32
	index []int32
}

// offer takes v, the value of a feature, if it belongs to the k largest.
func (h *largest) offer(f int32, v float32) {
	if len(h.value) < h.k {
		h.value, h.index = append(h.value, v), append(h.index, f)
		for i := len(h.value) - 1; i > 0 && h.value[i] < h.value[(i-1)/2]; i = (i - 1) / 2 {
			h.swap(i, (i-1)/2)
		}
		return
	}
	if v <= h.value[0] {
		return
	}
	h.value[0], h.index[0] = v, f
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h.value) && h.value[child] < h.value[least] {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *largest) swap(i, j int) {
	h.value[i], h.value[j] = h.value[j], h.value[i]
	h.index[i], h.index[j] = h.index[j], h.index[i]
}

// sorted are the features that stayed, ascending, with their values.
func (h *largest) sorted() ([]int32, []float64) {
	order := make([]int, len(h.index))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(h.index[a], h.index[b]) })
	index, value := make([]int32, len(order)), make([]float64, len(order))
	for i, at := range order {
		index[i] = h.index[at]
		value[i] = float64(h.value[at])
	}
	return index, value
}
