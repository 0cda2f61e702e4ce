package sae

import (
	"fmt"
	"testing"

	"loupe/internal/graphtest"
)

// TestAdaptive takes steps of jumprelu with many and with few latents near their thresholds: the adaptive engine goes from
// the dense program to the sparse step and back, with the weights of the dense program throughout.
func TestAdaptive(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) {
		c.Arch, c.Engine, c.JumpReLU.Init, c.JumpReLU.Bandwidth, c.AdamEps = ArchJumpReLU, EngineHost, 0.3, 0.1, 1e-6
	})
	x := normals(7, 4*cfg.Batch*cfg.DIn)
	p := newParams(initialWeights(cfg, x, x))
	dense, err := newDevice(b, EngineDense, cfg, p.clone())
	if err != nil {
		t.Fatal(err)
	}
	defer dense.close()
	e := newAdaptive(b, cfg, p.clone())
	defer e.close()
	if first, err := e.snapshot(); err != nil || len(first.w.enc) != len(p.w.enc) {
		t.Fatalf("no parameters before the first step: %v", err)
	}
	for s, few := range []bool{false, true, true, false} {
		in := stepInput{x: x[s*cfg.Batch*cfg.DIn : (s+1)*cfg.Batch*cfg.DIn], rate: 1e-3, t: int64(s + 1), coef: 0.3, near: float64(cfg.DSAE)}
		if few {
			in.near = sparseShare * float64(cfg.DSAE)
		}
		got, err := e.step(in)
		if err != nil {
			t.Fatal(err)
		}
		want, err := dense.step(in)
		if err != nil {
			t.Fatal(err)
		}
		if (e.host != nil) != few {
			t.Errorf("step %d with %v latents near their thresholds: sparse %v", s, in.near, e.host != nil)
		}
		near(t, "loss", got.loss, want.loss, 1e-5)
		near(t, "near", got.near, want.near, 0)
		if want.near <= want.l0 {
			t.Error("no latent is near its threshold and not above, so that they are not told apart")
		}
		a, err := e.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		c, err := dense.snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for i, info := range layout(cfg) {
			nearly(t, fmt.Sprintf("step %d: %s", s, info.name), a.w.slices()[i], c.w.slices()[i], 1e-5, 2e-5)
			nearly(t, fmt.Sprintf("step %d: v %s", s, info.name), a.v.slices()[i], c.v.slices()[i], 1e-3, 1e-9)
		}
	}
}

// TestNearIsKept wants what the choice of the next step's form depends on in the checkpoint.
func TestNearIsKept(t *testing.T) {
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.Arch, c.Engine, c.JumpReLU.InitL0 = ArchJumpReLU, EngineHost, 3 })
	x := normals(7, 2000*cfg.DIn)
	tr, err := NewTrainer(b, cfg, x)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if _, err := tr.Step(x[:cfg.Batch*cfg.DIn]); err != nil {
		t.Fatal(err)
	}
	if tr.eng.(*adaptive).host == nil {
		t.Error("thresholds that were measured for an L0 of 3 of 64 latents, and the first step is the dense program's")
	}
	if tr.near < 2 || tr.near > 5 {
		t.Errorf("%v latents near their thresholds, want about 3", tr.near)
	}
	dir := t.TempDir()
	if err := tr.WriteCheckpoint(dir, nil); err != nil {
		t.Fatal(err)
	}
	again, _, err := ReadCheckpoint(b, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.near != tr.near {
		t.Errorf("near is %v after a checkpoint, want %v", again.near, tr.near)
	}
}
