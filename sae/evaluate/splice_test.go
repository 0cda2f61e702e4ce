package evaluate

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"loupe/internal/stats"
	"loupe/sae"
)

// whole is a perfect dictionary: all principal components.
func whole(t *testing.T, b *Bench, site string) *Dictionary {
	t.Helper()
	info, err := b.Store.Site(site)
	if err != nil {
		t.Fatal(err)
	}
	ref := &Dictionary{Sites: []string{site}, DIn: info.Dim(), DOut: info.Dim()}
	m, err := b.momentsOf(t.Context(), ref.sites())
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.pca(ref, m, info.Dim())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func valuesOf(o *Outcome) map[string]map[string]stats.Interval {
	out := map[string]map[string]stats.Interval{}
	for _, s := range o.Scores {
		out[s.Dictionary] = s.Values
	}
	return out
}

// TestSpliceDecoder: in a language model a perfect dictionary recovers everything and a random one less; the ablations are
// rows of the table; without a model the suite says why it is left out.
func TestSpliceDecoder(t *testing.T) {
	f := tinySubject(t, "gpt2", "blocks.0.hook_resid_post")
	b := f.bench(t)
	d := f.subject.Model.Spec.DModel
	perfect, random := whole(t, b, f.site), mustNew(t, "random", "random", randomTopK(f.site, d, 4*d, 4))
	o, err := b.Splice(t.Context(), []*Dictionary{perfect, random})
	if err != nil {
		t.Fatal(err)
	}
	got := valuesOf(o)
	if v := got[perfect.Name]["ce_loss_score"].Value; math.Abs(v-1) > 1e-3 {
		t.Errorf("all components recover %v of the loss", v)
	}
	if v := got["random"]; v["kl"].Value < 1e-4 || math.Abs(v["kl_error_kept"].Value) > 1e-5 || v["kl"].Low >= v["kl"].High {
		t.Errorf("random: %+v", v)
	}
	if len(got) != 4 || got["zero ablation"]["kl"].Value <= 0 || got["mean ablation"]["kl"].Value <= 0 {
		t.Errorf("%d rows, ablations %v and %v", len(got), got["zero ablation"], got["mean ablation"])
	}
	if !strings.Contains(o.On, "24 texts") || len(o.Notes) != 0 {
		t.Errorf("on %q, notes %q", o.On, o.Notes)
	}

	b.Subject = nil
	r, err := b.Measure(t.Context(), []*Dictionary{random}, []string{"splice"})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.Print(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "give --model") {
		t.Errorf("without a model:\n%s", text.String())
	}
}

// TestSpliceDecoderTranscoder: a transcoder from a block's middle to its MLP's output is spliced at the output.
func TestSpliceDecoderTranscoder(t *testing.T) {
	f := tinySubject(t, "gpt2", "blocks.0.hook_resid_mid")
	b := f.bench(t)
	d := f.subject.Model.Spec.DModel
	s := randomTopK(f.site, d, 2*d, 3)
	s.Arch, s.ApplyBDecToInput, s.DOut = sae.ArchTopKTranscoder, false, d
	s.Metadata["hook_name_out"] = "blocks.0.hook_mlp_out"
	o, err := b.Splice(t.Context(), []*Dictionary{mustNew(t, "t", "t", s)})
	if err != nil {
		t.Fatal(err)
	}
	if v := valuesOf(o)["t"]; v["kl"].Value < 1e-4 || math.Abs(v["kl_error_kept"].Value) > 1e-5 {
		t.Errorf("%+v", v)
	}
}

// TestSpliceEncoder: in a text encoder a perfect dictionary leaves embeddings, neighbours and nearest labels alone; kept errors
// do too; random directions and ablations do not.
func TestSpliceEncoder(t *testing.T) {
	f := miniLM(t)
	b := f.bench(t)
	b.Texts = 24
	d := f.subject.Model.Spec.DModel
	perfect, random := whole(t, b, f.site), mustNew(t, "random", "random", randomTopK(f.site, d, 2*d, 8))
	o, err := b.Splice(t.Context(), []*Dictionary{perfect, random})
	if err != nil {
		t.Fatal(err)
	}
	got := valuesOf(o)
	if v := got[perfect.Name]; v["cosine"].Value < 0.9999 || v["knn_overlap"].Value < 0.97 || v["zero_shot_agreement"].Value != 1 || v["drift"].Value > 0.01 {
		t.Errorf("all components: %+v", v)
	}
	if v := got["random"]; v["cosine"].Value > 0.95 || v["cosine_error_kept"].Value < 0.9999 {
		t.Errorf("random: %+v", v)
	}
	if v := got["mean ablation"]; v["cosine"].Value > 0.8 || len(got) != 4 {
		t.Errorf("%d rows, mean ablation %+v", len(got), v)
	}
}
