package erase

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Neighbourhood says which embeddings e + noise count as the concept e (near), which lie beyond it, and with the rest which are
// neither. The paper's values are not published: CalibrateNeighbourhood sets them from synonyms.
type Neighbourhood struct {
	Distance  float64 `json:"distance" doc:"D1: largest norm of the noise of a near one; one beyond has more"`
	MinCosine float64 `json:"min_cosine" doc:"S1: least cosine of a near one; one beyond has less"`
	MaxCosine float64 `json:"max_cosine" doc:"S2: largest cosine of a near one"`
}

// Validate fails where no embedding could be near.
func (h Neighbourhood) Validate() error {
	if !(h.Distance > 0) || math.IsInf(h.Distance, 0) {
		return fmt.Errorf("erase: distance is %v: %w; use a positive number", h.Distance, vectors.ErrArgument)
	}
	if !(h.MinCosine >= -1 && h.MinCosine < h.MaxCosine && h.MaxCosine <= 1) {
		return fmt.Errorf("erase: min_cosine %v and max_cosine %v: %w; they need -1 <= min < max <= 1", h.MinCosine, h.MaxCosine, vectors.ErrArgument)
	}
	return nil
}

// CalibrateNeighbourhood takes the neighbourhood from embeddings of a concept [n, d] and of a synonym of each [n, d]: the distance
// that share of them keep to, and the cosines between their (1-share)-quantile and 1.
func CalibrateNeighbourhood(concepts, synonyms *mat.Dense, share float64) (Neighbourhood, error) {
	n, d, err := checkRows("concepts", concepts, 0)
	if err != nil {
		return Neighbourhood{}, err
	}
	if rows, _, err := checkRows("synonyms", synonyms, d); err != nil || rows != n {
		return Neighbourhood{}, fmt.Errorf("erase: %d synonyms for %d concepts: %w", rows, n, vectors.ErrShape)
	}
	if !(share > 0 && share <= 1) {
		return Neighbourhood{}, fmt.Errorf("erase: share is %v: %w; use a number above 0, up to 1", share, vectors.ErrArgument)
	}
	distance, cosine := make([]float64, n), make([]float64, n)
	for i := range n {
		a, b := concepts.RawRowView(i), synonyms.RawRowView(i)
		distance[i] = floats.Distance(a, b, 2)
		cosine[i] = cosineOf(a, b)
	}
	slices.Sort(distance)
	slices.Sort(cosine)
	h := Neighbourhood{Distance: quantile(distance, share), MinCosine: quantile(cosine, 1-share), MaxCosine: 1}
	return h, h.Validate()
}

// Mined are candidates e + noise, sorted into near, beyond and neither.
type Mined struct {
	Candidates       *mat.Dense // [k, d]
	Distance, Cosine []float64  // [k], to e
	Near, Beyond     []bool     // [k]
}

// Mine sorts the candidates e + noise for noise [k, d].
func Mine(e []float64, noise *mat.Dense, h Neighbourhood) (*Mined, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	k, d, err := checkRows("noise", noise, len(e))
	if err != nil {
		return nil, err
	}
	if err := checkVector("concept", e, d); err != nil {
		return nil, err
	}
	m := &Mined{Candidates: mat.DenseCopyOf(noise), Distance: make([]float64, k), Cosine: make([]float64, k), Near: make([]bool, k), Beyond: make([]bool, k)}
	for i := range k {
		row := m.Candidates.RawRowView(i)
		m.Distance[i] = floats.Norm(row, 2)
		floats.Add(row, e)
		m.Cosine[i] = cosineOf(row, e)
		m.Near[i] = m.Distance[i] <= h.Distance && m.Cosine[i] >= h.MinCosine && m.Cosine[i] <= h.MaxCosine
		m.Beyond[i] = m.Distance[i] > h.Distance && m.Cosine[i] < h.MinCosine
	}
	return m, nil
}

// SampleNoise draws k Gaussian rows of width d, each times its own scale, uniform from low to high, by seed.
func SampleNoise(k, d int, low, high float64, seed uint64) (*mat.Dense, error) {
	if k < 1 || d < 1 || !(low >= 0 && low <= high) || math.IsInf(high, 0) {
		return nil, fmt.Errorf("erase: %d rows of noise of width %d and scale %v to %v: %w", k, d, low, high, vectors.ErrArgument)
	}
	r := rand.New(rand.NewPCG(seed, 0))
	out := mat.NewDense(k, d, nil)
	for i := range k {
		scale := low + (high-low)*r.Float64()
		for j := range d {
			out.Set(i, j, scale*r.NormFloat64())
		}
	}
	return out, nil
}

// picked are the candidates of which pick says so; nil for none.
func (m *Mined) picked(pick []bool) *mat.Dense {
	_, d := m.Candidates.Dims()
	var rows []float64
	for i, in := range pick {
		if in {
			rows = append(rows, m.Candidates.RawRowView(i)...)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return mat.NewDense(len(rows)/d, d, rows)
}

// cosineOf is 0 where a vector is zero.
func cosineOf(a, b []float64) float64 {
	norm := floats.Norm(a, 2) * floats.Norm(b, 2)
	if norm == 0 {
		return 0
	}
	return floats.Dot(a, b) / norm
}

// quantile interpolates linearly between sorted values, as NumPy does by default.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	lo := int(math.Floor(at))
	if lo+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[lo] + (at-float64(lo))*(sorted[lo+1]-sorted[lo])
}
