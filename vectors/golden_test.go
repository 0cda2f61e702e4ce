package vectors_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// unchecked lists the expected values that are not compared, with the reason; keys are kind/pattern.
var unchecked = map[string]string{
	`directions/logistic_C.*\.sklearn_max_diff`: "a distance between two references, not a value of ours",
	`leace/.*\.max_abs_cross_covariance_after`:  "rounding of the reference; ours is held against 0 instead",
	`leace/.*\.idempotence_error`:               "rounding of the reference; ours is held against 0 instead",
	`leace/oracle\.numpy_max_diff`:              "a distance between two references, not a value of ours",
	`qleace/note`:                               "a remark in words",
	`control_vector/layer\d+\.cos_to_truth\..*`: "the planted direction is not part of the case",
	`control_vector/steering_alpha`:             "an input",
	`concept_vectors/k`:                         "an input",
}

// inputs are the tensors that a case's values are computed from, by kind.
var inputs = map[string]*regexp.Regexp{
	"directions":      regexp.MustCompile(`^(x|y|ridge_.*\.target|multinomial\.[xy])$`),
	"tcav":            regexp.MustCompile(`^(x|y|loss_gradients|permutations)$`),
	"leace":           regexp.MustCompile(`^(x|z|labels|x_new)$`),
	"qleace":          regexp.MustCompile(`^(x|labels)$`),
	"inlp":            regexp.MustCompile(`^(x|y)$`),
	"control_vector":  regexp.MustCompile(`^layer\d+\.(pos|neg|x)$`),
	"nmf":             regexp.MustCompile(`^(a|u0|w0)$`),
	"nmf_sobol":       regexp.MustCompile(`^(A|B|u_row|W|head)$`),
	"logit_lens":      regexp.MustCompile(`^(hidden|W_U|b_U|gamma|beta|components|targets)$`),
	"concept_vectors": regexp.MustCompile(`^(E|v_before|v_after|lexicon)$`),
}

// comparers hold a case against ours, by kind.
var comparers = map[string]func(*golden){
	"directions": (*golden).directions, "tcav": (*golden).tcav, "leace": (*golden).leace, "qleace": (*golden).qleace, "inlp": (*golden).inlp,
	"control_vector": (*golden).controlVector, "nmf": (*golden).nmf, "nmf_sobol": (*golden).sobol, "logit_lens": (*golden).logitLens,
	"concept_vectors": (*golden).conceptVectors,
}

// TestGoldenVectors runs over vectors/NAME.json with NAME.safetensors.
func TestGoldenVectors(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "vectors")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range files {
		base := strings.TrimSuffix(path, ".json")
		if _, err := os.Stat(base + ".safetensors"); err != nil {
			continue // a generator's configuration
		}
		cases++
		t.Run(filepath.Base(base), func(t *testing.T) { openGolden(t, base).check() })
	}
	if cases == 0 {
		graphtest.Skip(t, "no golden case in %s", dir)
	}
}

// golden is one case and the account of which of its values were compared.
type golden struct {
	*testing.T
	base      string
	Kind      string
	Config    map[string]json.RawMessage
	Scalars   map[string]json.RawMessage
	Tolerance struct{ Rtol, Atol float64 }
	tensors   *safetensors.File
	open      map[string]bool // expected values that nothing has compared yet
	worst     float64         // largest error over its tolerance
}

func openGolden(t *testing.T, base string) *golden {
	t.Helper()
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{T: t, base: base, open: make(map[string]bool)}
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatalf("%s: %v", base, err)
	}
	if g.tensors, err = safetensors.Open(base + ".safetensors"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.tensors.Close() })
	return g
}

func (g *golden) check() {
	compare, known := comparers[g.Kind]
	if !known {
		g.Fatalf("unknown kind %q", g.Kind)
	}
	if g.Tolerance.Rtol <= 0 || g.Tolerance.Atol <= 0 {
		g.Tolerance.Rtol, g.Tolerance.Atol = 1e-9, 1e-10 // the generator's own default
	}
	for name := range g.Scalars {
		g.open[name] = true
	}
	for _, name := range g.tensors.Names() {
		if !inputs[g.Kind].MatchString(name) {
			g.open[name] = true
		}
	}
	total := len(g.open)
	compare(g)
	listed := 0
	for _, name := range slices.Sorted(maps.Keys(g.open)) {
		if g.listed(name) {
			listed++
		} else {
			g.Errorf("%s was neither compared nor listed in unchecked", name)
		}
	}
	g.Logf("compared %d/%d, %d listed as unchecked, worst error %.2g of its tolerance", total-len(g.open), total, listed, g.worst)
}

