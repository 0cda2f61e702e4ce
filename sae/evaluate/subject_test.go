package evaluate

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/store"
	"loupe/probe/text"
	"loupe/sae"
)

// engine is one engine for all tests here, so that equal plans compile once.
var engine struct {
	once sync.Once
	of   *model.Engine
}

func testEngine(t *testing.T) *model.Engine {
	b := graphtest.Backend(t)
	engine.once.Do(func() { engine.of = model.NewEngine(b, nil) })
	return engine.of
}

// fixture is a model with a store of its activations at one site.
type fixture struct {
	subject *Subject
	store   *store.Store
	site    string
	texts   []string
}

func (f fixture) bench(t *testing.T) *Bench {
	b := &Bench{Config: DefaultConfig(), Backend: graphtest.Backend(t), Store: f.store, Subject: f.subject}
	b.Rows, b.Boot.Resamples, b.RandomSeeds = 2000, 100, 2
	return b
}

// tinySubject is a tiny model without a tokenizer, and a store of what it does with random tokens.
func tinySubject(t *testing.T, name, site string) fixture {
	t.Helper()
	e := testEngine(t)
	m, err := model.Load(t.Context(), e.Backend(), filepath.Join(graphtest.Golden(t), "models", "tiny", name), model.Options{})
	if err != nil {
		graphtest.Skip(t, "no tiny model: %v", err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	s := &Subject{Engine: e, Model: m, Length: 16}
	rng := rand.New(rand.NewPCG(3, 1))
	var tokens [][]int32
	var special [][]bool
	for i := range 24 {
		row, marks := make([]int32, 8+i%8), make([]bool, 8+i%8)
		for j := range row {
			row[j] = int32(3 + rng.IntN(m.Spec.Vocab-8))
		}
		marks[0] = true
		tokens, special = append(tokens, row), append(special, marks)
	}
	return fixture{subject: s, site: site, store: writeStore(t, s, site, tokens, special, nil)}
}

// miniLM is MiniLM and a store of what it does with sentences about concepts.
func miniLM(t *testing.T) fixture {
	t.Helper()
	if graphtest.IsGo(t) {
		t.Skip("the pure Go backend is too slow for a real model")
	}
	e := testEngine(t)
	s, err := OpenSubject(t.Context(), e.Backend(), graphtest.Model(t, "minilm"), true, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Engine = e
	t.Cleanup(func() { _ = s.Close() })
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	cfg := text.DefaultGenerateConfig()
	cfg.Concepts, cfg.Train, cfg.HeldOut = []string{"animals", "countries"}, 20, 10
	sentences, err := suite.Generate(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := fixture{subject: s, site: "blocks.3.hook_resid_post"}
	var tokens [][]int32
	var special [][]bool
	labels := map[string][]string{}
	for _, l := range sentences {
		enc, err := s.encode(l.Text)
		if err != nil {
			t.Fatal(err)
		}
		f.texts = append(f.texts, l.Text)
		tokens, special = append(tokens, enc.IDs), append(special, enc.Special)
		concept := "other"
		if l.Positive {
			concept = l.Concept
		}
		labels["concept"] = append(labels["concept"], concept)
	}
	f.store = writeStore(t, s, f.site, tokens, special, labels)
	return f
}

// writeStore runs token sequences through a model and stores a site, one document a sequence.
func writeStore(t *testing.T, s *Subject, site string, tokens [][]int32, special [][]bool, labels map[string][]string) *store.Store {
	t.Helper()
	at, err := model.ParseSite(site)
	if err != nil {
		t.Fatal(err)
	}
	spec := store.Spec{
		Model:  store.Source{ID: s.Model.Name, Digest: s.Model.Digest},
		Corpus: store.Source{ID: "text", Digest: "c"}, KeepText: false,
		Sites: []store.Site{{Name: site, Per: store.Token, Shape: []int{s.Model.Spec.Width(at.Kind, 1)}, DType: store.Float32}},
	}
	if s.Tokenizer != nil {
		spec.Tokenizer = s.Tokenizer.Digest()
	}
	for name := range labels {
		spec.Labels = append(spec.Labels, name)
	}
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	for i, ids := range tokens {
		x, err := s.run(t.Context(), at, ids)
		if err != nil {
			t.Fatal(err)
		}
		rows := store.Rows{Sites: [][]float32{x}, Token: ids, Special: special[i]}
		for p := range int32(len(ids)) {
			rows.Doc, rows.Pos = append(rows.Doc, int64(i)), append(rows.Pos, p)
		}
		doc := store.Doc{ID: int64(i), Labels: map[string]string{}}
		for name, values := range labels {
			doc.Labels[name] = values[i]
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{doc}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(dir, store.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// randomTopK is a TopK autoencoder of random weights at a site.
func randomTopK(site string, d, f, k int) *sae.SAE {
	rng := rand.New(rand.NewPCG(4, 4))
	values := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64() / math.Sqrt(float64(d)))
		}
		return out
	}
	return &sae.SAE{
		Arch: sae.ArchTopK, DIn: d, DSAE: f, K: k, ApplyBDecToInput: true, Normalize: sae.NormalizeNone,
		WEnc: values(d * f), WDec: values(f * d), BEnc: values(f), BDec: values(d), Metadata: map[string]any{"hook_name": site},
	}
}

// TestActivations: the values of texts of several lengths are those of one text run alone, in the order of the texts.
func TestActivations(t *testing.T) {
	f := miniLM(t)
	at, err := model.ParseSite(f.site)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{f.texts[0], "Yes.", "A much longer sentence, with several commas, that goes on for a while so that it falls into another length."}
	a, err := f.subject.Activations(t.Context(), at, texts, nil)
	if err != nil {
		t.Fatal(err)
	}
	groups := a.Groups()
	for i, s := range texts {
		enc, err := f.subject.encode(s)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.subject.run(t.Context(), at, enc.IDs)
		if err != nil {
			t.Fatal(err)
		}
		got := a.X[a.Start[i]*a.Width : a.Start[i+1]*a.Width]
		if len(got) != len(want) {
			t.Fatalf("text %d has %d values, want %d", i, len(got), len(want))
		}
		for j, w := range want {
			if math.Abs(float64(got[j]-w)) > 1e-4 {
				t.Fatalf("text %d, value %d is %v, want %v", i, j, got[j], w)
			}
		}
		if groups[a.Start[i]] != -1 || groups[a.Start[i]+1] != i || groups[a.Start[i+1]-1] != -1 {
			t.Errorf("text %d has the groups %v", i, groups[a.Start[i]:a.Start[i+1]])
		}
	}
}

// handLoss splices a row into a prompt by a compiled program and returns -log p of the wanted candidate and the best one.
func handLoss(t *testing.T, s *Subject, program *model.Program, p readerPrompt, row []float32, candidates []int32, want int) (float64, int) {
	t.Helper()
	const seq = 8
	d := len(row)
	ids, mask := make([]int32, seq), make([]int32, seq)
	s.place(p.tokens, ids, mask)
	where, source := make([]float32, seq), make([]float32, seq*d)
	where[p.at] = 1
	copy(source[p.at*d:], row)
	out, err := program.Run(t.Context(), s.Model.Params, model.Inputs{IDs: ids, Mask: mask, Edits: []map[string]*tensors.Tensor{{
		"where": tensors.FromFlatDataAndDimensions(where, 1, 1, seq), "dims": tensors.FromScalarAndDimensions(float32(1), d),
		"source": tensors.FromFlatDataAndDimensions(source, 1, seq, d),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Free() }()
	logits, err := tensors.CopyFlatData[float32](out.Logits())
	if err != nil {
		t.Fatal(err)
	}
	vocab := len(logits) / seq
	last := logits[(len(p.tokens)-1)*vocab:]
	var own []float32
	best := 0
	for i, c := range candidates {
		own = append(own, last[c])
		if own[i] > own[best] {
			best = i
		}
	}
	return sae.CrossEntropy(own, int32(want)), best
}
