package stats_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/internal/stats"
)

// unchecked lists the values of golden cases that are not compared, with the reason; keys are kind/name.
var unchecked = map[string]string{
	"rouge/dummy": "a placeholder: the format wants one tensor, and ROUGE has none",
}

// inputs are the tensors that a case's values are computed from, by kind.
var inputs = map[string]*regexp.Regexp{
	"statistics": regexp.MustCompile(`^(a|b|x|y|p_values|resample_indices|group\d+)$`),
	"diversity":  regexp.MustCompile(`^(x|y_cka)$`),
	"rouge":      regexp.MustCompile(`^$`),
}

// TestGoldenStats runs over unlearning/NAME.json with NAME.safetensors for the names that belong to Stats.
func TestGoldenStats(t *testing.T) {
	dir := filepath.Join(graphtest.Golden(t), "unlearning")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if strings.HasSuffix(name, "config") || !ours(name) {
			continue
		}
		cases++
		t.Run(name, func(t *testing.T) { openCase(t, path).check() })
	}
	if cases == 0 {
		graphtest.Skip(t, "no golden case of statistics in %s", dir)
	}
}

func ours(name string) bool {
	return strings.HasPrefix(name, "statistics") || strings.HasPrefix(name, "diversity") || strings.HasPrefix(name, "rouge")
}

// goldenFile is the JSON of a case.
type goldenFile struct {
	Kind      string
	Config    json.RawMessage
	Scalars   map[string]json.RawMessage
	Tolerance struct{ Rtol, Atol float64 }
}

// goldenCase is one case and the account of which of its values were compared.
type goldenCase struct {
	*testing.T
	goldenFile
	tensors *safetensors.File
	open    map[string]bool // expected values that nothing has compared yet
	total   int
}

func openCase(t *testing.T, path string) *goldenCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &goldenCase{T: t, open: make(map[string]bool)}
	if err := json.Unmarshal(text, &c.goldenFile); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if c.tensors, err = safetensors.Open(strings.TrimSuffix(path, ".json") + ".safetensors"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.tensors.Close() })
	return c
}

func (c *goldenCase) check() {
	kinds := map[string]func(*goldenCase){
		"statistics": (*goldenCase).statistics, "diversity": (*goldenCase).diversity, "rouge": (*goldenCase).rouge,
	}
	compare, known := kinds[c.Kind]
	if !known {
		c.Fatalf("unknown kind %q", c.Kind)
	}
	if c.Tolerance.Rtol <= 0 || c.Tolerance.Atol <= 0 {
		c.Tolerance.Rtol, c.Tolerance.Atol = 1e-9, 1e-10 // the generator's own default; a case may leave it out
	}
	expected := slices.Collect(maps.Keys(c.Scalars))
	for _, name := range c.tensors.Names() {
		if !inputs[c.Kind].MatchString(name) {
			expected = append(expected, name)
		}
	}
	for _, name := range expected {
		c.open[name] = true
	}
	c.total = len(expected)
	compare(c)
	listed := 0
	for _, name := range slices.Sorted(maps.Keys(c.open)) {
		if unchecked[c.Kind+"/"+name] == "" {
			c.Errorf("%s was neither compared nor listed in unchecked", name)
			continue
		}
		listed++
	}
	c.Logf("%d of %d expected values compared, %d listed as unchecked", c.total-len(c.open), c.total, listed)
}

func (c *goldenCase) float64s(name string) []float64 {
	c.Helper()
	v, err := c.tensors.Float64(name)
	if err != nil {
		c.Fatal(err)
	}
	return v
}

func (c *goldenCase) matrix(name string) *mat.Dense {
	c.Helper()
	v := c.float64s(name)
	info, _ := c.tensors.Info(name)
	if len(info.Shape) != 2 {
		c.Fatalf("%s has shape %v, want two dimensions", name, info.Shape)
	}
	return mat.NewDense(info.Shape[0], info.Shape[1], v)
}

