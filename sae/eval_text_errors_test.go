package sae

import (
	"math"
	"math/rand/v2"
	"testing"

	"loupe/internal/stats"
)

// TestTextErrorsByHand: two texts of width 2 with the mean at (1, 1); their rows come interleaved.
func TestTextErrorsByHand(t *testing.T) {
	e := NewTextErrors([]float64{1, 1})
	x, y := []float32{1, 3, 1, 1, 4, 1}, []float32{1, 2, 1, 1, 4, 3}
	lat := Latents{K: 2, Index: []int32{0, 1, 0, 1, 0, 1}, Value: []float32{1, 0, 2, 3, -1, 0}}
	if err := e.Add([]int64{7, 9, 7}, x, y, lat); err != nil {
		t.Fatal(err)
	}
	// Text 7: errors 1 and 4, spread 4 and 9, 2 active on 2 rows. Text 9: no error, no spread, 2 active on 1 row.
	if got, want := e.FVUOf([]int{0, 1}), 5.0/13; math.Abs(got-want) > 1e-15 {
		t.Errorf("FVU %v, want %v", got, want)
	}
	if got := e.L0Of([]int{0, 1}); math.Abs(got-4.0/3) > 1e-15 {
		t.Errorf("L0 %v, want 4/3", got)
	}
	if got := e.L0Of([]int{1}); got != 2 {
		t.Errorf("L0 of text 9 is %v, want 2", got)
	}
	if err := e.Add([]int64{7}, x, y, lat); err == nil {
		t.Error("three rows of one text's one are accepted")
	}
}

// TestTextErrorsAgree: over all texts they are the FVU and L0 of Metrics, and the interval over texts contains them and is
// wider than one that takes rows for independent, because all rows of a text share their scale.
func TestTextErrorsAgree(t *testing.T) {
	const d, texts, each = 6, 40, 25
	rng := rand.New(rand.NewPCG(8, 8))
	var x, y []float32
	var doc []int64
	lat := Latents{Start: []int{0}}
	mean := make([]float64, d)
	for i := range texts * each {
		if i%each == 0 {
			rng = rand.New(rand.NewPCG(8, uint64(i)))
		}
		scale := 1 + float64(i/each%7)
		doc = append(doc, int64(i/each))
		for j := range d {
			v := float32(scale*rng.NormFloat64() + float64(j))
			x, y = append(x, v), append(y, v+float32(rng.NormFloat64()/scale))
			mean[j] += float64(v) / (texts * each)
		}
		for j := range i % 4 {
			lat.Index, lat.Value = append(lat.Index, int32(j)), append(lat.Value, 1)
		}
		lat.Start = append(lat.Start, len(lat.Index))
	}
	e, m := NewTextErrors(mean), NewMetrics(d, 4)
	if err := e.Add(doc, x, y, lat); err != nil {
		t.Fatal(err)
	}
	if err := m.Add(x, y, lat); err != nil {
		t.Fatal(err)
	}
	want := m.Result()
	boot := stats.DefaultBootstrap()
	fvu, err := e.FVU(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	l0, err := e.L0(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "FVU", fvu.Value, want.FVU, 1e-9)
	near(t, "L0", l0.Value, want.L0, 1e-12)
	if !(fvu.Low < fvu.Value && fvu.Value < fvu.High) || fvu.N != texts {
		t.Errorf("interval %+v", fvu)
	}
	rows := NewTextErrors(mean)
	for i := range doc {
		doc[i] = int64(i)
	}
	if err := rows.Add(doc, x, y, lat); err != nil {
		t.Fatal(err)
	}
	single, err := rows.FVU(t.Context(), boot)
	if err != nil {
		t.Fatal(err)
	}
	if fvu.High-fvu.Low < 2*(single.High-single.Low) {
		t.Errorf("over texts [%v, %v], over rows [%v, %v]", fvu.Low, fvu.High, single.Low, single.High)
	}
	if _, err := NewTextErrors(mean).FVU(t.Context(), boot); err == nil {
		t.Error("an FVU of no rows")
	}
}
