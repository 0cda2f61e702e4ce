package bottleneck

import (
	"fmt"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Intervention sets concepts to their true values: what their activations are on average where the concept is present, and
// where it is not.
type Intervention struct {
	On, Off []float64 // [m]
}

// FitIntervention takes the means from activations z [n, m] of texts whose concepts are known: presence [n, m] holds 1 and 0.
// Every concept must be present in a text and absent from one.
func FitIntervention(z, presence *mat.Dense) (Intervention, error) {
	n, m, err := checkPresence(z, presence)
	if err != nil {
		return Intervention{}, err
	}
	v := Intervention{On: make([]float64, m), Off: make([]float64, m)}
	for j := range m {
		on := 0
		for i := range n {
			if presence.At(i, j) == 1 {
				on++
				v.On[j] += z.At(i, j)
			} else {
				v.Off[j] += z.At(i, j)
			}
		}
		if on == 0 || on == n {
			return Intervention{}, fmt.Errorf("bottleneck: concept %d is present in %d of %d texts: %w; its two values need texts of both kinds", j, on, n, vectors.ErrClasses)
		}
		v.On[j] /= float64(on)
		v.Off[j] /= float64(n - on)
	}
	return v, nil
}

// Apply returns z with the given concepts at their true values (Koh et al., arXiv:2007.04612).
func (v Intervention) Apply(z, presence *mat.Dense, concepts []int) (*mat.Dense, error) {
	n, m, err := checkPresence(z, presence)
	if err != nil {
		return nil, err
	}
	if m != len(v.On) {
		return nil, fmt.Errorf("bottleneck: values of %d concepts for activations of %d: %w", len(v.On), m, vectors.ErrShape)
	}
	out := mat.DenseCopyOf(z)
	for _, j := range concepts {
		if j < 0 || j >= m {
			return nil, argument("concept %d of %d", j, m)
		}
		for i := range n {
			value := v.Off[j]
			if presence.At(i, j) == 1 {
				value = v.On[j]
			}
			out.Set(i, j, value)
		}
	}
	return out, nil
}

func checkPresence(z, presence *mat.Dense) (n, m int, err error) {
	if n, m, err = checkMatrix("activations", z, 0); err != nil {
		return 0, 0, err
	}
	r, _, err := checkMatrix("presence of concepts", presence, m)
	if err != nil {
		return 0, 0, err
	}
	if r != n {
		return 0, 0, fmt.Errorf("bottleneck: presence of concepts in %d texts for %d: %w", r, n, vectors.ErrShape)
	}
	for i := range n {
		for j, p := range presence.RawRowView(i) {
			if p != 0 && p != 1 {
				return 0, 0, argument("presence of concept %d in text %d is %v; it must be 0 or 1", j, i, p)
			}
		}
	}
	return n, m, nil
}
