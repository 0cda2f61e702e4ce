package sae

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/internal/stats"
	"loupe/probe/model"
)

// dictFunc makes a function of rows into a Reconstructor.
type dictFunc func(x []float32) []float32

func (f dictFunc) Reconstruct(_ context.Context, x []float32) (Latents, []float32, error) {
	return Latents{}, f(x), nil
}

// randomSAE is a TopK autoencoder with random weights.
func randomSAE(seed uint64, d, f, k int) *SAE {
	s := &SAE{
		Arch: ArchTopK, DIn: d, DSAE: f, K: k, ApplyBDecToInput: true, Normalize: NormalizeNone,
		WEnc: normals(seed, d*f), WDec: normals(seed+1, d*f), BEnc: normals(seed+2, f), BDec: normals(seed+3, d),
	}
	scaleBy(s.WEnc, 1/sqrt32(float32(d)))
	scaleBy(s.WDec, 1/sqrt32(float32(d)))
	return s
}

var shared struct {
	once   sync.Once
	engine *model.Engine
}

// spliceEngine is one engine for all tests here, so that equal plans compile once.
func spliceEngine(t *testing.T) *model.Engine {
	b := graphtest.Backend(t)
	shared.once.Do(func() { shared.engine = model.NewEngine(b, nil) })
	return shared.engine
}

