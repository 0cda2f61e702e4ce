package probe

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"loupe/vectors"
)

// MDLConfig says how code lengths are measured.
type MDLConfig struct {
	Fractions []float64 `json:"fractions" doc:"where the blocks end, as shares of the rows, ascending; the last is 1"`
	Orders    int       `json:"orders" doc:"random orders of the rows that the code length is the mean of"`
}

// DefaultMDL is Voita and Titov's blocks, without those below 1.6 %, which are empty for a few hundred rows.
func DefaultMDL() MDLConfig {
	return MDLConfig{Fractions: []float64{0.016, 0.032, 0.0625, 0.125, 0.25, 0.5, 1}, Orders: 1}
}

// Validate names the field that is out of range.
func (c MDLConfig) Validate() error {
	n := len(c.Fractions)
	switch {
	case n < 2 || !slices.IsSorted(c.Fractions) || !(c.Fractions[0] > 0) || c.Fractions[n-1] != 1:
		return fmt.Errorf("probe: MDL: fractions are %v: %w; give two or more shares above 0, ascending, the last 1", c.Fractions, vectors.ErrArgument)
	case c.Orders < 1:
		return fmt.Errorf("probe: MDL: orders is %d: %w; it is 1 or more", c.Orders, vectors.ErrArgument)
	}
	return nil
}

// CodeLength is how many bits the labels take.
type CodeLength struct {
	Bits        float64 `json:"bits"`        // online code
	Uniform     float64 `json:"uniform"`     // n log2 k
	Compression float64 `json:"compression"` // Uniform / Bits
	N           int     `json:"n"`
	// Blocks are the bits of each block, the mean over orders; the first is coded uniformly.
	Blocks []float64 `json:"blocks"`
}

// mixed is the share of the uniform distribution in every code: a row that the probe thinks impossible takes 20 bits more
// than by chance, not infinitely many.
const mixed = 1e-6

// OnlineCode measures minimum description length by the online code of Voita and Titov (arXiv:2003.12298): the rows are
// sent in blocks; the first takes log2 k bits a row, and each later one -log2 of the probability that a probe fitted to
// all rows before gives to the labels. A probe that learns from few rows compresses more. Blocks before which a class
// has not been seen are coded uniformly. Targets share the rows and must be labelled alike.
func OnlineCode(ctx context.Context, m Method, x Rows, targets []Target, cfg MDLConfig, seed uint64) ([]CodeLength, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !m.Probabilistic() {
		return nil, fmt.Errorf("probe: MDL of method %s: %w; it gives no probabilities, take %s", m.Name, vectors.ErrArgument, MethodLogistic)
	}
	if len(targets) == 0 {
		return nil, nil
	}
	rows := targets[0].Labelled()
	for _, t := range targets {
		if err := t.Check(x.N, 1); err != nil {
			return nil, err
		}
		if t.Task == Regression || !slices.Equal(t.Labelled(), rows) {
			return nil, fmt.Errorf("probe: MDL: target %s (%s) is not labelled as %s is: %w; measure it by itself", t.Name, t.Task, targets[0].Name, vectors.ErrArgument)
		}
	}
	ends := make([]int, len(cfg.Fractions))
	for i, f := range cfg.Fractions {
		ends[i] = int(math.Round(f * float64(len(rows))))
	}
	out := make([]CodeLength, len(targets))
	for i, t := range targets {
		out[i] = CodeLength{N: len(rows), Uniform: float64(len(rows)) * math.Log2(float64(t.K())), Blocks: make([]float64, len(ends))}
	}
	for order := range cfg.Orders {
		mixedRows := slices.Clone(rows)
		rng := rand.New(rand.NewPCG(seed, uint64(order)))
		rng.Shuffle(len(mixedRows), func(i, j int) { mixedRows[i], mixedRows[j] = mixedRows[j], mixedRows[i] })
		for b, end := range ends {
			from := 0
			if b > 0 {
				from = ends[b-1]
			}
			bits, err := blockBits(ctx, m, x, targets, mixedRows[:from], mixedRows[from:end], seed)
			if err != nil {
				return nil, fmt.Errorf("probe: MDL, %d rows before: %w", from, err)
			}
			for i := range out {
				out[i].Blocks[b] += bits[i] / float64(cfg.Orders)
			}
		}
	}
	for i := range out {
		for _, b := range out[i].Blocks {
			out[i].Bits += b
		}
		out[i].Compression = out[i].Uniform / out[i].Bits
	}
	return out, nil
}

// blockBits codes the rows of a block after those before it, for each target.
func blockBits(ctx context.Context, m Method, x Rows, targets []Target, before, block []int, seed uint64) ([]float64, error) {
	bits := make([]float64, len(targets))
	var known []int // targets of which every class has been seen
	for i, t := range targets {
		if len(block) > 0 && !slices.Contains(t.Take(before).Counts(), 0) {
			known = append(known, i)
		} else {
			bits[i] = float64(len(block)) * math.Log2(float64(t.K()))
		}
	}
	if len(known) == 0 {
		return bits, nil
	}
	train := make([]Target, len(known))
	for j, i := range known {
		train[j] = targets[i].Take(before)
	}
	fits, err := m.Fit(ctx, x.Take(before), train, nil, seed)
	if err != nil {
		return nil, err
	}
	test := x.Take(block)
	for j, i := range known {
		scores, err := fits[j].Scores(test)
		if err != nil {
			return nil, err
		}
		p, err := Probabilities(targets[i], scores)
		if err != nil {
			return nil, err
		}
		k := targets[i].K()
		for r, row := range block {
			bits[i] -= math.Log2((1-mixed)*p[r*k+targets[i].Class[row]] + mixed/float64(k))
		}
	}
	return bits, nil
}
