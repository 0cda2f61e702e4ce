package autoencoders

import (
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// TestRunLanguageModel is the comparison in a language model, where losses are compared.
func TestRunLanguageModel(t *testing.T) {
	b := graphtest.Backend(t)
	graphtest.Model(t, "smollm2")
	if graphtest.IsGo(t) {
		t.Skip("TopK is slow on the Go backend")
	}
	x := newBench(t, t.TempDir(), model.NewEngine(b, nil),
		"model=smollm2", "site=blocks.2.hook_resid_pre", "text.bos=prepend", "text.special=false", "text.from_pos=2", "text.corpus.max_docs=200",
		"splice.texts=4", "splice.batch=4", "explain.latents=2", "explain.texts=1",
	)
	dir := x.create(t)
	r, _ := x.finish(t, dir)
	if r.Check > 1e-5 {
		t.Errorf("keeping the error changes the predictions by %v nats", r.Check)
	}
	ce, kl := r.find("topk", "ce_recovered"), r.find("topk", "kl_recovered")
	if ce == nil || kl == nil || ce.Texts.N != 4 || !(ce.Texts.Value > 0 && ce.Texts.Value <= 1.2) || !(kl.Texts.Value > 0 && kl.Texts.Value <= 1) {
		t.Errorf("recovered: CE %+v, KL %+v", ce, kl)
	}
	var zero, mean float64
	for _, a := range r.Ablated {
		if a.Metric == "kl" && a.Ablated == "zero" {
			zero = a.Texts.Value
		}
		if a.Metric == "kl" && a.Ablated == "mean" {
			mean = a.Texts.Value
		}
	}
	if own := r.find("topk", "kl").Texts.Value; !(own > 0 && own < mean && own < zero) {
		t.Errorf("KL %v, of mean ablation %v, of zero ablation %v", own, mean, zero)
	}
}