// scalars compares each computed value that the case has, and marks it. A computed value that it lacks is no error: cases differ.
func (c *goldenCase) scalars(got map[string]float64) {
	c.Helper()
	for name, g := range got {
		text, has := c.Scalars[name]
		if !has {
			continue
		}
		var want *float64
		if err := json.Unmarshal(text, &want); err != nil {
			c.Errorf("%s: %v", name, err)
			continue
		}
		delete(c.open, name)
		if want != nil { // the generator writes null for a package that it could not import
			c.near(name, g, *want)
		}
	}
}

func (c *goldenCase) tensor(name string, got []float64) {
	c.Helper()
	if _, has := c.tensors.Info(name); !has {
		return
	}
	delete(c.open, name)
	want := c.float64s(name)
	if len(got) != len(want) {
		c.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	for i := range want {
		c.near(fmt.Sprintf("%s[%d]", name, i), got[i], want[i])
	}
}

func (c *goldenCase) near(name string, got, want float64) {
	c.Helper()
	if !(math.Abs(got-want) <= c.Tolerance.Atol+c.Tolerance.Rtol*math.Abs(want)) {
		c.Errorf("%s = %.17g, want %.17g (rtol %g, atol %g)", name, got, want, c.Tolerance.Rtol, c.Tolerance.Atol)
	}
}

func (c *goldenCase) statistics() {
	a, b, x, y := c.float64s("a"), c.float64s("b"), c.float64s("x"), c.float64s("y")
	g := must[stats.Effect](c)(stats.Hedges(a, b, 0.95))
	w := must[stats.TTest](c)(stats.Welch(a, b))
	u := must[stats.UTest](c)(stats.MannWhitney(a, b))
	rho := must[stats.Correlation](c)(stats.Spearman(x, y))
	var groups [][]float64
	for i := 0; slices.Contains(c.tensors.Names(), fmt.Sprintf("group%d", i)); i++ {
		groups = append(groups, c.float64s(fmt.Sprintf("group%d", i)))
	}
	trend := must[stats.Trend](c)(stats.Jonckheere(groups))
	c.scalars(map[string]float64{
		"cohen_d": g.D, "hedges_J": g.J, "hedges_g": g.Value, "hedges_se": g.SE, "hedges_ci95_low": g.Low, "hedges_ci95_high": g.High,
		"welch_t": w.T, "welch_p": w.P,
		"mannwhitney_u": u.U, "mannwhitney_p_asymptotic_continuity": u.P,
		"spearman_rho": rho.R, "spearman_p_t": rho.P,
		"kendall_tau_b": must[float64](c)(stats.KendallTauB(x, y)),
		"pearson_r":     must[stats.Correlation](c)(stats.Pearson(x, y)).R,
		"jonckheere_J":  trend.J, "jonckheere_mean": trend.Mean, "jonckheere_var_ties": trend.Variance, "jonckheere_z": trend.Z,
		"jonckheere_p_increasing": trend.PIncreasing, "jonckheere_p_two_sided": trend.P,
	})
	p := c.float64s("p_values")
	c.tensor("holm", must[[]float64](c)(stats.Holm(p)))
	c.tensor("bh", must[[]float64](c)(stats.BenjaminiHochberg(p)))
	c.tensor("by", must[[]float64](c)(stats.BenjaminiYekutieli(p)))

	drawn, err := c.tensors.Int64("resample_indices")
	if err != nil {
		c.Fatal(err)
	}
	var index [][]int
	for row := range slices.Chunk(drawn, len(a)) {
		r := make([]int, len(row))
		for i, v := range row {
			r[i] = int(v)
		}
		index = append(index, r)
	}
	cfg := stats.DefaultBootstrap()
	bca := must[stats.BootstrapResult](c)(stats.BootstrapFrom(context.Background(), len(a), index, stats.MeanOf(a), cfg))
	cfg.Method = stats.Percentile
	boot := must[stats.BootstrapResult](c)(stats.BootstrapFrom(context.Background(), len(a), index, stats.MeanOf(a), cfg))
	c.scalars(map[string]float64{
		"bootstrap_mean": boot.Value, "bootstrap_ci95_low": boot.Low, "bootstrap_ci95_high": boot.High, "bootstrap_se": boot.SE,
		"bca_ci95_low": bca.Low, "bca_ci95_high": bca.High,
	})
	c.tensor("bootstrap_means", boot.Replicates)
}

var ngramScalar = regexp.MustCompile(`^(?:distinct|ead|ngram_entropy_bits)_(\d+)$`)

func (c *goldenCase) diversity() {
	var cfg struct {
		Texts []string
		Vocab int `json:"ead_vocab"`
	}
	if err := json.Unmarshal(c.Config, &cfg); err != nil {
		c.Fatal(err)
	}
	x := c.matrix("x")
	vendi := must[float64](c)(stats.VendiCosine(x, 1))
	got := map[string]float64{
		"vendi": vendi, "vendi_score_package": vendi,
		"vendi_q2":                      must[float64](c)(stats.VendiCosine(x, 2)),
		"vendi_inf":                     must[float64](c)(stats.VendiCosine(x, math.Inf(1))),
		"mean_pairwise_cosine_distance": must[float64](c)(stats.MeanCosineDistance(x)),
		"linear_cka":                    must[float64](c)(stats.LinearCKA(x, c.matrix("y_cka"))),
	}
	texts := make([][]string, len(cfg.Texts))
	for i, text := range cfg.Texts {
		texts[i] = strings.Fields(strings.ToLower(text))
	}
	for name := range c.Scalars {
		match := ngramScalar.FindStringSubmatch(name)
		if match == nil {
			continue
		}
		n, err := strconv.Atoi(match[1])
		if err != nil {
			c.Fatal(err)
		}
		grams := must[stats.NGrams](c)(stats.CountNGrams(texts, n))
		got["distinct_"+match[1]] = grams.DistinctRatio()
		got["ead_"+match[1]] = must[float64](c)(grams.ExpectationAdjusted(cfg.Vocab))
		got["ngram_entropy_bits_"+match[1]] = grams.Entropy()
	}
	c.scalars(got)
}

var rougeScore = regexp.MustCompile(`^rouge(\d+|L)(_stem)?$`)

func (c *goldenCase) rouge() {
	var rows []map[string]json.RawMessage
	if err := json.Unmarshal(c.Scalars["rows"], &rows); err != nil {
		c.Fatal(err)
	}
	delete(c.open, "rows")
	c.total-- // each value of the rows counts by itself
	for i, row := range rows {
		var reference, prediction string
		if err := json.Unmarshal(row["reference"], &reference); err != nil {
			c.Fatal(err)
		}
		if err := json.Unmarshal(row["prediction"], &prediction); err != nil {
			c.Fatal(err)
		}
		for name, text := range row {
			if name == "reference" || name == "prediction" {
				continue
			}
			c.rougeScore(fmt.Sprintf("rows[%d].%s", i, name), name, text, reference, prediction)
		}
	}
}

func (c *goldenCase) rougeScore(where, name string, text json.RawMessage, reference, prediction string) {
	c.Helper()
	match := rougeScore.FindStringSubmatch(name)
	if match == nil {
		c.open[where] = true
		c.total++
		return
	}
	r, p := stats.RougeTokens(reference, match[2] != ""), stats.RougeTokens(prediction, match[2] != "")
	got := stats.RougeL(r, p)
	if match[1] != "L" {
		n, err := strconv.Atoi(match[1])
		if err != nil {
			c.Fatal(err)
		}
		got = must[stats.Overlap](c)(stats.RougeN(r, p, n))
	}
	values := map[string]float64{"recall": got.Recall, "precision": got.Precision, "fmeasure": got.F}
	var want map[string]float64
	if err := json.Unmarshal(text, &want); err != nil {
		c.Fatalf("%s: %v", where, err)
	}
	for part, w := range want {
		c.total++
		if g, known := values[part]; known {
			c.near(where+"."+part, g, w)
		} else {
			c.open[where+"."+part] = true
		}
	}
}

// must returns a function that unwraps a result or fails the test.
func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
