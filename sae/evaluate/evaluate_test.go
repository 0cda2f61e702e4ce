package evaluate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/stats"
	"loupe/probe/store"
	"loupe/sae"
)

const (
	siteA = "blocks.0.hook_resid_post"
	siteB = "blocks.0.hook_mlp_out"
)

// planted is a store whose rows at siteA are sums of three of its directions, and at siteB of three linear functions of them.
type planted struct {
	store      *store.Store
	d, out     int
	dictionary []float32 // [F, d]
	f          int
}

func plantedStore(t *testing.T, docs int) planted {
	t.Helper()
	const length, d, out, f = 25, 16, 10, 20
	rng := rand.New(rand.NewPCG(8, 2))
	p := planted{d: d, out: out, f: f, dictionary: make([]float32, f*d)}
	for i := range p.dictionary {
		p.dictionary[i] = float32(rng.NormFloat64())
	}
	for i := range f {
		row, norm := p.dictionary[i*d:(i+1)*d], 0.0
		for _, v := range row {
			norm += float64(v) * float64(v)
		}
		for j := range row {
			row[j] /= float32(math.Sqrt(norm))
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "tiny", Digest: "m"}, Tokenizer: "t", Corpus: store.Source{ID: "text", Digest: "c"},
		Sites: []store.Site{
			{Name: siteA, Per: store.Token, Shape: []int{d}, DType: store.Float32},
			{Name: siteB, Per: store.Token, Shape: []int{out}, DType: store.Float32},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for doc := range int64(docs) {
		x, y := make([]float32, length*d), make([]float32, length*out)
		rows := store.Rows{Sites: [][]float32{x, y}}
		for pos := range int32(length) {
			rows.Doc, rows.Pos, rows.Token, rows.Special = append(rows.Doc, doc), append(rows.Pos, pos), append(rows.Token, pos), append(rows.Special, pos == 0)
			row := x[int(pos)*d : (int(pos)+1)*d]
			for range 3 {
				strength, l := float32(1+rng.Float64()+0.2*float64(doc%5)), rng.IntN(f)
				for j := range d {
					row[j] += strength * p.dictionary[l*d+j]
				}
			}
			for j := range 3 {
				y[int(pos)*out+j] = row[j] - 2*row[j+1] + 1
			}
			if pos == 0 {
				row[0] = 500
			}
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.store, err = store.Open(dir, store.OpenOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.store.Close() })
	return p
}

// pursuit is the best coder of the planted rows: matching pursuit in the dictionary that made them, blurred by noise.
func (p planted) pursuit(seed uint64, noise float64) *sae.SAE {
	rng := rand.New(rand.NewPCG(seed, 3))
	dec := make([]float32, len(p.dictionary))
	for i, v := range p.dictionary {
		dec[i] = v + float32(noise*rng.NormFloat64())
	}
	return &sae.SAE{
		Arch: sae.ArchMatchingPursuit, DIn: p.d, DSAE: p.f, Normalize: sae.NormalizeNone, WDec: dec, BDec: make([]float32, p.d),
		Pursuit: &sae.Pursuit{Iterations: 3, StopDuplicate: true}, Metadata: map[string]any{"hook_name": siteA, "model_name": "tiny"},
	}
}

func (p planted) bench(t *testing.T) *Bench {
	b := &Bench{Config: DefaultConfig(), Backend: graphtest.Backend(t), Store: p.store}
	b.Rows, b.Boot.Resamples = 2000, 100
	return b
}

func mustNew(t *testing.T, method, name string, c sae.Coder) *Dictionary {
	t.Helper()
	d, err := New(graphtest.Backend(t), method, name, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// TestMeasure: seeds of a method are joined, a method that is better beyond the noise of its seeds is placed before a worse
// one, two alike tie, and every method beats the random control, which is there with PCA.
func TestMeasure(t *testing.T) {
	p := plantedStore(t, 100)
	var dicts []*Dictionary
	for seed := range uint64(3) {
		for method, noise := range map[string]float64{"sharp": 0.02, "blurred": 0.08} {
			dicts = append(dicts, mustNew(t, method, fmt.Sprintf("%s %d", method, seed), p.pursuit(seed, noise)))
		}
		dicts = append(dicts, mustNew(t, "sharp too", fmt.Sprintf("sharp too %d", seed), p.pursuit(seed+10, 0.02)))
	}
	b := p.bench(t)
	r, err := b.Measure(t.Context(), dicts, []string{"geometry", "core"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Outcomes) != 2 || r.Outcomes[0].Suite != "core" || len(r.Outcomes[0].Scores) != 9+1+3 {
		t.Fatalf("%d outcomes, %d scores", len(r.Outcomes), len(r.Outcomes[0].Scores))
	}
	got := map[string]MethodScore{}
	for _, m := range r.Outcomes[0].Methods {
		got[m.Method] = m
	}
	sharp, too, blurred := got["sharp"], got["sharp too"], got["blurred"]
	if sharp.Rank != 1 || too.Rank != 1 || sharp.Ties != 1 || blurred.Rank != 3 || sharp.Seeds != 3 {
		t.Errorf("sharp %+v, sharp too %+v, blurred %+v", sharp, too, blurred)
	}
	var random, pca MethodScore
	for _, m := range r.Outcomes[0].Methods {
		switch m.Control {
		case ControlRandom:
			random = m
		case ControlPCA:
			pca = m
		}
	}
	l0 := sharp.Values["l0"].Value
	if random.Seeds != 3 || math.Abs(random.Values["l0"].Value-math.Round(l0)) > 0.01 || math.Abs(pca.Values["l0"].Value-math.Round(l0)) > 0.01 {
		t.Errorf("controls of L0 %v: random %+v, PCA %+v", l0, random.Values["l0"], pca.Values["l0"])
	}
	if f := blurred.Values["fvu"]; !(f.Value < random.Values["fvu"].Value && sharp.Values["fvu"].Value < f.Value && f.Low < f.Value && f.Value < f.High) {
		t.Errorf("FVU: sharp %v, blurred %v, random %v", sharp.Values["fvu"], f, random.Values["fvu"])
	}
	var text bytes.Buffer
	if err := r.Print(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CORE: 2000 rows of " + siteA, "1=", "control: PCA, 3 components", "control: random directions", "left out: PCA"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	var back, whole Report
	part := r.Of("sharp 1")
	for report, into := range map[*Report]*Report{part: &back, r: &whole} {
		var out bytes.Buffer
		if err := report.JSON(&out); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out.Bytes(), into); err != nil {
			t.Fatal(err)
		}
	}
	if len(back.Dictionaries) != 1+4 || len(back.Outcomes[0].Scores) != 5 || len(whole.Dictionaries) != 13 {
		t.Errorf("the part has %d dictionaries and %d scores, the whole %d", len(back.Dictionaries), len(back.Outcomes[0].Scores), len(whole.Dictionaries))
	}
}

// TestCoreIsEvaluate: the core suite gives the numbers of sae.Evaluate on the same rows, and its jackknife covers them.
func TestCoreIsEvaluate(t *testing.T) {
	p := plantedStore(t, 60)
	b := p.bench(t)
	s := p.pursuit(1, 0.1)
	out, err := b.Core(t.Context(), []*Dictionary{mustNew(t, "m", "m", s)})
	if err != nil {
		t.Fatal(err)
	}
	src, err := sae.NewStoreSource(t.Context(), p.store, []string{siteA}, store.Select{ExcludeSpecial: true}, sampleSeed)
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := sae.Join(src, siteA)
	if err != nil {
		t.Fatal(err)
	}
	want, err := sae.Evaluate(t.Context(), b.Backend, s, rows, sampleBatch, min(b.Rows, src.Count()))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range coreValues {
		got := out.Scores[0].Values[v.Name]
		if got.Value != v.of(want) {
			t.Errorf("%s is %v, want %v", v.Name, got.Value, v.of(want))
		}
		if v.Name != "dead_share" && !(got.Low < got.Value && got.Value < got.High && got.N == 32) {
			t.Errorf("%s has the interval %+v", v.Name, got)
		}
	}
}

// TestJackknife: for a mean over groups of equal size the standard error is that of the groups' means.
func TestJackknife(t *testing.T) {
	groups := []float64{1, 4, 2, 9, 5}
	total := 0.0
	for _, v := range groups {
		total += v
	}
	var without []sae.Result
	var sizes []float64
	for _, v := range groups {
		without, sizes = append(without, sae.Result{L0: (total - v) / 4}), append(sizes, 10)
	}
	got := jackknife(total/5, sizes, without, func(r sae.Result) float64 { return r.L0 }, 0.95)
	variance := 0.0
	for _, v := range groups {
		variance += (v - total/5) * (v - total/5) / 4
	}
	if se := math.Sqrt(variance / 5); math.Abs(got.SE-se) > 1e-12 || math.Abs(got.High-total/5-2.7764451*se) > 1e-6 {
		t.Errorf("%+v, want a standard error of %v", got, se)
	}
	if one := jackknife(3, []float64{5}, without[:1], func(r sae.Result) float64 { return r.L0 }, 0.95); one.Low != 3 || one.High != 3 {
		t.Errorf("a single group has the interval %+v", one)
	}
}

// TestMeasureTranscoder: a transcoder of another output width is measured against its target, beside the linear map, which
// is perfect here because the target is linear in the input and of rank 3.
func TestMeasureTranscoder(t *testing.T) {
	p := plantedStore(t, 60)
	rng := rand.New(rand.NewPCG(1, 1))
	values := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64() / 4)
		}
		return out
	}
	s := &sae.SAE{
		Arch: sae.ArchTopKTranscoder, DIn: p.d, DOut: p.out, DSAE: 30, K: 3, Normalize: sae.NormalizeNone,
		WEnc: values(p.d * 30), WDec: values(30 * p.out), BEnc: values(30), BDec: values(p.out),
		Metadata: map[string]any{"hook_name": siteA, "hook_name_out": siteB},
	}
	b := p.bench(t)
	r, err := b.Measure(t.Context(), []*Dictionary{mustNew(t, "transcoder", "transcoder", s)}, []string{"core", "geometry"})
	if err != nil {
		t.Fatal(err)
	}
	scores := map[string]map[string]stats.Interval{}
	for _, s := range r.Outcomes[0].Scores {
		scores[s.Dictionary] = s.Values
	}
	if own, linear := scores["transcoder"]["fvu"].Value, scores["linear map, rank 3"]["fvu"].Value; len(scores) != 2 || own < 0.5 || linear > 1e-4 {
		t.Errorf("FVU of the transcoder %v, of the linear map %v, of %d dictionaries", own, linear, len(scores))
	}
	if _, ok := r.Outcomes[1].Scores[0].Values["encoder_decoder_cosine"]; ok {
		t.Error("columns and rows of different spaces have a cosine")
	}
	s.Metadata = map[string]any{"hook_name": siteA}
	if _, err := b.Measure(t.Context(), []*Dictionary{mustNew(t, "t", "t", s)}, []string{"core"}); err == nil || !strings.Contains(err.Error(), "Targets") {
		t.Errorf("a transcoder without a target: %v", err)
	}
}

// TestMeasureCrosscoder: a crosscoder is measured on its joined sites, as sae.EvaluateCoder does.
func TestMeasureCrosscoder(t *testing.T) {
	p := plantedStore(t, 40)
	rng := rand.New(rand.NewPCG(1, 1))
	values := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64() / 4)
		}
		return out
	}
	const f = 30
	c := &sae.Crosscoder{
		Sites: 2, DIn: p.d, DSAE: f, Activation: sae.ActivationReLU, Norm: sae.CodeNormCrosscoder, WEnc: values(2 * p.d * f), WDec: values(f * 2 * p.d),
		BEnc: values(f), BDec: values(2 * p.d), Metadata: map[string]any{"hook_names": []any{siteA, siteA}},
	}
	b := p.bench(t)
	r, err := b.Measure(t.Context(), []*Dictionary{mustNew(t, "c", "c", c)}, []string{"core", "geometry"})
	if err != nil {
		t.Fatal(err)
	}
	src, err := sae.NewStoreSource(t.Context(), p.store, []string{siteA, siteA}, store.Select{ExcludeSpecial: true}, sampleSeed)
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := sae.Join(src, siteA, siteA)
	if err != nil {
		t.Fatal(err)
	}
	want, err := sae.EvaluateCoder(t.Context(), b.Backend, c, rows, sampleBatch, min(b.Rows, src.Count()))
	if err != nil {
		t.Fatal(err)
	}
	got := valuesOf(r.Outcomes[0])["c"]
	if math.Abs(got["fvu"].Value-want.FVU) > 1e-9*want.FVU || got["l0"].Value != want.L0 || r.Outcomes[1].LeftOut["c"] == "" {
		t.Errorf("FVU %v and L0 %v, want %v and %v; left out %v", got["fvu"].Value, got["l0"].Value, want.FVU, want.L0, r.Outcomes[1].LeftOut)
	}
}

