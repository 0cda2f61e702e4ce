package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// Pairs are activations of contrastive pairs: row i of Pos and of Neg [n, d] are the two members of pair i.
type Pairs struct {
	Pos, Neg *mat.Dense
}

// check returns the number of pairs and their width.
func (p Pairs) check() (n, d int, err error) {
	n, d, err = checkRows("the positive half", p.Pos)
	if err != nil {
		return 0, 0, err
	}
	n0, d0, err := checkRows("the negative half", p.Neg)
	if err != nil {
		return 0, 0, err
	}
	if n0 != n || d0 != d {
		return 0, 0, fmt.Errorf("vectors: positive half [%d, %d] and negative half [%d, %d]: %w; rows must pair one to one", n, d, n0, d0, ErrShape)
	}
	return n, d, nil
}

// differences are Pos - Neg.
func (p Pairs) differences() *mat.Dense {
	var out mat.Dense
	out.Sub(p.Pos, p.Neg)
	return &out
}

// orient flips w in place so that at least as many pairs have pos.w > neg.w as the reverse. In a tie the pairs give no
// sign and the entry of largest magnitude becomes positive.
func (p Pairs) orient(w []float64) {
	above, below := 0, 0
	n, _ := p.Pos.Dims()
	for i := range n {
		switch a, b := floats.Dot(p.Pos.RawRowView(i), w), floats.Dot(p.Neg.RawRowView(i), w); {
		case a > b:
			above++
		case a < b:
			below++
		}
	}
	switch {
	case above == below:
		orient(w)
	case above < below:
		floats.Scale(-1, w)
	}
}