func (g *golden) listed(name string) bool {
	for pattern := range unchecked {
		if regexp.MustCompile("^" + pattern + "$").MatchString(g.Kind + "/" + name) {
			return true
		}
	}
	return false
}

// expected are the names of expected values that match a pattern, with its first group.
func (g *golden) expected(pattern string) map[string]string {
	out := make(map[string]string)
	re := regexp.MustCompile("^" + pattern + "$")
	for name := range g.open {
		if m := re.FindStringSubmatch(name); m != nil {
			out[name] = m[1]
		}
	}
	return out
}

// groups are the first groups of the expected names that match a pattern, each once.
func (g *golden) groups(pattern string) []string {
	found := slices.Sorted(maps.Values(g.expected(pattern)))
	return slices.Compact(found)
}

func must[T any](g *golden) func(T, error) T {
	return func(v T, err error) T {
		g.Helper()
		if err != nil {
			g.Fatal(err)
		}
		return v
	}
}

func (g *golden) float(name string) float64 { return decode[float64](g, g.Config, name) }

func decode[T any](g *golden, from map[string]json.RawMessage, name string) T {
	g.Helper()
	var v T
	raw, ok := from[name]
	if !ok {
		g.Fatalf("%s is missing", name)
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		g.Fatalf("%s: %v", name, err)
	}
	return v
}

func (g *golden) flat(name string) []float64 {
	g.Helper()
	return must[[]float64](g)(g.tensors.Float64(name))
}

func (g *golden) shape(name string) []int {
	g.Helper()
	info, ok := g.tensors.Info(name)
	if !ok {
		g.Fatalf("no tensor %s", name)
	}
	return info.Shape
}

// matrix is a tensor with all axes but the last made one.
func (g *golden) matrix(name string) *mat.Dense {
	g.Helper()
	shape := g.shape(name)
	last := shape[len(shape)-1]
	v := g.flat(name)
	return mat.NewDense(len(v)/last, last, v)
}

func (g *golden) ints(name string) []int {
	g.Helper()
	out := []int{}
	for _, v := range must[[]int64](g)(g.tensors.Int64(name)) {
		out = append(out, int(v))
	}
	return out
}

// same compares a tensor.
func (g *golden) same(name string, got []float64) {
	g.Helper()
	g.near(name, got, g.flat(name))
}

func (g *golden) sameMatrix(name string, got *mat.Dense) {
	g.Helper()
	r, c := got.Dims()
	if shape := g.shape(name); shape[len(shape)-1] != c {
		g.Errorf("%s: shape [%d, %d], want %v", name, r, c, shape)
	}
	g.same(name, flatten(got))
}

func (g *golden) sameInts(name string, got []int) {
	g.Helper()
	delete(g.open, name)
	if want := g.ints(name); !slices.Equal(got, want) {
		g.Errorf("%s: %v, want %v", name, got, want)
	}
}

// scalar compares a scalar.
func (g *golden) scalar(name string, got float64) {
	g.Helper()
	g.near(name, []float64{got}, []float64{decode[float64](g, g.Scalars, name)})
}

func (g *golden) near(name string, got, want []float64) {
	g.Helper()
	delete(g.open, name)
	if len(got) != len(want) {
		g.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	for i := range got {
		allowed := g.Tolerance.Atol + g.Tolerance.Rtol*math.Abs(want[i])
		err := math.Abs(got[i] - want[i])
		g.worst = max(g.worst, err/allowed)
		if !(err <= allowed) {
			g.Errorf("%s: value %d is %v, want %v (error %.3g, allowed %.3g)", name, i, got[i], want[i], err, allowed)
			return
		}
	}
}

// below holds a value that should be 0 up to rounding against a limit.
func (g *golden) below(what string, got, limit float64) {
	g.Helper()
	if !(got <= limit) {
		g.Errorf("%s is %.3g, above %.3g", what, got, limit)
	}
}

func flatten(m *mat.Dense) []float64 { return mat.DenseCopyOf(m).RawMatrix().Data }

func symmetric(s *mat.SymDense) []float64 { return flatten(mat.DenseCopyOf(s)) }

func layerName(layer int, what string) string { return fmt.Sprintf("layer%d.%s", layer, what) }
