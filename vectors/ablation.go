package vectors

import (
	"fmt"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"
)

// Ablation removes the span of the rows of v [m, d] from activations: x' = x - Q'Q x with Q an orthonormal basis of the span.
// Rows that depend on others (to 1e-10) add no direction.
func Ablation(v *mat.Dense) (*Eraser, error) {
	_, d, err := checkDirections(v)
	if err != nil {
		return nil, err
	}
	return projection(orthonormal(nil, v), make([]float64, d)), nil
}

// AblationAbout is Ablation about a point [d], such as the mean activation: x' = x - Q'Q (x - point), so that the mean keeps
// its part along the directions (mean ablation of a direction).
func AblationAbout(v *mat.Dense, point []float64) (*Eraser, error) {
	e, err := Ablation(v)
	if err != nil {
		return nil, err
	}
	if len(point) != len(e.Bias) {
		return nil, fmt.Errorf("vectors: point of width %d for directions of width %d: %w", len(point), len(e.Bias), ErrShape)
	}
	copy(e.Bias, point)
	return e, nil
}

// RandomProjection removes a uniformly random subspace of r of d dimensions: the control of equal rank that an erasure must
// be shown beside.
func RandomProjection(d, r int, seed uint64) (*Eraser, error) {
	if r < 1 || r > d {
		return nil, fmt.Errorf("vectors: random subspace of %d of %d dimensions: %w", r, d, ErrArgument)
	}
	rng := rand.New(rand.NewPCG(seed, 0x72616e646f6d7375)) // "randomsu"
	v := mat.NewDense(r, d, nil)
	for i := range v.RawMatrix().Data {
		v.RawMatrix().Data[i] = rng.NormFloat64()
	}
	return Ablation(v)
}
