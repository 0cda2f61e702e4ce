package vectors

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestGlobalImportanceHand: weights that are the truth, its opposite, unrelated to it, and constant.
func TestGlobalImportanceHand(t *testing.T) {
	truth := rows([]float64{1, 0, 0, 1}, []float64{1, 0, 0, 1}, []float64{1, 0, 0, 1}, []float64{1, 0, 0, 1})
	weights := rows([]float64{5, 2, 2, 5}, []float64{0, 1, 1, 0}, []float64{1, 1, -1, -1}, []float64{3, 3, 3, 3})
	byClass, byConcept, err := GlobalImportance(weights, truth)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "by class", byClass, []float64{1, -1, 0, 0}, 1e-12)
	closeTo(t, "by concept, whose truth is constant", byConcept, []float64{0, 0, 0, 0}, 1e-12)
	// a third class that has the concept: (1, 2, 6) against (0, 0, 1) about their means is (-2, -1, 3).(-1/3, -1/3, 2/3) = 3 over sqrt(14) sqrt(2/3)
	_, byConcept, err = GlobalImportance(rows([]float64{1}, []float64{2}, []float64{6}), rows([]float64{0}, []float64{0}, []float64{1}))
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "one concept", byConcept, []float64{3 / math.Sqrt(14*2.0/3)}, 1e-12)
	if _, _, err := GlobalImportance(weights, rows([]float64{1, 0})); !errors.Is(err, ErrShape) {
		t.Errorf("other shapes: %v", err)
	}
}

// TestExistenceHand: of three concepts the text holds the first and the last.
func TestExistenceHand(t *testing.T) {
	importance := rows([]float64{3, 2, 1}, []float64{1, 2, 2})
	present := [][]bool{{true, false, true}, {true, false, true}}
	for k, want := range [][]float64{{1, 0}, {0.5, 0.5}, {2.0 / 3, 2.0 / 3}} {
		closeTo(t, "existence", ok(Existence(importance, present, k+1))(t), want, 1e-12)
	}
	if _, err := Existence(importance, present, 4); !errors.Is(err, ErrArgument) {
		t.Errorf("more than there are: %v", err)
	}
	if _, err := Existence(importance, present[:1], 1); !errors.Is(err, ErrShape) {
		t.Errorf("a text without list: %v", err)
	}
}

// TestExistenceNull: importance that knows nothing has on average the share of concepts that texts hold.
func TestExistenceNull(t *testing.T) {
	present := make([][]bool, 2000)
	for i := range present {
		present[i] = make([]bool, 8)
		present[i][i%8], present[i][(i+3)%8] = true, true
	}
	mean := 0.0
	for _, v := range ok(Existence(normalRows(3, 2000, 8), present, 3))(t) {
		mean += v / 2000
	}
	if math.Abs(mean-0.25) > 0.02 { // the standard error is 0.005
		t.Errorf("existence of random importance %v, base rate 0.25", mean)
	}
}

// TestLocationHand: a direction reads the first coordinate, which is largest at the second token.
func TestLocationHand(t *testing.T) {
	x := rows([]float64{1, 9}, []float64{4, 0}, []float64{-2, 3})
	var maps []ConceptMap
	for _, inside := range [][]bool{{false, true, false}, {true, false, true}} {
		maps = append(maps, ok(ConceptMapOf(x, []float64{1, 0}, []float64{1, 1}, inside))(t))
	}
	closeTo(t, "map", maps[0].Values, []float64{0, 1, -1}, 1e-12)
	hits, chance, err := Location(maps)
	if err != nil {
		t.Fatal(err)
	}
	closeTo(t, "hits and chance", append(hits, chance...), []float64{1, 0, 1.0 / 3, 2.0 / 3}, 1e-12)
	if _, _, err := Location([]ConceptMap{{Values: []float64{1}, Inside: []bool{false}}}); !errors.Is(err, ErrArgument) {
		t.Errorf("a concept that is not there: %v", err)
	}
}

// TestConceptMapSum: a map's values add up to the score of the mean token.
func TestConceptMapSum(t *testing.T) {
	x, direction, origin := normalRows(1, 7, 5), flat(normalRows(2, 1, 5)), flat(normalRows(3, 1, 5))
	m := ok(ConceptMapOf(x, direction, origin, make([]bool, 7)))(t)
	sum, want := 0.0, 0.0
	for i, v := range m.Values {
		sum += v
		for j, w := range direction {
			want += w * (x.At(i, j) - origin[j]) / 7
		}
	}
	closeTo(t, "sum", []float64{sum}, []float64{want}, 1e-12)
}

// TestPermuteConcepts: the same columns in another order.
func TestPermuteConcepts(t *testing.T) {
	m := normalRows(4, 3, 6)
	p := PermuteConcepts(m, 1)
	if mat.Equal(m, p) || math.Abs(mat.Sum(m)-mat.Sum(p)) > 1e-12 {
		t.Error("not a permutation of the concepts")
	}
	if !mat.Equal(p, PermuteConcepts(m, 1)) {
		t.Error("equal seeds differ")
	}
}
