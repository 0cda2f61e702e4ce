package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// TransportPrompt is a text as facilitated transport sees it.
type TransportPrompt struct {
	Hidden *mat.Dense // [T, d], the encoder's output for all tokens
	Tokens []int      // its token ids without special tokens
}

// Transport says how much of a concept's adapter a prompt gets.
type Transport struct {
	Gamma   float64 // max(Cosine, Overlap) over the concept's prompts; may be negative
	Cosine  float64 // largest cosine of the flattened hidden states
	Overlap float64 // largest share of a concept prompt's distinct tokens that the prompt holds
}

// FacilitatedTransport is the gate of SPM (Lyu et al., arXiv:2312.16145, section 3.3) for one concept, given by its prompts:
//
//	gamma = max_k max(cos(h, h_k), |tokens ∩ tokens_k| / |tokens_k|)
//
// with token ids taken as sets. Prompts of the same number of tokens as the concept's are needed.
func FacilitatedTransport(p TransportPrompt, concept []TransportPrompt) (Transport, error) {
	n, d, err := checkRows("prompt", p.Hidden, 0)
	if err != nil {
		return Transport{}, err
	}
	if len(concept) == 0 {
		return Transport{}, fmt.Errorf("erase: a concept without prompts: %w", vectors.ErrShape)
	}
	have := make(map[int]bool)
	for _, id := range p.Tokens {
		have[id] = true
	}
	out := Transport{Gamma: math.Inf(-1), Cosine: math.Inf(-1)}
	for k, c := range concept {
		rows, _, err := checkRows(fmt.Sprintf("concept prompt %d", k), c.Hidden, d)
		if err != nil {
			return Transport{}, err
		}
		if rows != n {
			return Transport{}, fmt.Errorf("erase: concept prompt %d has %d tokens, the prompt %d: %w; pad both alike", k, rows, n, vectors.ErrShape)
		}
		wanted := make(map[int]bool)
		for _, id := range c.Tokens {
			wanted[id] = true
		}
		if len(wanted) == 0 {
			return Transport{}, fmt.Errorf("erase: concept prompt %d has no tokens: %w", k, vectors.ErrShape)
		}
		shared := 0
		for id := range wanted {
			if have[id] {
				shared++
			}
		}
		out.Cosine = max(out.Cosine, cosineOf(flat(p.Hidden), flat(c.Hidden)))
		out.Overlap = max(out.Overlap, float64(shared)/float64(len(wanted)))
	}
	out.Gamma = max(out.Cosine, out.Overlap)
	return out, nil
}

// Membrane is SPM's adapter of one linear layer, of rank 1: W x + scale gamma up (down . x).
type Membrane struct {
	Up   []float64 // [o]
	Down []float64 // [d]
}

// Compose returns W x + scale sum_c gamma_c (down_c . x) up_c for one x [d] and the membranes of several concepts with their
// gammas. With all gammas 0 it is W x exactly.
func Compose(w *mat.Dense, membranes []Membrane, gamma []float64, scale float64, x []float64) ([]float64, error) {
	o, d, err := checkRows("layer", w, 0)
	if err != nil {
		return nil, err
	}
	if len(x) != d || len(gamma) != len(membranes) {
		return nil, fmt.Errorf("erase: layer [%d, %d] with x of %d entries, %d membranes and %d gammas: %w", o, d, len(x), len(membranes), len(gamma), vectors.ErrShape)
	}
	y := mat.NewVecDense(o, nil)
	y.MulVec(w, mat.NewVecDense(d, x))
	out := y.RawVector().Data
	for i, m := range membranes {
		if len(m.Up) != o || len(m.Down) != d {
			return nil, fmt.Errorf("erase: membrane %d is [%d, %d] for a layer [%d, %d]: %w", i, len(m.Up), len(m.Down), o, d, vectors.ErrShape)
		}
		if gamma[i] != 0 {
			floats.AddScaled(out, scale*gamma[i]*floats.Dot(m.Down, x), m.Up)
		}
	}
	return out, checkFinite("output", out)
}

// flat are the values of a matrix, row after row.
func flat(m *mat.Dense) []float64 {
	if raw := m.RawMatrix(); raw.Stride == raw.Cols {
		return raw.Data[:raw.Rows*raw.Cols]
	}
	return mat.DenseCopyOf(m).RawMatrix().Data
}