// TestIdentify: the right SAE belongs to its store; at another hook, or trained with other sequences and on another model,
// that is said.
func TestIdentify(t *testing.T) {
	p := plantedStore(t, 60)
	s := p.pursuit(1, 0.01)
	id, err := Identify(t.Context(), graphtest.Backend(t), mustNew(t, "m", "m", s), p.store, 500)
	if err != nil {
		t.Fatal(err)
	}
	if !id.OK || len(id.Findings) != 1 || !strings.Contains(id.Findings[0], "special tokens are") {
		t.Errorf("the right SAE: %+v", id)
	}
	wrong := p.pursuit(1, 0.01)
	wrong.Metadata = map[string]any{"hook_name": siteA, "prepend_bos": false, "model_name": "other"}
	for i := range wrong.WDec {
		wrong.WDec[i] = float32(math.Sin(float64(i * i)))
	}
	if id, err = Identify(t.Context(), graphtest.Backend(t), mustNew(t, "w", "w", wrong), p.store, 500); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(id.Findings, "\n")
	if id.OK || !strings.Contains(all, "prepend_bos") || !strings.Contains(all, "on the model other") {
		t.Errorf("a wrong SAE: ok %v\n%s", id.OK, all)
	}
}

// TestMeasureStops: when the context ends, so does the measuring, with its error.
func TestMeasureStops(t *testing.T) {
	p := plantedStore(t, 20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.bench(t).Measure(ctx, []*Dictionary{mustNew(t, "m", "m", p.pursuit(1, 0.1))}, []string{"core", "geometry"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestSuiteNames: names are checked and ordered, and what is off by default is not part of all.
func TestSuiteNames(t *testing.T) {
	all, err := SuiteNames([]string{"all"})
	if err != nil {
		t.Fatal(err)
	}
	off := 0
	for _, s := range Suites() {
		if s.Off != "" {
			off++
		}
	}
	if len(all) != len(Suites())-off {
		t.Errorf("all are %v", all)
	}
	if got, err := SuiteNames([]string{"geometry", "core"}); err != nil || got[0] != "core" || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	for _, names := range [][]string{{"cores"}, nil} {
		if _, err := SuiteNames(names); err == nil {
			t.Errorf("%v are suites", names)
		}
	}
}
