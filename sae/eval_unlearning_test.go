package sae

import (
	"context"
	"errors"
	"slices"
	"testing"

	"loupe/internal/graphtest"
)

// TestUnlearningPlanted has a world in which latents 1 and 4 know what is to be forgotten, latent 4 is also needed elsewhere,
// and clamps of 100 or more do harm: the best setting is latent 1 alone.
func TestUnlearningPlanted(t *testing.T) {
	forget, retain := []float64{0, 0.5, 0.1, 0, 0.4}, []float64{0.9, 0, 0.5, 0, 0.005}
	calls := 0
	world := func(_ context.Context, latents []int32, clamp float64) (float64, float64, error) {
		calls++
		f, r := 0.9, 0.8
		if slices.Contains(latents, 1) {
			f -= 0.4
		}
		if slices.Contains(latents, 4) {
			f, r = f-0.2, r-0.1
		}
		if clamp >= 100 {
			f, r = f-0.1, r-0.3
		}
		return f, r, nil
	}
	r, err := Unlearning(t.Context(), forget, retain, DefaultUnlearningConfig(), world)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "score", r.Score, 0.5, 1e-12)
	if r.Best < 0 || !slices.Equal(r.Points[r.Best].Latents, []int32{1}) || r.Points[r.Best].Clamp != 25 {
		t.Errorf("best is %d of %+v", r.Best, r.Points)
	}
	if calls != 1+2*4 { // two sets of latents, four clamps; 20 latents are the same sets as 10
		t.Errorf("%d measurements", calls)
	}
	harmful := func(_ context.Context, latents []int32, _ float64) (float64, float64, error) {
		return 0.9 - 0.1*float64(len(latents)), 0.8 - 0.1*float64(len(latents)), nil
	}
	if r, err = Unlearning(t.Context(), forget, retain, DefaultUnlearningConfig(), harmful); err != nil {
		t.Fatal(err)
	}
	if r.Best != -1 {
		t.Errorf("a harmful setting was chosen: %+v", r)
	}
	near(t, "score without a harmless setting", r.Score, 0.1, 1e-12)
	broken := errors.New("broken")
	if _, err = Unlearning(t.Context(), forget, retain, DefaultUnlearningConfig(), func(context.Context, []int32, float64) (float64, float64, error) { return 0, 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestForgetLatents(t *testing.T) {
	got, err := ForgetLatents([]float64{0.1, 0.5, 0.3, 0}, []float64{0, 0, 0.2, 0}, 0.1, 5)
	if err != nil || !slices.Equal(got, []int32{1, 0}) {
		t.Errorf("got %v, %v; want 1, 0", got, err)
	}
	if _, err := ForgetLatents([]float64{1}, nil, 0.1, 5); err == nil {
		t.Error("densities of two SAEs")
	}
}

// TestClampLatents: only the active row moves, by (value - activation) times the decoder row.
func TestClampLatents(t *testing.T) {
	acts, err := SparseOf([]float64{2, 0, 0, 3}, 2)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ClampLatents([]float64{1, 1, 5, 5}, acts, []float64{1, 2, 3, -1}, []int32{0}, -10)
	if err != nil || !slices.Equal(got, []float64{-11, -23, 5, 5}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestMetaSAEPlanted: a decoder whose rows are sums of two of a few atoms is explained far better than random directions.
func TestMetaSAEPlanted(t *testing.T) {
	const d, f, atoms = 24, 200, 12
	p := plant(3, d, atoms, 2, f, 0.02)
	cfg := DefaultMetaConfig(f)
	cfg.Width, cfg.K, cfg.Steps, cfg.Batch, cfg.LR = 24, 2, 200, 50, 5e-3
	r, err := MetaSAE(t.Context(), graphtest.Backend(t), p.x, d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("explained %.3f, of random directions %.3f", r.Explained, r.Random)
	if r.Explained < 0.8 || r.Explained-r.Random < 0.25 {
		t.Errorf("explained %v, of random directions %v", r.Explained, r.Random)
	}
	cfg.K = 25
	if _, err := MetaSAE(t.Context(), graphtest.Backend(t), p.x, d, cfg); err == nil {
		t.Error("k above the width")
	}
}
