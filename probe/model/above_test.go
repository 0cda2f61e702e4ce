package model

import (
	"testing"

	"loupe/internal/graphtest"
)

// TestAbove: the blocks above a layer, given the stream there as their tokens, predict what the model predicts.
func TestAbove(t *testing.T) {
	engine := NewEngine(graphtest.Interpreted(t), nil)
	m := tiny(t, engine, "llama-tied")
	const b, n, layer = 2, 5, 1
	ids := someIDs(41, b*n, m.Spec.Vocab)
	pre := Site{ResidPre, layer}
	whole := run(t, engine, m, Plan{Batch: b, Seq: n, Logits: LogitsAll, Captures: []Capture{{Site: pre}}}, Inputs{IDs: ids})
	up, err := m.Above(engine.Backend(), layer, values(t, whole.Site(pre)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Params.Get("W_E").FinalizeAll() }()
	rows := make([]int32, b*n)
	for i := range rows {
		rows[i] = int32(i)
	}
	part := run(t, engine, up, Plan{Batch: b, Seq: n, Logits: LogitsAll}, Inputs{IDs: rows})
	nearly(t, "logits", values(t, part.Logits()), values(t, whole.Logits()), 1e-5)
	if up.Spec.EdgeSenders() != 1+(m.Spec.Layers-layer)*(m.Spec.Heads+1) {
		t.Errorf("%d senders", up.Spec.EdgeSenders())
	}
	for _, bad := range []struct {
		layer int
		rows  []float32
	}{{-1, nil}, {m.Spec.Layers, nil}, {0, make([]float32, 3)}, {0, make([]float32, (m.Spec.Vocab+1)*m.Spec.DModel)}} {
		if _, err := m.Above(engine.Backend(), bad.layer, bad.rows); err == nil {
			t.Errorf("layer %d with %d values is taken", bad.layer, len(bad.rows))
		}
	}
}