func loadTiny(t *testing.T, e *model.Engine, name string) *model.Model {
	t.Helper()
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny", name)
	m, err := model.Load(t.Context(), e.Backend(), dir, model.Options{})
	if err != nil {
		graphtest.Skip(t, "no tiny model: %v", err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	return m
}

func mustSite(t *testing.T, name string) model.Site {
	t.Helper()
	s, err := model.ParseSite(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tinyBatches are two batches of random tokens with right padding in the second.
func tinyBatches(vocab, b, seq int) []TokenBatch {
	rng := rand.New(rand.NewPCG(3, 3))
	var out []TokenBatch
	for i := range 2 {
		batch := TokenBatch{IDs: make([]int32, b*seq), Mask: make([]int32, b*seq), Keep: make([]bool, b*seq)}
		for j := range batch.IDs {
			batch.IDs[j] = int32(3 + rng.IntN(vocab-8))
			if i == 0 || j%seq < seq-2 {
				batch.Mask[j] = 1
			}
			batch.Keep[j] = j%seq > 0 // the first token is left alone
		}
		out = append(out, batch)
	}
	return out
}

func percentile(resamples int) stats.BootstrapConfig {
	return stats.BootstrapConfig{Resamples: resamples, Level: 0.95, Method: stats.Percentile}
}

// TestSpliceLoss splices into a tiny model: the autoencoder inside the model and on the host agree, a perfect dictionary
// scores 1, one that returns zeros 0 and one that returns the mean 0 against mean ablation, and kept errors change nothing.
func TestSpliceLoss(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "gpt2")
	site := mustSite(t, "blocks.0.hook_resid_post")
	const b, seq = 3, 8
	plan := model.Plan{Batch: b, Seq: seq, Logits: model.LogitsAll}
	batches := tinyBatches(m.Spec.Vocab, b, seq)
	d := m.Spec.DModel
	measure := func(s *SAE, dict Reconstructor) SpliceReport {
		t.Helper()
		sp, err := NewSplicer(e, m, site, plan, s, dict)
		if err != nil {
			t.Fatal(err)
		}
		r, err := SpliceLoss(t.Context(), sp, batches, stats.BootstrapConfig{Resamples: 50, Level: 0.95, Method: stats.BCa})
		if err != nil {
			t.Fatal(err)
		}
		if r.Texts != 2*b || r.Tokens != b*(seq-1)+b*(seq-3) {
			t.Errorf("scored %d texts and %d tokens", r.Texts, r.Tokens)
		}
		if kl := r.Variants[VariantErrorKept].KL.Value; math.Abs(kl) > 1e-6 {
			t.Errorf("with its error kept, a splice moves the predictions by %v nats", kl)
		}
		return r
	}
	var ablated SpliceReport
	for _, arch := range []string{ArchTopK, ArchStandard, ArchJumpReLU} {
		s := randomSAE(5, d, 4*d, 4)
		if s.Arch = arch; arch != ArchTopK {
			s.K = 0
		}
		if arch == ArchJumpReLU {
			s.Threshold = normals(9, s.DSAE) // half of them below zero
		}
		run, err := NewRunner(e.Backend(), s, 16)
		if err != nil {
			t.Fatal(err)
		}
		ablated = measure(nil, run)
		run.Close()
		host := ablated.Variants[VariantSpliced]
		if host.KL.Value < 1e-4 {
			t.Errorf("%s: a random autoencoder moves the predictions by %v nats only", arch, host.KL.Value)
		}
		if graphtest.IsGo(t) && arch == ArchTopK {
			continue
		}
		inside := measure(s, nil).Variants[VariantSpliced]
		near(t, arch+": CE inside the model", inside.CE, host.CE, 1e-5)
		near(t, arch+": KL inside the model", inside.KL.Value, host.KL.Value, 1e-3)
	}

	same := measure(nil, dictFunc(func(x []float32) []float32 { return append([]float32{}, x...) }))
	near(t, "CE recovered by a perfect dictionary", same.CERecovered.Value, 1, 1e-5)
	near(t, "KL recovered by a perfect dictionary", same.KLRecovered.Value, 1, 1e-5)
	zero := measure(nil, dictFunc(func(x []float32) []float32 { return make([]float32, len(x)) }))
	if zero.CERecovered.Value != 0 || zero.KLRecovered.Value != 0 {
		t.Errorf("a dictionary of zeros scores %v and %v", zero.CERecovered.Value, zero.KLRecovered.Value)
	}
	near(t, "CE of zeros", zero.Variants[VariantSpliced].CE, ablated.Variants[VariantZero].CE, 1e-12)

	sp, err := NewSplicer(e, m, site, plan, nil, dictFunc(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.ensureMean(t.Context(), batches); err != nil {
		t.Fatal(err)
	}
	mean := measure(nil, dictFunc(func(x []float32) []float32 {
		out := make([]float32, 0, len(x))
		for range len(x) / d {
			out = append(out, sp.mean...)
		}
		return out
	}))
	if mean.CERecoveredMean.Value != 0 || mean.KLRecoveredMean.Value != 0 {
		t.Errorf("a dictionary of means scores %v and %v against mean ablation", mean.CERecoveredMean.Value, mean.KLRecoveredMean.Value)
	}
}

// TestSpliceTranscoder: a dictionary that computes the MLP's output from its input changes nothing, one that returns zeros is
// zero ablation of the output.
func TestSpliceTranscoder(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "gpt2")
	read, write := mustSite(t, "blocks.0.hook_resid_mid"), mustSite(t, "blocks.0.hook_mlp_out")
	const b, seq = 3, 8
	plan := model.Plan{Batch: b, Seq: seq, Logits: model.LogitsAll}
	batches := tinyBatches(m.Spec.Vocab, b, seq)
	// The reference: the site's values for the rows that are read, by their values.
	known := map[[2]float32][]float32{}
	program, err := e.Compile(m.Spec, model.Plan{Batch: b, Seq: seq, Captures: []model.Capture{{Site: read}, {Site: write}}})
	if err != nil {
		t.Fatal(err)
	}
	d := m.Spec.DModel
	for _, batch := range batches {
		out, err := program.Run(t.Context(), m.Params, model.Inputs{IDs: batch.IDs, Mask: batch.Mask})
		if err != nil {
			t.Fatal(err)
		}
		x, err := tensors.CopyFlatData[float32](out.Site(read))
		if err != nil {
			t.Fatal(err)
		}
		y, err := tensors.CopyFlatData[float32](out.Site(write))
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.IDs {
			known[[2]float32{x[i*d], x[i*d+1]}] = y[i*d : (i+1)*d]
		}
	}
	right := dictFunc(func(x []float32) []float32 {
		out := make([]float32, 0, len(x))
		for i := range len(x) / d {
			out = append(out, known[[2]float32{x[i*d], x[i*d+1]}]...)
		}
		return out
	})
	zero := dictFunc(func(x []float32) []float32 { return make([]float32, len(x)) })
	var alone []SpliceReport
	for _, dict := range []dictFunc{right, zero} {
		s, err := NewTranscoderSplicer(e, m, read, write, plan, dict)
		if err != nil {
			t.Fatal(err)
		}
		r, err := SpliceLoss(t.Context(), s, batches, percentile(20))
		if err != nil {
			t.Fatal(err)
		}
		alone = append(alone, r)
	}
	near(t, "CE recovered by the right function", alone[0].CERecovered.Value, 1, 1e-4)
	if alone[1].CERecovered.Value != 0 || alone[0].Variants[VariantZero].DeltaCE.Value == 0 {
		t.Errorf("zeros score %v; zero ablation adds %v", alone[1].CERecovered.Value, alone[0].Variants[VariantZero].DeltaCE.Value)
	}
	for _, r := range alone {
		if kl := r.Variants[VariantErrorKept].KL.Value; math.Abs(kl) > 1e-6 {
			t.Errorf("with its error kept, a splice moves the predictions by %v nats", kl)
		}
	}
}

// TestSpliceSmolLM2 splices into a real model: its loss on sentences is that of a language model, every ablation costs, and
// dictionaries order as they must: perfect, 30 % noise, zeros.
func TestSpliceSmolLM2(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the pure Go backend is too slow for a real model")
	}
	dir := graphtest.Model(t, "smollm2")
	golden, err := safetensors.Open(filepath.Join(graphtest.Golden(t), "models", "real", "smollm2.safetensors"))
	if err != nil {
		graphtest.Skip(t, "no golden texts: %v", err)
	}
	defer golden.Close()
	const b, seq = 2, 16
	batch := TokenBatch{IDs: make([]int32, b*seq), Mask: make([]int32, b*seq), Keep: make([]bool, b*seq)}
	row := 0
	for _, name := range golden.Names() {
		if info, _ := golden.Info(name); !strings.HasSuffix(name, ".input_ids") || info.Shape[0] < 13 || info.Shape[0] > seq || row == b {
			continue
		}
		ids, err := golden.Int64(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, id := range ids {
			at := row*seq + i
			batch.IDs[at], batch.Mask[at], batch.Keep[at] = int32(id), 1, i > 0
		}
		row++
	}
	e := spliceEngine(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.gguf"))
	if err != nil || len(files) != 1 {
		graphtest.Skip(t, "no single GGUF file in %s: %v", dir, err)
	}
	m, err := model.Load(t.Context(), e.Backend(), files[0], model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	rng := rand.New(rand.NewPCG(4, 4))
	var last SpliceReport
	for i, dict := range []dictFunc{
		func(x []float32) []float32 { return append([]float32{}, x...) },
		func(x []float32) []float32 {
			y := append([]float32{}, x...)
			d := m.Spec.DModel
			for r := range len(x) / d {
				size := float64(norm2(x[r*d:(r+1)*d])) / math.Sqrt(float64(d))
				for j := range d {
					y[r*d+j] += float32(0.3 * size * rng.NormFloat64())
				}
			}
			return y
		},
		func(x []float32) []float32 { return make([]float32, len(x)) },
	} {
		sp, err := NewSplicer(e, m, mustSite(t, "blocks.15.hook_resid_post"), model.Plan{Batch: b, Seq: seq, Logits: model.LogitsAll}, nil, dict)
		if err != nil {
			t.Fatal(err)
		}
		r, err := SpliceLoss(t.Context(), sp, []TokenBatch{batch}, percentile(20))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("clean CE %.3f, spliced %.3f, zero %.3f, mean %.3f; recovered %.3f CE, %.3f KL", r.CleanCE, r.Variants[VariantSpliced].CE,
			r.Variants[VariantZero].CE, r.Variants[VariantMean].CE, r.CERecovered.Value, r.KLRecovered.Value)
		if r.CleanCE < 1 || r.CleanCE > 6 || r.Variants[VariantZero].DeltaCE.Value < 1 {
			t.Errorf("clean CE is %v and zero ablation adds %v", r.CleanCE, r.Variants[VariantZero].DeltaCE.Value)
		}
		if i > 0 && r.KLRecovered.Value >= last.KLRecovered.Value {
			t.Errorf("dictionary %d recovers %v and the better one before it %v", i, r.KLRecovered.Value, last.KLRecovered.Value)
		}
		last = r
	}
}

// TestSpliceLeavesOtherPositions: where nothing is kept, no variant changes anything.
func TestSpliceLeavesOtherPositions(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "gpt2")
	const b, seq = 3, 8
	sp, err := NewSplicer(e, m, mustSite(t, "blocks.1.hook_mlp_out"), model.Plan{Batch: b, Seq: seq, Logits: model.LogitsAll}, nil,
		dictFunc(func(x []float32) []float32 { return make([]float32, len(x)) }))
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.SetMean(make([]float32, m.Spec.DModel)); err != nil {
		t.Fatal(err)
	}
	batch := tinyBatches(m.Spec.Vocab, b, seq)[0]
	for _, keep := range []bool{true, false} {
		for i := range batch.Keep {
			batch.Keep[i] = keep && i >= seq // the first text never
		}
		var clean []float32
		err = sp.Run(t.Context(), batch, variants[:], func(v Variant, out *model.Outputs) error {
			logits, err := tensors.CopyFlatData[float32](out.Logits())
			if err != nil {
				return err
			}
			if v == VariantClean {
				clean = logits
				return nil
			}
			first := len(logits) / b
			nearly(t, string(v)+", first text", logits[:first], clean[:first], 0, 0)
			changed := false
			for i := first; i < len(logits); i++ {
				changed = changed || math.Abs(float64(logits[i]-clean[i])) > 1e-4
			}
			if want := keep && v != VariantErrorKept; changed != want {
				t.Errorf("%s, keep %v: changed is %v", v, keep, changed)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSpliceRefuses(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "gpt2")
	plan := model.Plan{Batch: 1, Seq: 4, Logits: model.LogitsAll}
	wide := randomSAE(1, m.Spec.DModel+1, 8, 2)
	for want, make := range map[string]func() (*Splicer, error){
		"not of shape": func() (*Splicer, error) {
			return NewSplicer(e, m, mustSite(t, "blocks.0.attn.hook_pattern"), plan, nil, dictFunc(nil))
		},
		"is this the SAE's site": func() (*Splicer, error) {
			return NewSplicer(e, m, mustSite(t, "blocks.0.hook_resid_post"), plan, wide, nil)
		},
		"writes another site": func() (*Splicer, error) {
			return NewSplicer(e, m, mustSite(t, "blocks.0.hook_mlp_out"), plan, &SAE{Arch: ArchTranscoder, DIn: m.Spec.DModel}, nil)
		},
		"give a Reconstructor": func() (*Splicer, error) {
			return NewSplicer(e, m, mustSite(t, "blocks.0.hook_resid_post"), plan, nil, nil)
		},
	} {
		if _, err := make(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestLossesByHand: logits (0, ln 3) are probabilities 1/4, 3/4; against equal logits KL = 1/4 ln 1/2 + 3/4 ln 3/2.
func TestLossesByHand(t *testing.T) {
	p := []float32{0, float32(math.Log(3))}
	near(t, "CE", CrossEntropy(p, 0), math.Log(4), 1e-7)
	near(t, "KL", Divergence(p, []float32{1, 1}), math.Log(0.5)/4+3*math.Log(1.5)/4, 1e-6)
	near(t, "KL after a shift", Divergence([]float32{1000, 1000 + p[1]}, []float32{-5, -5}), math.Log(0.5)/4+3*math.Log(1.5)/4, 1e-4)
	score, err := LossRecovered(2, 3, 6)
	if err != nil || score != 0.75 {
		t.Errorf("score %v, %v; want 0.75", score, err)
	}
	if _, err := LossRecovered(2, 3, 2); err == nil {
		t.Error("an ablation without effect has a score")
	}
}

// TestSpliceTexts: an ablation that is run once and joined gives the report of a run with every variant, without the one that
// was not asked for; other texts, and a report without its variants, are refused.
func TestSpliceTexts(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "gpt2")
	const b, seq = 3, 8
	batches := tinyBatches(m.Spec.Vocab, b, seq)
	half := dictFunc(func(x []float32) []float32 {
		y := make([]float32, len(x))
		for i, v := range x {
			y[i] = v / 2
		}
		return y
	})
	sp, err := NewSplicer(e, m, mustSite(t, "blocks.0.hook_resid_post"), model.Plan{Batch: b, Seq: seq, Logits: model.LogitsAll}, nil, half)
	if err != nil {
		t.Fatal(err)
	}
	boot := percentile(50)
	want, err := SpliceLoss(t.Context(), sp, batches, boot)
	if err != nil {
		t.Fatal(err)
	}
	told := int64(0)
	ablated, err := SpliceTexts(t.Context(), sp, batches, []Variant{VariantZero, VariantMean}, func(n int64) { told += n })
	if err != nil {
		t.Fatal(err)
	}
	if told != 2*b {
		t.Errorf("told of %d texts of %d", told, 2*b)
	}
	if _, err := ablated.Report(t.Context(), boot); err == nil || !strings.Contains(err.Error(), "spliced") {
		t.Errorf("a report without the splice: %v", err)
	}
	spliced, err := SpliceTexts(t.Context(), sp, batches, []Variant{VariantSpliced}, nil)
	if err != nil {
		t.Fatal(err)
	}
	joined, err := spliced.With(ablated)
	if err != nil {
		t.Fatal(err)
	}
	got, err := joined.Report(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := got.Variants[VariantErrorKept]; ok {
		t.Error("a variant is reported that was not run")
	}
	delete(want.Variants, VariantErrorKept)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("joined %+v, in one run %+v", got, want)
	}
	one, err := SpliceTexts(t.Context(), sp, batches[:1], []Variant{VariantSpliced}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.With(ablated); err == nil {
		t.Error("losses of other texts are joined")
	}
}
