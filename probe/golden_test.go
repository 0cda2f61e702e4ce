package probe

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/floats"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// reference is testdata/sklearn.json, written by testdata/make_sklearn.py.
type reference struct {
	N, D, K     int
	X, T        []float64
	Y           []int
	LDANone     fitted `json:"lda_none"`
	LDAFixed    fitted `json:"lda_fixed"`
	Multinomial fitted
	LogisticNet []netFit `json:"logistic_net"`
	LinearNet   []netFit `json:"linear_net"`
	Platt       struct {
		Scores               []float64
		Slope, Offset, Brier float64
	}
	rows            Rows
	classes, binary Target
	number          Target
}

type fitted struct {
	C         float64
	Coef      [][]float64
	Intercept []float64
	AUC       float64 `json:"auc_ovr"`
	F1        float64 `json:"f1_macro"`
	LogLoss   float64 `json:"log_loss"`
}

type netFit struct {
	Alpha, Lambda, Intercept float64
	Coef                     []float64
}

func readReference(t *testing.T) *reference {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "sklearn.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &reference{}
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	if r.rows, err = NewRows(appendFloat32(nil, r.X), r.D); err != nil {
		t.Fatal(err)
	}
	positive := make([]bool, r.N)
	for i, c := range r.Y {
		positive[i] = c == 1
	}
	r.classes = Target{Name: "class", Task: Multiclass, Class: r.Y, Classes: []string{"a", "b", "c"}}
	r.binary, r.number = NewBinary("b", positive), NewRegression("t", r.T)
	return r
}

// near fails where got and want differ by more than tolerance of the largest of want.
func near(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s has %d values, want %d", what, len(got), len(want))
	}
	scale := floats.Norm(want, math.Inf(1))
	for i, w := range want {
		if !(math.Abs(got[i]-w) <= tolerance*scale) {
			t.Errorf("%s[%d] is %v, want %v", what, i, got[i], w)
		}
	}
}

func TestSklearnLDA(t *testing.T) {
	r := readReference(t)
	for name, c := range map[string]struct {
		cfg  LDAConfig
		want fitted
	}{"none": {LDAConfig{Shrinkage: "none"}, r.LDANone}, "fixed": {LDAConfig{Shrinkage: "fixed", Share: 0.3}, r.LDAFixed}} {
		l, err := LDA(r.rows, r.classes, c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		for class, w := range c.want.Coef {
			near(t, fmt.Sprintf("%s: weights of class %d", name, class), l.Direction(class), w, 1e-9)
		}
		near(t, name+": intercepts", l.Bias, c.want.Intercept, 1e-9)
	}
}

// TestSklearnMultinomial: float32 products resolve the optimum to about 1e-4 of the weights and 1e-3 of the intercepts.
func TestSklearnMultinomial(t *testing.T) {
	r := readReference(t)
	fit, err := Multinomial(t.Context(), r.rows, []Target{r.classes}, LogisticConfig{C: r.Multinomial.C, Tolerance: 1e-10})
	if err != nil {
		t.Fatal(err)
	}
	l := fit[0]
	for class, w := range r.Multinomial.Coef {
		near(t, fmt.Sprintf("weights of class %d", class), l.Direction(class), w, 3e-4)
	}
	near(t, "intercepts", l.Bias, r.Multinomial.Intercept, 1e-3)
	scores, err := l.Scores(r.rows)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Evaluate(t.Context(), r.classes, scores, nil, DefaultIntervals(), 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Probabilities(r.classes, scores)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Calibration(r.classes, p, 10)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "AUC, F1, log loss", []float64{m.AUC.Value, m.F1, c.LogLoss}, []float64{r.Multinomial.AUC, r.Multinomial.F1, r.Multinomial.LogLoss}, 1e-4)
}

func TestSklearnElasticNet(t *testing.T) {
	r := readReference(t)
	_, deviation := r.rows.spread(nil)
	for _, family := range []struct {
		target Target
		want   []netFit
	}{{r.binary, r.LogisticNet}, {r.number, r.LinearNet}} {
		for _, want := range family.want {
			cfg := ElasticNetConfig{Alpha: want.Alpha, Lambdas: 1, MinRatio: 0.5, Tolerance: 1e-15}
			p, err := newElastic(r.rows, family.target, cfg)
			if err != nil {
				t.Fatal(err)
			}
			for l := p.first; l > want.Lambda; l /= 1.5 { // the path's way there
				if err := p.solve(t.Context(), l); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.solve(t.Context(), want.Lambda); err != nil {
				t.Fatal(err)
			}
			// 1e-6: saga's own stop; it is looser than coordinate descent's
			name := fmt.Sprintf("%s, alpha %v, lambda %v", family.target.Task, want.Alpha, want.Lambda)
			near(t, name, p.w, want.Coef, 1e-6)
			near(t, name+": intercept", []float64{p.b}, []float64{want.Intercept}, 1e-6)
			point := p.point(want.Lambda)
			for j := range deviation {
				if math.Abs(point.Weights[j]*deviation[j]-p.w[j]) > 1e-12 {
					t.Errorf("%s: weight %d of the activations as they are does not match", name, j)
				}
			}
		}
	}
}

func TestSklearnPlatt(t *testing.T) {
	r := readReference(t)
	c, err := Calibrate(r.binary, r.Platt.Scores)
	if err != nil {
		t.Fatal(err)
	}
	// scikit-learn stops L-BFGS at 1e-6 of the gradient
	near(t, "slope and offset", []float64{c.Slope, c.Offset}, []float64{r.Platt.Slope, r.Platt.Offset}, 1e-5)
	p, err := Probabilities(r.binary, c.Apply(r.Platt.Scores))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := Calibration(r.binary, p, 10)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "Brier score", []float64{rel.Brier}, []float64{r.Platt.Brier}, 1e-5)
}

// TestGoldenLogistic: the golden directions' logistic and multinomial fits. The optimum in float64 is package vectors';
// here float32 products leave 1e-6 of the objective.
func TestGoldenLogistic(t *testing.T) {
	folder := filepath.Join(graphtest.Golden(t), "vectors")
	for _, name := range []string{"directions", "directions_imbalanced"} {
		f, err := safetensors.Open(filepath.Join(folder, name+".safetensors"))
		if err != nil {
			graphtest.Skip(t, "%v", err)
		}
		defer f.Close()
		var meta struct{ Scalars map[string]float64 }
		b, err := os.ReadFile(filepath.Join(folder, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &meta); err != nil {
			t.Fatal(err)
		}
		x, errX := f.Float32("x")
		y, errY := f.Int64("y")
		if errX != nil || errY != nil {
			t.Fatal(errX, errY)
		}
		info, _ := f.Info("x")
		rows, err := NewRows(x, info.Shape[1])
		if err != nil {
			t.Fatal(err)
		}
		positive := make([]bool, len(y))
		for i, c := range y {
			positive[i] = c == 1
		}
		checked := 0
		for key, want := range meta.Scalars {
			var c float64
			if n, _ := fmt.Sscanf(key, "logistic_C%g.objective", &c); n != 1 || !strings.HasSuffix(key, ".objective") {
				continue
			}
			checked++
			got, err := Logistic(t.Context(), rows, []Target{NewBinary("y", positive)}, LogisticConfig{C: c, Tolerance: 1e-9})
			if err != nil {
				t.Fatal(err)
			}
			if rel := got[0].Objective/want - 1; math.Abs(rel) > 1e-5 {
				t.Errorf("%s, C %v: objective %v, want %v", name, c, got[0].Objective, want)
			}
		}
		if checked == 0 {
			t.Errorf("%s has no logistic fit", name)
		}
	}
}
