package erase_test

import (
	"encoding/json"
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
var unchecked = map[string]string{}

// inputs are the tensors that a case's values are computed from, by kind.
var inputs = map[string]*regexp.Regexp{
	"uce":                  regexp.MustCompile(`^(c|guide|preserve|heldout|W\d+)$`),
	"rece":                 regexp.MustCompile(`^(c|guide|preserve|W\d+)$`),
	"trce":                 regexp.MustCompile(`^(malicious|safe|first_eot|prior_moment|W)$`),
	"realera":              regexp.MustCompile(`^(e|noise|anchor|W|prior_moment)$`),
	"spm_gate":             regexp.MustCompile(`^(prompts|concepts|prompt_tokens|concept_tokens|W|up|down|x)$`),
	"t2i_zero_similarity":  regexp.MustCompile(`^f$`),
	"itd":                  regexp.MustCompile(`^(W_enc|W_dec|b_enc|b_pre|.*\.x|.*\.length)$`),
	"cgce":                 regexp.MustCompile(`^(x|param\..*)$`),
	"hirm":                 regexp.MustCompile(`^(hidden|random_unit|super|mask)$`),
	"zero_shot":            regexp.MustCompile(`^(template_embeddings|x|labels|synonym)$`),
	"zero_shot_asr":        regexp.MustCompile(`^(pre|post)_success$`),
	"zero_shot_neighbours": regexp.MustCompile(`^(before|after)$`),
	"surrogates":           regexp.MustCompile(`^(rab\.(positive|negative|prompt)|reader\.[WQ].*|esd\.(null|concept)|simplex\.in|surgery\.(unlearn|retain)|energy\.z.)$`),
}

// comparers hold a case against ours, by kind.
var comparers = map[string]func(*golden){
	"uce": (*golden).uce, "rece": (*golden).rece, "trce": (*golden).trce, "realera": (*golden).realera,
	"spm_gate": (*golden).spmGate, "t2i_zero_similarity": (*golden).similarities, "itd": (*golden).itd, "cgce": (*golden).cgce,
	"hirm": (*golden).hirm, "surrogates": (*golden).surrogates,
	"zero_shot": (*golden).zeroShot, "zero_shot_asr": (*golden).attackRates, "zero_shot_neighbours": (*golden).neighbours,
}

// TestGoldenErasure runs over erasure/NAME.json with NAME.safetensors.
func TestGoldenErasure(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "erasure")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range files {
		base := strings.TrimSuffix(path, ".json")
		if strings.HasSuffix(base, "config") {
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
	Kind      string
	Config    map[string]json.RawMessage
	Scalars   map[string]json.RawMessage
	Tensors   map[string]json.RawMessage
	Tolerance struct{ Rtol, Atol float64 }
	file      *safetensors.File
	open      map[string]bool // expected values that nothing has compared yet
	worst     float64         // largest error over its tolerance
}

func openGolden(t *testing.T, base string) *golden {
	t.Helper()
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{T: t, open: make(map[string]bool)}
	if err := json.Unmarshal(text, g); err != nil {
		t.Fatalf("%s: %v", base, err)
	}
	if g.file, err = safetensors.Open(base + ".safetensors"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.file.Close() })
	return g
}

func (g *golden) check() {
	compare, known := comparers[g.Kind]
	if !known {
		g.Fatalf("unknown kind %q", g.Kind)
	}
	if g.Tolerance.Rtol <= 0 || g.Tolerance.Atol <= 0 {
		g.Fatalf("the case gives no tolerance: %+v", g.Tolerance)
	}
	for name := range g.Tensors {
		if _, ok := g.file.Info(name); !ok {
			g.Errorf("the case names the tensor %s, which its file does not hold", name)
		}
	}
	for name := range g.Scalars {
		g.open[name] = true
	}
	for _, name := range g.file.Names() {
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

// groups are the first groups of the expected names that match a pattern, each once.
func (g *golden) groups(pattern string) []string {
	var out []string
	re := regexp.MustCompile("^" + pattern + "$")
	for name := range g.open {
		if m := re.FindStringSubmatch(name); m != nil {
			out = append(out, m[1])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
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

func (g *golden) float(name string) float64 { return decode[float64](g, g.Config, name) }

func (g *golden) int(name string) int { return decode[int](g, g.Config, name) }

func (g *golden) shape(name string) []int {
	g.Helper()
	info, ok := g.file.Info(name)
	if !ok {
		g.Fatalf("no tensor %s", name)
	}
	return info.Shape
}

func (g *golden) flat(name string) []float64 {
	g.Helper()
	return must[[]float64](g)(g.file.Float64(name))
}

// matrix is a tensor with all axes but the last made one; nil for one without rows.
func (g *golden) matrix(name string) *mat.Dense {
	g.Helper()
	shape := g.shape(name)
	last := shape[len(shape)-1]
	v := g.flat(name)
	if len(v) == 0 {
		return nil
	}
	return mat.NewDense(len(v)/last, last, v)
}

// matrices are the slices of a tensor of three axes along the first.
func (g *golden) matrices(name string) []*mat.Dense {
	g.Helper()
	shape, v := g.shape(name), g.flat(name)
	size := shape[len(shape)-2] * shape[len(shape)-1]
	var out []*mat.Dense
	for at := 0; at < len(v); at += size {
		out = append(out, mat.NewDense(shape[len(shape)-2], shape[len(shape)-1], v[at:at+size]))
	}
	return out
}

// numbered are W0, W1, ... as long as there is one.
func (g *golden) numbered() []*mat.Dense {
	var out []*mat.Dense
	for {
		name := "W" + itoa(len(out))
		if _, ok := g.file.Info(name); !ok {
			return out
		}
		out = append(out, g.matrix(name))
	}
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }

func (g *golden) ints(name string) []int {
	g.Helper()
	out := []int{}
	for _, v := range must[[]int64](g)(g.file.Int64(name)) {
		out = append(out, int(v))
	}
	return out
}

func (g *golden) bools(name string) []bool {
	g.Helper()
	out := []bool{}
	for _, v := range g.ints(name) {
		out = append(out, v != 0)
	}
	return out
}

// same compares a tensor.
func (g *golden) same(name string, got []float64) {
	g.Helper()
	if _, ok := g.file.Info(name); !ok {
		g.Errorf("the case does not hold %s", name)
		return
	}
	g.near(name, got, g.flat(name))
}

func (g *golden) sameMatrix(name string, got *mat.Dense) {
	g.Helper()
	g.same(name, flatten(got))
}

func (g *golden) sameInts(name string, got []int) {
	g.Helper()
	delete(g.open, name)
	if want := g.ints(name); !slices.Equal(got, want) {
		g.Errorf("%s: %v, want %v", name, got, want)
	}
}

func (g *golden) sameBools(name string, got []bool) {
	g.Helper()
	delete(g.open, name)
	if want := g.bools(name); !slices.Equal(got, want) {
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

func flatten(m *mat.Dense) []float64 { return mat.DenseCopyOf(m).RawMatrix().Data }
