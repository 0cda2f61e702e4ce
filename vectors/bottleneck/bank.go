package bottleneck

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Bank is a set of named concepts as directions of an encoder's embedding space: embeddings of the concepts' phrases, or
// concept activation vectors.
type Bank struct {
	Names   []string
	Vectors *mat.Dense // [m, d]; no row is 0
}

// Check fails unless every concept has a name and a direction.
func (b Bank) Check() error {
	m, _, err := checkMatrix("concepts", b.Vectors, 0)
	if err != nil {
		return err
	}
	if len(b.Names) != m {
		return fmt.Errorf("bottleneck: %d names for %d concepts: %w", len(b.Names), m, vectors.ErrShape)
	}
	for i := range m {
		if floats.Norm(b.Vectors.RawRowView(i), 2) == 0 {
			return argument("concept %q has the zero vector, which is no direction", b.Names[i])
		}
	}
	return nil
}

// Len returns the number of concepts.
func (b Bank) Len() int { return len(b.Names) }

// Take returns the concepts that index names, in its order.
func (b Bank) Take(index []int) Bank {
	_, d := b.Vectors.Dims()
	out := Bank{Vectors: mat.NewDense(len(index), d, nil)}
	for r, i := range index {
		out.Names = append(out.Names, b.Names[i])
		out.Vectors.SetRow(r, b.Vectors.RawRowView(i))
	}
	return out
}

// RandomBank returns as many concepts of the same names whose directions are normal deviates by seed: the control for what
// a bottleneck leaks that its concepts do not say. Directions drawn like this have no meaning, but many of them span the
// embedding space.
func RandomBank(b Bank, seed uint64) Bank {
	m, d := b.Vectors.Dims()
	rng := rand.New(rand.NewPCG(seed, 0x62616e6b)) // "bank"
	out := Bank{Names: b.Names, Vectors: mat.NewDense(m, d, nil)}
	for i := range m {
		row := out.Vectors.RawRowView(i)
		for j := range row {
			row[j] = rng.NormFloat64()
		}
	}
	return out
}

// ShuffleNames returns the same directions with their names permuted at random by seed, and from: concept i of the result has
// the name of concept from[i] of b. What depends on the names must fall to chance.
func ShuffleNames(b Bank, seed uint64) (shuffled Bank, from []int) {
	from = rand.New(rand.NewPCG(seed, 0x6e616d65)).Perm(b.Len()) // "name"
	shuffled = Bank{Names: make([]string, b.Len()), Vectors: b.Vectors}
	for i, at := range from {
		shuffled.Names[i] = b.Names[at]
	}
	return shuffled, from
}
