package sae

import (
	"math"
	"slices"
	"testing"
)

func newPlanted(t testing.TB, cfg PlantedConfig) *Planted {
	t.Helper()
	p, err := NewPlanted(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPlantedRows checks the generator against its definition: without noise a row is a sum of different features with
// strengths in [0.5, 1.5), rows do not depend on how they are asked for, and a cursor goes on.
func TestPlantedRows(t *testing.T) {
	cfg := PlantedConfig{Dim: 16, Features: 16, Active: 3, Seed: 5}
	p := newPlanted(t, cfg)
	for i := range 16 { // orthonormal features, so that products give the strengths back
		clear(p.Feature(i))
		p.Feature(i)[i] = 1
	}
	all := make([]float32, 200*16)
	if n, err := p.Next(all); n != 200 || err != nil {
		t.Fatal(n, err)
	}
	for r := range 200 {
		on := 0
		for _, v := range all[r*16 : (r+1)*16] {
			if v != 0 {
				on++
				if v < 0.5 || v >= 1.5 {
					t.Fatalf("row %d has a strength of %v", r, v)
				}
			}
		}
		if on != 3 {
			t.Fatalf("row %d has %d features", r, on)
		}
	}
	q := newPlanted(t, cfg)
	copy(q.dictionary, p.dictionary)
	part := make([]float32, 70*16)
	if err := q.Restore([]byte("130")); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Next(part); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(part, all[130*16:]) {
		t.Error("rows from a cursor differ")
	}
	if state, err := q.State(); err != nil || string(state) != "200" {
		t.Errorf("cursor %s, %v", state, err)
	}
}

// TestPlantedZipf counts features: with an exponent of 1 the first is drawn about twice as often as the second.
func TestPlantedZipf(t *testing.T) {
	cfg := PlantedConfig{Dim: 4, Features: 4, Active: 1, Zipf: 1, Seed: 6}
	p := newPlanted(t, cfg)
	for i := range 4 {
		clear(p.Feature(i))
		p.Feature(i)[i] = 1
	}
	rows := make([]float32, 20_000*4)
	if _, err := p.Next(rows); err != nil {
		t.Fatal(err)
	}
	var count [4]float64
	for i, v := range rows {
		if v > 0 {
			count[i%4]++
		}
	}
	for i, n := range count {
		want := 20_000 / float64(i+1) / (1 + 1.0/2 + 1.0/3 + 1.0/4)
		if math.Abs(n-want) > 5*math.Sqrt(want) {
			t.Errorf("feature %d is in %v rows, want %v", i, n, want)
		}
	}
}

// TestPlantedMatched gives a dictionary that holds half of the features, one of them turned around.
func TestPlantedMatched(t *testing.T) {
	p := newPlanted(t, PlantedConfig{Dim: 32, Features: 8, Active: 2, Seed: 7})
	s := &SAE{Arch: ArchTopK, WDec: slices.Clone(p.dictionary[:4*32])}
	scaleBy(s.WDec[:32], -3)
	if got := p.Recovered(s, 0.99); got != 3.0/8 {
		t.Errorf("recovered %v, want 3 of 8", got)
	}
	s.Arch = ArchAbsTopK
	if got := p.Recovered(s, 0.99); got != 4.0/8 {
		t.Errorf("abstopk: recovered %v, want 4 of 8: a latent may be negative", got)
	}
	if _, err := NewPlanted(PlantedConfig{Dim: 2, Features: 3, Active: 4}); err == nil {
		t.Error("more active features than there are")
	}
}
