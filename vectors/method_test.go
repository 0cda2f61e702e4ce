package vectors

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/store"
)

// gap draws rows of width d in which class c lies 3 along entry c; a third of the width is noise of twice the spread.
func gap(n, d, k int) (*mat.Dense, Labels) {
	rng := rand.New(rand.NewPCG(21, 22))
	x, l := mat.NewDense(n, d, nil), Labels{K: k}
	for i := range n {
		l.Class = append(l.Class, i%k)
		for j := range d {
			x.Set(i, j, rng.NormFloat64()*float64(1+2*j/d)+0.25)
		}
		x.Set(i, i%k, x.At(i, i%k)+3)
	}
	return x, l
}

// TestFitMethods: every direction leans towards the planted gap, and every eraser makes the class means of the fitted rows
// coincide (INLP, R-LACE and quadratic LEACE nearly), in two and, where the method takes them, in three classes.
func TestFitMethods(t *testing.T) {
	x, l := gap(600, 9, 2)
	truth := mat.NewVecDense(9, nil)
	truth.SetVec(1, 1)
	truth.SetVec(0, -1)
	cfg := DefaultMethodConfig()
	for _, name := range DirectionMethods() {
		f, err := FitMethod(t.Context(), name, x, l, cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cos, err := Cosine(f.Directions.RawRowView(0), truth.RawVector().Data)
		if err != nil {
			t.Fatal(err)
		}
		if name != MethodPCA && cos < 0.9 {
			t.Errorf("%s: cosine to the planted gap is %.3f", name, cos)
		}
		if f.Eraser != nil || f.Oracle != nil {
			t.Errorf("%s: an eraser from a method of directions", name)
		}
	}
	for _, k := range []int{2, 3} {
		x, l := gap(900, 9, k)
		for _, name := range EraserMethods() {
			if k == 3 && name == MethodAblation {
				continue // of two classes
			}
			cfg := cfg
			cfg.Rank = k - 1
			f, err := FitMethod(t.Context(), name, x, l, cfg)
			if err != nil {
				t.Fatalf("%s of %d classes: %v", name, k, err)
			}
			var after *mat.Dense
			if f.Oracle != nil {
				after, err = f.Oracle(x, l)
			} else {
				after, err = f.Eraser.Apply(x)
			}
			if err != nil {
				t.Fatal(err)
			}
			before, left := spreadOfMeans(t, x, l), spreadOfMeans(t, after, l)
			most := 1e-9
			if name == MethodINLP || name == MethodRLACE {
				most = 1e-4 // they take classifiers away, which end within their tolerance
			}
			t.Logf("%-16s of %d classes, rank %d: means apart by %.3g, before %.3g", name, k, f.Rank, left, before)
			if left > most || before < 2 {
				t.Errorf("%s: class means apart by %g, before %g", name, left, before)
			}
		}
	}
}

// spreadOfMeans is the largest distance of a class mean from the first one.
func spreadOfMeans(t *testing.T, x *mat.Dense, l Labels) float64 {
	t.Helper()
	means, _, err := ClassMeans(x, l.Class)
	if err != nil {
		t.Fatal(err)
	}
	most := 0.0
	for c := range l.K {
		most = max(most, floats.Distance(means.RawRowView(0), means.RawRowView(c), 2))
	}
	return most
}

// TestFitMethodNumbers: graded labels go through LEACE and its kin: no entry is correlated with the number afterwards.
func TestFitMethodNumbers(t *testing.T) {
	x, _ := gap(500, 6, 2)
	l := Labels{Value: make([]float64, 500)}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range l.Value {
		l.Value[i] = rng.NormFloat64()
		x.Set(i, 3, x.At(i, 3)+2*l.Value[i])
	}
	for _, name := range []string{MethodLEACE, MethodOracle, MethodSAL} {
		f, err := FitMethod(t.Context(), name, x, l, DefaultMethodConfig())
		if err != nil {
			t.Fatal(err)
		}
		after := x
		if f.Oracle != nil {
			after, err = f.Oracle(x, l)
		} else {
			after, err = f.Eraser.Apply(x)
		}
		if err != nil {
			t.Fatal(err)
		}
		z, err := l.Columns()
		if err != nil {
			t.Fatal(err)
		}
		m, err := jointMoments(after, z)
		if err != nil {
			t.Fatal(err)
		}
		if left := math.Max(mat.Max(m.Cross), -mat.Min(m.Cross)) / 500; left > 1e-12 {
			t.Errorf("%s leaves a covariance of %g with the number", name, left)
		}
	}
	f, err := FitMethod(t.Context(), MethodRidge, x, l, DefaultMethodConfig())
	if err != nil {
		t.Fatal(err)
	}
	if w := f.Directions.RawRowView(0); floats.MaxIdx(w) != 3 {
		t.Errorf("ridge's direction %v", w)
	}
}

// TestFitMethodRefuses: what cannot be fitted says why and what to do.
func TestFitMethodRefuses(t *testing.T) {
	x, l := gap(40, 50, 2) // fewer rows than dimensions
	constant := mat.NewDense(40, 50, nil)
	for i := range constant.RawMatrix().Data {
		constant.RawMatrix().Data[i] = 2
	}
	notFinite := mat.DenseCopyOf(x)
	notFinite.Set(3, 4, math.NaN())
	three := Labels{K: 3, Class: make([]int, 40)}
	for i := range three.Class {
		three.Class[i] = i % 3
	}
	numbers := Labels{Value: make([]float64, 40)}
	for _, c := range []struct {
		name, method string
		x            *mat.Dense
		l            Labels
		want         error
		says         string
	}{
		{"one class", MethodDiffOfMeans, x, Labels{K: 2, Class: make([]int, 40)}, ErrClasses, "class 1 has 0 rows"},
		{"one class, LEACE", MethodLEACE, x, Labels{K: 2, Class: make([]int, 40)}, ErrClasses, "class 1 has 0 rows"},
		{"unknown class", MethodLEACE, x, Labels{K: 2, Class: append(make([]int, 39), 7)}, ErrClasses, "label 7 of row 39"},
		{"fewer rows than dimensions", MethodLDA, x, l, ErrSingular, "shrink"},
		{"fewer rows than dimensions, quadratic", MethodQuadratic, x, l, ErrSingular, "set shrinkage"},
		{"constant features", MethodDiffOfMeans, constant, l, ErrArgument, "do not differ"},
		{"constant features, LDA", MethodLDA, constant, l, ErrSingular, "singular"},
		{"NaN", MethodLEACE, notFinite, l, ErrNotFinite, "x[3, 4]"},
		{"NaN in a direction", MethodLogistic, notFinite, l, ErrNotFinite, "x[3, 4]"},
		{"three classes", MethodLogistic, x, three, ErrClasses, "target.positive"},
		{"numbers", MethodINLP, x, numbers, ErrClasses, "use leace"},
		{"unknown method", "leech", x, l, ErrArgument, "erasers: [ablation"},
		{"labels of other rows", MethodSAL, x, Labels{K: 2, Class: []int{0, 1}}, ErrShape, "2 labels for 40 rows"},
	} {
		_, err := FitMethod(t.Context(), c.method, c.x, c.l, DefaultMethodConfig())
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// what has a meaning with fewer rows than dimensions is fitted
	for _, method := range []string{MethodDiffOfMeans, MethodLogistic, MethodLEACE, MethodAblation} {
		if _, err := FitMethod(t.Context(), method, x, l, DefaultMethodConfig()); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestSaved: a vector comes back from its files as it was, in equal bytes each time; another model, site or width, changed
// tensors and damaged cards are refused.
func TestSaved(t *testing.T) {
	x, l := gap(200, 6, 2)
	f, err := FitMethod(t.Context(), MethodAblation, x, l, DefaultMethodConfig())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &Saved{Directions: f.Directions, Eraser: f.Eraser, Card: Card{
		Name: "animals", Method: MethodAblation, Concept: "animals", Classes: []string{"other", "animals"}, Model: store.Source{ID: "tiny", Digest: "abc"},
		Family: "llama", Site: "blocks.1.hook_resid_post", Layer: 1, Position: "mean", D: 6, Fitted: FittedOn{Store: "s", Rows: 200},
	}}
	path, err := s.Save(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, Use{Model: "abc", Site: "blocks.1.hook_resid_post", Position: "mean", D: 6})
	if err != nil {
		t.Fatal(err)
	}
	if !mat.Equal(got.Directions, f.Directions) || !mat.Equal(got.Eraser.Left, f.Eraser.Left) || !mat.Equal(got.Eraser.Right, f.Eraser.Right) || !floats.Equal(got.Eraser.Bias, f.Eraser.Bias) {
		t.Error("the vector changed on its way through the file")
	}
	if !got.Affine || got.Rank != 1 || got.Vectors != 1 || got.Fitted.Rows != 200 {
		t.Errorf("card %+v", got.Card)
	}
	if _, err := got.Save(dir); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(first) {
		t.Errorf("saved again it has other bytes, %v", err)
	}
	for _, u := range []struct {
		use  Use
		says string
	}{
		{Use{Model: "other"}, "of model abc"}, {Use{Site: "blocks.2.hook_resid_post"}, "of site blocks.1"}, {Use{Position: "last"}, "position mean"}, {Use{D: 7}, "width 6"},
	} {
		if _, err := Load(path, u.use); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), u.says) {
			t.Errorf("use %+v: %v", u.use, err)
		}
	}
	cv, err := ToControlVector([]*Saved{got})
	if err != nil || cv.ModelHint != "llama" || len(cv.Directions[1]) != 6 {
		t.Errorf("control vector %+v, %v", cv, err)
	}
	if _, err := ToControlVector([]*Saved{got, got}); !errors.Is(err, ErrArgument) {
		t.Errorf("two vectors of one layer: %v", err)
	}
	tensors := filepath.Join(dir, "animals.safetensors")
	raw, err := os.ReadFile(tensors)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(tensors, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, Use{}); err == nil || !strings.Contains(err.Error(), "it was changed") {
		t.Errorf("changed tensors: %v", err)
	}
	for what, card := range map[string]string{
		"truncated": string(first[:len(first)/2]), "another folder": strings.Replace(string(first), "animals.safetensors", "../x.safetensors", 1),
		"unknown key": strings.Replace(string(first), `"format"`, `"formats"`, 1), "no width": strings.Replace(string(first), `"d": 6`, `"d": 0`, 1),
		"a name outside": strings.Replace(string(first), `"name": "animals"`, `"name": "../animals"`, 1), "rank": strings.Replace(string(first), `"rank": 1`, `"rank": 99999999`, 1),
	} {
		if err := os.WriteFile(path, []byte(card), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, Use{}); err == nil {
			t.Errorf("%s is read", what)
		}
	}
	if _, err := (&Saved{Card: Card{Name: "x", D: 2, Site: "s"}}).Save(dir); !errors.Is(err, ErrArgument) {
		t.Errorf("nothing to save: %v", err)
	}
}

// FuzzCard: no bytes make the reader of cards panic, and what it accepts is within bounds.
func FuzzCard(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"a","d":3,"site":"s","rank":1,"tensors":{"file":"a.safetensors"}}`))
	f.Add([]byte(`{"format":1}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCard(raw)
		if err == nil && (c.D < 1 || c.D > maxWidth || c.Rank > c.D || c.Vectors > maxRank) {
			t.Errorf("accepted %+v", c)
		}
	})
}
