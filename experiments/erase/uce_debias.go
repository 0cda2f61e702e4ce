package erase

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// DebiasConfig are the settings of UCE's debiasing.
type DebiasConfig struct {
	UCE       UCEConfig `json:"uce" doc:"of each round's edit"`
	Rate      float64   `json:"rate" doc:"how much of an attribute a concept is given for each unit that its share lacks"`
	Tolerance float64   `json:"tolerance" doc:"largest distance of a share from what is wanted, with which the search ends"`
	Rounds    int       `json:"rounds" doc:"edits, at most"`
}

// DefaultDebias returns settings that suit embeddings of norm 1; the published code has a step per image sample instead.
func DefaultDebias() DebiasConfig {
	return DebiasConfig{UCE: DefaultUCE(), Rate: 0.5, Tolerance: 0.02, Rounds: 50}
}

// Validate checks every setting.
func (c DebiasConfig) Validate() error {
	if !(c.Rate > 0) || !(c.Tolerance > 0) || math.IsInf(c.Rate, 0) || c.Rounds < 1 {
		return fmt.Errorf("erase: rate %v, tolerance %v, rounds %d: %w; use positive numbers", c.Rate, c.Tolerance, c.Rounds, vectors.ErrArgument)
	}
	return c.UCE.Validate()
}

// DebiasEdit is a map after which a concept has its attributes in the wanted shares.
type DebiasEdit struct {
	*Edit             // nil where nothing had to be done
	Alpha   []float64 // of each attribute
	Shares  [][]float64
	Matched bool // within the tolerance
}

// UCEDebias gives concepts [n, d] attributes [k, d] until a classifier finds the attributes in the wanted shares (nil: equal):
//
//	v_i = c_i + sum_a alpha_a a,   alpha_a += rate (want_a - share_a)
//
// with one alpha for all concepts (the debiasing of Gandikota et al., arXiv:2308.14761, section 4.3, where shares are of classified
// images). shares measures a map, nil before the first edit; it must add up to 1. The request's anchors are not used.
func UCEDebias(r Request, attributes *mat.Dense, want []float64, shares func(m *Map) ([]float64, error), cfg DebiasConfig) (*DebiasEdit, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	n, d, err := checkRows("concepts", r.Concepts, 0)
	if err != nil {
		return nil, err
	}
	k, _, err := checkRows("attributes", attributes, d)
	if err != nil {
		return nil, err
	}
	if k < 2 || want != nil && (len(want) != k || math.Abs(floats.Sum(want)-1) > 1e-9) {
		return nil, fmt.Errorf("erase: %d attributes, wanted shares %v: %w; give two attributes or more, and a share for each that add up to 1", k, want, vectors.ErrArgument)
	}
	if want == nil {
		want = ones(k, 1/float64(k))
	}
	out := &DebiasEdit{Alpha: make([]float64, k)}
	for round := 0; ; round++ {
		var m *Map
		if out.Edit != nil {
			m = out.Map
		}
		got, err := shares(m)
		if err != nil {
			return nil, fmt.Errorf("erase: shares after round %d: %w", round, err)
		}
		if len(got) != k {
			return nil, fmt.Errorf("erase: %d shares of %d attributes: %w", len(got), k, vectors.ErrShape)
		}
		if err := checkFinite("shares", got); err != nil {
			return nil, err
		}
		out.Shares = append(out.Shares, slices.Clone(got))
		if out.Matched = floats.Distance(got, want, math.Inf(1)) <= cfg.Tolerance; out.Matched || round == cfg.Rounds {
			return out, nil
		}
		r.Anchors = mat.DenseCopyOf(r.Concepts)
		for a := range k {
			out.Alpha[a] += cfg.Rate * (want[a] - got[a])
			for i := range n {
				floats.AddScaled(r.Anchors.RawRowView(i), out.Alpha[a], attributes.RawRowView(a))
			}
		}
		if out.Edit, err = UCE(r, cfg.UCE); err != nil {
			return nil, fmt.Errorf("round %d: %w", round, err)
		}
	}
}
