package sae

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
)

// TestDeadCauses builds one latent for each cause on data with a large mean along the first axis.
func TestDeadCauses(t *testing.T) {
	const n, d, f = 64, 4, 8
	x := normals(3, n*d)
	for r := range n {
		x[r*d] += 30 // the mean
	}
	cfg := Config{
		Arch: ArchTopK, DIn: d, DSAE: f, K: 1, Batch: n, Tokens: 1 << 20, Loss: LossMSE, Decoder: DecoderFree, Normalize: NormalizeNone,
		AdamEps: 1, AuxK: 1, DeadTokens: n, Engine: EngineHybrid, LR: 1e-9,
	}
	w := newWeights(cfg)
	set := func(i int, enc [d]float32, bias float32) {
		copy(w.enc[i*d:], enc[:])
		w.dec[i*d] = 1
		w.bEnc[i] = bias
	}
	set(0, [d]float32{1, 0, 0, 0}, 0)      // takes every row
	set(1, [d]float32{0, 1, 0, 0}, 0)      // above zero, never the largest
	set(2, [d]float32{0, 0, 1, 0}, 0)      // the same
	set(3, [d]float32{-1, 0, 0, 0}, 0)     // the mean holds it down
	set(4, [d]float32{0, 0, 0, 1}, -90)    // its own bias does
	set(5, [d]float32{0, 0, 0, 1}, -90)    // the same; it fired once
	set(6, [d]float32{0, 1e-4, 0, 0}, 0)   // no encoder
	set(7, [d]float32{0, 0.5, 0.5, 0}, -1) // no decoder
	w.dec[7*d] = 1e-3
	tr := &Trainer{cfg: cfg, scales: []float64{1}, outScales: []float64{1}, threshold: []float64{0}}
	if err := tr.open(graphtest.Backend(t), newParams(w.clone())); err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if c, err := tr.DeadCauses(); err != nil || c != (DeadCauses{}) {
		t.Errorf("before the first step: %+v, %v", c, err)
	}
	for range 2 {
		if _, err := tr.Step(x); err != nil {
			t.Fatal(err)
		}
	}
	tr.silent[5] = n // of 2n
	got, err := tr.DeadCauses()
	if err != nil {
		t.Fatal(err)
	}
	mean, gamma := rowMean(x, d)
	want := DeadCauses{Dead: 7, Norm: 2, Threshold: 2, OutlierMean: 1, NeverFired: 1, Silent: 1, Gamma: gamma}
	if math.Abs(got.Gamma-want.Gamma) > 1e-6 || gamma < 10 || mean[0] < 29 {
		t.Errorf("gamma %v, want %v", got.Gamma, gamma)
	}
	got.Gamma = want.Gamma
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
