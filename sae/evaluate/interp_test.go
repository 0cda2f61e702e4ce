package evaluate

import (
	"slices"
	"strings"
	"testing"

	"loupe/probe/store"
	"loupe/sae"
)

// TestAutointerp: two latents that fire on the words of two concepts score high with these concepts' descriptions and with their
// tokens, and above another latent's.
func TestAutointerp(t *testing.T) {
	f := miniLM(t)
	docs, err := f.store.Docs()
	if err != nil {
		t.Fatal(err)
	}
	// A store of the same tokens whose activations are planted: dimension 0 and 1 at the sentences' concept words.
	spec := store.Spec{
		Model: store.Source{ID: "minilm", Digest: f.subject.Model.Digest}, Tokenizer: f.subject.Tokenizer.Digest(), Corpus: store.Source{ID: "text", Digest: "c"},
		Sites: []store.Site{{Name: f.site, Per: store.Token, Shape: []int{3}, DType: store.Float32}},
	}
	dir := t.TempDir() + "/store"
	w, err := store.Create(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range f.texts {
		enc, err := f.subject.encode(text)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 3*len(enc.IDs))
		rows := store.Rows{Sites: [][]float32{x}, Token: enc.IDs, Special: enc.Special}
		for p := range enc.IDs {
			rows.Doc, rows.Pos = append(rows.Doc, int64(i)), append(rows.Pos, int32(p))
			x[3*p+2] = 0.1
			if at := slices.Index([]string{"animals", "countries"}, docs.Labels["concept"][i]); at >= 0 && !enc.Special[p] && enc.Offsets[p][1]-enc.Offsets[p][0] > 4 {
				x[3*p+at] = 1
			}
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: int64(i)}}, Rows: rows}); err != nil {
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
	defer st.Close()
	s := &sae.SAE{
		Arch: sae.ArchStandard, DIn: 3, DSAE: 3, Normalize: sae.NormalizeNone, WEnc: []float32{1, 0, 0, 0, 1, 0, 0, 0, 0}, WDec: make([]float32, 9),
		BEnc: make([]float32, 3), BDec: make([]float32, 3), Metadata: map[string]any{"hook_name": f.site},
	}
	b := f.bench(t)
	b.Store, b.Tokenizer = st, f.subject.Tokenizer
	dict := mustNew(t, "planted", "planted", s)
	if o, err := b.Autointerp(t.Context(), []*Dictionary{dict}); err == nil {
		t.Errorf("without a judge: %+v", o)
	}
	if b.Judge, err = NewJudge(f.subject); err != nil {
		t.Fatal(err)
	}
	for name, descriptions := range map[string]map[int]string{"given": {0: "animals", 1: "countries"}, "by tokens": nil} {
		b.Descriptions = descriptions
		o, err := b.Autointerp(t.Context(), []*Dictionary{dict})
		if err != nil {
			t.Fatal(err)
		}
		v := valuesOf(o)["planted"]
		t.Logf("%s: AUC %.3f, control %.3f", name, v["auc"].Value, v["control_auc"].Value)
		if v["auc"].Value < 0.7 || v["gain"].Value < 0.1 || v["auc"].N != 2 || !strings.Contains(o.On, "judged by minilm") {
			t.Errorf("%s: %+v on %q", name, v, o.On)
		}
	}
}
