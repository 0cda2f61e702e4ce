package planted

import (
	"fmt"

	"loupe/sae"
)

// apart is the distance in rows between the data of two seeds, more than any training reads.
const apart = 1 << 36

// rows are the activations for a seed's training: seed 0's, that of all comparisons, from row 0. The features are the same for
// all.
func (c *Config) rows(seed int64) (*sae.Planted, error) { return c.rowsFrom(seed * apart) }

// heldOut are rows that nothing is trained on.
func (c *Config) heldOut() (*sae.Planted, error) { return c.rowsFrom(apart / 2) }

func (c *Config) rowsFrom(row int64) (*sae.Planted, error) {
	d := c.Data
	p, err := sae.NewPlanted(sae.PlantedConfig{Dim: d.Dim, Features: d.Features, Active: d.Active, Noise: d.Noise, Seed: uint64(c.Base.Seed)})
	if err != nil {
		return nil, err
	}
	return p, p.Restore(fmt.Appendf(nil, "%d", row))
}

// scrambled are rows without features: in each whole block of rows every dimension is moved on by another number of rows, so
// that dimensions keep their distribution and lose what they have to do with each other.
type scrambled struct {
	*sae.Planted
	dim int
}

// Next fills dst with whole rows.
func (s scrambled) Next(dst []float32) (int, error) {
	n, err := s.Planted.Next(dst)
	if err != nil {
		return n, err
	}
	column := make([]float32, n)
	for j := range s.dim {
		for r := range n {
			column[(r+j)%n] = dst[r*s.dim+j]
		}
		for r, v := range column {
			dst[r*s.dim+j] = v
		}
	}
	return n, nil
}
