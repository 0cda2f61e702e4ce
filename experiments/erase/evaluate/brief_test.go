package evaluate_test

import (
	"testing"

	"gonum.org/v1/gonum/stat"

	"loupe/experiments/erase/encoder/encodertest"
	"loupe/experiments/erase/evaluate"
	"loupe/experiments/erase/method"
)

// TestBrief: the encoder itself recognises its concepts and moves nothing; UCE hides the one and leaves the others.
func TestBrief(t *testing.T) {
	e := encodertest.MiniLM(t)
	cfg := method.DefaultTask()
	cfg.HeldOut = 8
	task, err := method.NewTask(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := evaluate.NewBrief(t.Context(), e, task, 4)
	if err != nil {
		t.Fatal(err)
	}
	before, err := b.Of(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Erased) != 4 || len(before.Kept) != 76 || len(before.Ordinary) != 4 || len(before.Neighbour) != 4*len(task.Erase[0].Neighbours) {
		t.Errorf("%d erased, %d kept, %d ordinary, %d of neighbours", len(before.Erased), len(before.Kept), len(before.Ordinary), len(before.Neighbour))
	}
	if stat.Mean(before.Erased, nil) < 0.9 || stat.Mean(before.Kept, nil) < 0.9 || stat.Mean(before.Neighbour, nil) != 0 || stat.Mean(before.Ordinary, nil) != 0 {
		t.Errorf("the encoder itself: %+v", before)
	}
	m, err := method.Find("uce")
	if err != nil {
		t.Fatal(err)
	}
	v, err := m.Fit(t.Context(), e, task, m.Config())
	if err != nil {
		t.Fatal(err)
	}
	after, err := b.Of(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	if stat.Mean(after.Erased, nil) > 0.1 || stat.Mean(after.Kept, nil) < 0.9 || stat.Mean(after.Neighbour, nil) == 0 {
		t.Errorf("UCE: erased %v, kept %v, neighbours %v", after.Erased, stat.Mean(after.Kept, nil), after.Neighbour)
	}
	if both := evaluate.Join(before, after); len(both.Kept) != 2*len(after.Kept) {
		t.Errorf("%d kept of both", len(both.Kept))
	}
}
