package sae

import (
	"slices"
	"strings"
	"testing"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// TestSpliceEmbeddings splices into a tiny text encoder: a perfect dictionary keeps every embedding, one of zeros gives those
// of zero ablation, and padding rows have no embedding.
func TestSpliceEmbeddings(t *testing.T) {
	e := spliceEngine(t)
	m := loadTiny(t, e, "bert")
	pooled := mustSite(t, "pooler")
	const b, seq = 3, 8
	plan := model.Plan{Batch: b, Seq: seq, Captures: []model.Capture{{Site: pooled}}}
	batches := tinyBatches(m.Spec.Vocab, b, seq)
	for i := range seq {
		batches[1].Mask[2*seq+i] = 0 // the last text is padding
	}
	embed := func(dict dictFunc) map[Variant][]float32 {
		sp, err := NewSplicer(e, m, mustSite(t, "blocks.0.hook_normalized_resid_post"), plan, nil, dict)
		if err != nil {
			t.Fatal(err)
		}
		out, width, err := SpliceEmbeddings(t.Context(), sp, pooled, batches, variants[:])
		if err != nil {
			t.Fatal(err)
		}
		if width != m.Spec.DModel || len(out[VariantClean]) != (2*b-1)*width {
			t.Fatalf("%d values of width %d", len(out[VariantClean]), width)
		}
		return out
	}
	same := embed(func(x []float32) []float32 { return slices.Clone(x) })
	r, err := CompareEmbeddings(t.Context(), same[VariantClean], same[VariantSpliced], m.Spec.DModel, 2, stats.DefaultBootstrap())
	if err != nil {
		t.Fatal(err)
	}
	if r.Texts != 2*b-1 || r.Drift.Value > 1e-5 || r.Neighbours.Value != 1 {
		t.Errorf("a perfect dictionary: %+v", r)
	}
	none := embed(func(x []float32) []float32 { return make([]float32, len(x)) })
	nearly(t, "zeros", none[VariantSpliced], none[VariantZero], 0, 0)
	if r, err = CompareEmbeddings(t.Context(), none[VariantClean], none[VariantSpliced], m.Spec.DModel, 2, stats.DefaultBootstrap()); err != nil {
		t.Fatal(err)
	}
	if r.Drift.Low < 1e-3 {
		t.Errorf("a dictionary of zeros moves the embeddings by %+v only", r.Drift)
	}

	sp, err := NewSplicer(e, m, mustSite(t, "blocks.0.hook_normalized_resid_post"), plan, nil, dictFunc(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := SpliceEmbeddings(t.Context(), sp, mustSite(t, "sentence"), batches, variants[:]); err == nil || !strings.Contains(err.Error(), "not a pooled capture") {
		t.Errorf("a site that the plan does not capture: %v", err)
	}
	if _, err := SpliceLoss(t.Context(), sp, batches, percentile(10)); err == nil || !strings.Contains(err.Error(), "LogitsAll") {
		t.Errorf("losses without logits: %v", err)
	}
}
