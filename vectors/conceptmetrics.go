package vectors

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// GlobalImportance is the concept global importance metric (CGIM, arXiv:2501.19271): how far the weights that a classifier gives
// to concepts agree with which concepts its classes have. weights and truth are [classes, concepts], truth 1 or the share of
// a class's texts that hold the concept. The agreement is the cosine of the two about their means, so that a weight on every
// concept alike counts for nothing: of each class over concepts, and of each concept over classes. Where one of the two is
// constant there is nothing to agree on, and the value is 0.
func GlobalImportance(weights, truth *mat.Dense) (byClass, byConcept []float64, err error) {
	classes, concepts, err := checkRows("weights", weights)
	if err != nil {
		return nil, nil, err
	}
	if _, _, err := checkRows("truth", truth); err != nil {
		return nil, nil, err
	}
	if r, c := truth.Dims(); r != classes || c != concepts {
		return nil, nil, fmt.Errorf("vectors: global importance: weights of %d x %d and truth of %d x %d: %w", classes, concepts, r, c, ErrShape)
	}
	for i := range classes {
		byClass = append(byClass, centredCosine(mat.Row(nil, i, weights), mat.Row(nil, i, truth)))
	}
	for j := range concepts {
		byConcept = append(byConcept, centredCosine(mat.Col(nil, j, weights), mat.Col(nil, j, truth)))
	}
	return byClass, byConcept, nil
}

// centredCosine is the correlation of a and b, which it changes; 0 where one is constant.
func centredCosine(a, b []float64) float64 {
	for _, v := range [][]float64{a, b} {
		largest := max(floats.Max(v), -floats.Min(v))
		floats.AddConst(-floats.Sum(v)/float64(len(v)), v)
		if floats.Norm(v, 2) <= 1e-12*largest { // rounding of a constant
			return 0
		}
	}
	return floats.Dot(a, b) / floats.Norm(a, 2) / floats.Norm(b, 2)
}

// Existence is the concept existence metric (CEM, arXiv:2501.19271) of each text: the share of its k most important concepts
// that it holds. importance is [n, concepts], such as weight times score for the class that was said; present [n][concepts]
// tells what a text holds. Of equally important concepts the first counts.
func Existence(importance *mat.Dense, present [][]bool, k int) ([]float64, error) {
	n, concepts, err := checkRows("importance", importance)
	if err != nil {
		return nil, err
	}
	if k < 1 || k > concepts {
		return nil, fmt.Errorf("vectors: existence of the top %d of %d concepts: %w", k, concepts, ErrArgument)
	}
	if len(present) != n {
		return nil, fmt.Errorf("vectors: existence: %d texts and %d lists of what they hold: %w", n, len(present), ErrShape)
	}
	out := make([]float64, n)
	for i, has := range present {
		if len(has) != concepts {
			return nil, fmt.Errorf("vectors: existence: text %d says of %d concepts whether it holds them, of %d: %w", i, len(has), concepts, ErrShape)
		}
		row := importance.RawRowView(i)
		order := make([]int, concepts)
		for j := range order {
			order[j] = j
		}
		slices.SortStableFunc(order, func(a, b int) int {
			switch {
			case row[a] > row[b]:
				return -1
			case row[a] < row[b]:
				return 1
			}
			return 0
		})
		for _, j := range order[:k] {
			if has[j] {
				out[i] += 1 / float64(k)
			}
		}
	}
	return out, nil
}

// ConceptMap is how active a concept is at each token of a text (concept activation mapping, CoAM), and which of the tokens
// are of the concept.
type ConceptMap struct {
	Values []float64
	Inside []bool
}

// ConceptMapOf is the map of a concept that is read linearly from the mean token: what each of the tokens x [tokens, d] adds to
// direction . mean(x - origin).
func ConceptMapOf(x *mat.Dense, direction, origin []float64, inside []bool) (ConceptMap, error) {
	n, d, err := checkRows("tokens", x)
	if err != nil {
		return ConceptMap{}, err
	}
	if err := checkVector("direction", direction, d); err != nil {
		return ConceptMap{}, err
	}
	if len(origin) != d || len(inside) != n {
		return ConceptMap{}, fmt.Errorf("vectors: concept map of %d tokens of width %d with an origin of %d and %d marks: %w", n, d, len(origin), len(inside), ErrShape)
	}
	m := ConceptMap{Inside: inside}
	for i := range n {
		m.Values = append(m.Values, (floats.Dot(direction, x.RawRowView(i))-floats.Dot(direction, origin))/float64(n))
	}
	return m, nil
}

// Location is the concept location metric (CLM, arXiv:2501.19271) of each map: 1 where it is largest at a token of the concept,
// else 0; of equal values the first token counts. Only maps of concepts that the text holds have an answer. chance is
// the share of tokens that are of the concept: what a random token gives.
func Location(maps []ConceptMap) (hits, chance []float64, err error) {
	for i, m := range maps {
		if len(m.Values) == 0 || len(m.Values) != len(m.Inside) || floats.HasNaN(m.Values) {
			return nil, nil, fmt.Errorf("vectors: location: map %d has %d values, none of which may be NaN, and %d marks: %w", i, len(m.Values), len(m.Inside), ErrShape)
		}
		inside := 0
		for _, b := range m.Inside {
			if b {
				inside++
			}
		}
		if inside == 0 {
			return nil, nil, fmt.Errorf("vectors: location: map %d has no token of its concept: %w; leave out concepts that the text does not hold", i, ErrArgument)
		}
		hit := 0.0
		if m.Inside[floats.MaxIdx(m.Values)] {
			hit = 1
		}
		hits, chance = append(hits, hit), append(chance, float64(inside)/float64(len(m.Inside)))
	}
	return hits, chance, nil
}

// PermuteConcepts gives the concepts of a matrix [n, concepts] each other's names by seed: the null of GlobalImportance and Existence.
func PermuteConcepts(m *mat.Dense, seed uint64) *mat.Dense {
	n, concepts := m.Dims()
	out := mat.NewDense(n, concepts, nil)
	for to, from := range rand.New(rand.NewPCG(seed, 0x636f6e63657074)).Perm(concepts) { // "concept"
		out.SetCol(to, mat.Col(nil, from, m))
	}
	return out
}
