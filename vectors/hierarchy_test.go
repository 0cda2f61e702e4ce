package vectors

import (
	"errors"
	"math"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestCausalUnembedding: rows have mean 0 and the identity as their covariance; a dimension that does not vary drops out.
func TestCausalUnembedding(t *testing.T) {
	e := normalRows(1, 300, 5)
	e.Mul(normalRows(2, 300, 5), normalRows(3, 5, 5))
	for i := range 300 {
		e.Set(i, 2, 7) // constant
		e.Set(i, 0, e.At(i, 0)+40)
	}
	g := ok(CausalUnembedding(e))(t)
	mean, sum := deviations(g)
	sum.ScaleSym(1.0/299, sum)
	for j, m := range mean {
		if math.Abs(m) > 1e-9 {
			t.Errorf("mean %d is %g", j, m)
		}
	}
	if trace, square := mat.Trace(sum), mat.Norm(sum, 2); math.Abs(trace-4) > 1e-8 || math.Abs(square-2) > 1e-8 { // rank 4
		t.Errorf("trace %v and norm %v of the covariance, want those of a projection of rank 4", trace, square)
	}
}

// TestCategoryVectorDual: the solution through the words' Gram matrix is that through the covariance.
func TestCategoryVectorDual(t *testing.T) {
	g := normalRows(5, 9, 6)
	for i := range 9 {
		g.Set(i, 1, g.At(i, 1)*3+2)
	}
	mean, sum := deviations(g)
	sum.ScaleSym(1.0/8, sum)
	trace, norm := mat.Trace(sum), mat.Norm(sum, 2)
	a := 1 - trace*trace/9/(norm*norm-trace*trace/6)
	if a < 0.1 || a > 0.9 {
		t.Fatalf("shrinkage %v does not test both parts", a)
	}
	sum.ScaleSym(a, sum)
	addDiagonal(sum, (1-a)*trace/6)
	w := ok(solvePositive("covariance", sum, mean))(t)
	want := ok(Unit(w))(t)
	floats.Scale(floats.Dot(want, mean), want)
	closeTo(t, "vector", ok(category(g))(t), want, 1e-10)
}

// TestCategoryVectorHand: rows (2, +-1) and (2, 0): the mean (2, 0) has no spread along it, so that the vector is the mean
// whatever the shrinkage.
func TestCategoryVectorHand(t *testing.T) {
	g := rows([]float64{2, 1}, []float64{2, -1}, []float64{2, 0}, []float64{9, 9})
	closeTo(t, "vector", ok(CategoryVector(g, []int{0, 1, 2}))(t), []float64{2, 0}, 1e-14)
	for what, tokens := range map[string][]int{"two": {0, 1}, "unknown": {0, 1, 4}} {
		if _, err := CategoryVector(g, tokens); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := CategoryVector(rows([]float64{1, 1}, []float64{1, 1}, []float64{1, 1}), []int{0, 1, 2}); !errors.Is(err, ErrSingular) {
		t.Errorf("one embedding: %v", err)
	}
}

// TestHierarchyPlanted: children that add a part orthogonal to their parent's are orthogonal; a child that also stretches the
// parent's part is not, though it is nearer to it than random words.
func TestHierarchyPlanted(t *testing.T) {
	const v, d, words = 800, 40, 25
	g := normalRows(4, v, d)
	categories := []Category{{Name: "animal", Parent: -1}}
	for c, name := range []string{"mammal", "bird", "giant"} {
		var tokens []int
		for i := range words {
			row := g.RawRowView(c*words + i)
			floats.Scale(0.3, row)
			row[0] += 6
			row[1+c] += 5
			if name == "giant" {
				row[0] += 6
			}
			tokens = append(tokens, c*words+i)
		}
		categories = append(categories, Category{Name: name, Parent: 0, Tokens: tokens})
		if name != "giant" {
			categories[0].Tokens = append(categories[0].Tokens, tokens...)
		}
	}
	cfg := DefaultHierarchy()
	cfg.Random, cfg.Bootstrap.Resamples = 99, 100
	got := ok(Hierarchy(t.Context(), g, categories, cfg))(t)
	for _, o := range got {
		if o.Sibling >= 0 {
			continue
		}
		giant := categories[o.Child].Name == "giant"
		if o.P > 0.05 || !giant && math.Abs(o.Cosine.Value) > 0.15 || giant && o.Cosine.Low < 0 {
			t.Errorf("%s: %+v", categories[o.Child].Name, o)
		}
	}
	if o := got[2]; o.Child != 2 || o.Sibling != 1 || math.Abs(o.Cosine.Value) > 0.15 || o.P > 0.05 {
		t.Errorf("bird against mammal: %+v", o)
	}
	if got[1].NullMean > -0.5 { // random words lack the parent's part
		t.Errorf("null mean %v", got[1].NullMean)
	}
	for what, bad := range map[string][]Category{"no child": categories[:1], "parent last": {{Parent: 1, Tokens: []int{1, 2, 3}}, {Parent: -1, Tokens: []int{1, 2, 3}}}} {
		if _, err := Hierarchy(t.Context(), g, bad, cfg); !errors.Is(err, ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
