package sae

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/gomlx/compute"

	"loupe/internal/matmul"
)

// maxMeasured is the largest number of values that a step of the dense or the xla engine may hold at once, batch * d_sae
// or, on a CPU, batch * k * d_in, for which the engine is worth a measurement: beyond it a step takes seconds and
// gigabytes, and is never the fastest.
const maxMeasured = 1 << 25

// measures tells whether an engine takes part in the measurement.
func measures(b compute.Backend, cfg Config, name string) bool {
	switch {
	case !supports(cfg, name):
		return false
	case name == EngineHost:
		return matmul.Fast()
	case name == EngineDense:
		return cfg.Batch*cfg.latents() <= maxMeasured
	case name == EngineXLA && b.HasSharedBuffers():
		return cfg.Batch*cfg.K*cfg.inWidth() <= maxMeasured
	}
	return true
}

// fastestEngine times each engine on a batch made of the sample, inputs x and targets y, and returns the name of the
// fastest. The host engine takes part where the processor has the vector form of its product. On the Go backend, whose
// TopK is unusably slow, there is no measurement.
func fastestEngine(b compute.Backend, cfg Config, p params, x, y []float32) (string, error) {
	if cfg.sparseReLU() { // the steps at the start would say nothing about those to come
		if matmul.Fast() && b.HasSharedBuffers() {
			return EngineHost, nil
		}
		return EngineDense, nil
	}
	if b.Name() == "go" {
		if matmul.Fast() {
			return EngineHost, nil
		}
		return EngineHybrid, nil
	}
	in := stepInput{x: tiled(x, cfg.Batch*cfg.inWidth()), rate: cfg.LR}
	if cfg.transcodes() {
		in.y = tiled(y, cfg.Batch*cfg.width())
	}
	best, fastest := "", time.Duration(0)
	for _, name := range []string{EngineHost, EngineHybrid, EngineXLA, EngineDense} {
		if !measures(b, cfg, name) {
			continue
		}
		took, err := timeEngine(b, name, cfg, p, in)
		if err != nil {
			return "", fmt.Errorf("sae: measure engine %s: %w; name an engine in the config", name, err)
		}
		if best == "" || took < fastest {
			best, fastest = name, took
		}
	}
	return best, nil
}

// tiled repeats x up to n values.
func tiled(x []float32, n int) []float32 {
	out := make([]float32, n)
	for at := 0; at < n; at += copy(out[at:], x) {
	}
	return out
}

// timeEngine returns the shorter of two steps after one that compiles.
func timeEngine(b compute.Backend, name string, cfg Config, p params, in stepInput) (time.Duration, error) {
	e, err := newEngine(b, name, cfg, p.clone())
	if err != nil {
		return 0, err
	}
	defer func() {
		e.close()
		debug.FreeOSMemory() // an engine is as large as the trainer
	}()
	var least time.Duration
	for i := range 3 {
		start := time.Now()
		in.t = int64(i + 1)
		if _, err := e.step(in); err != nil {
			return 0, err
		}
		if took := time.Since(start); i == 1 || i > 1 && took < least {
			least = took
		}
	}
	return least, nil
}
