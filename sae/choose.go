package sae

import (
	"fmt"
	"time"

	"github.com/gomlx/compute"

	"loupe/internal/matmul"
)

// maxDenseMeasured is the largest number of activations, batch * d_sae, for which the dense engine is worth a
// measurement: beyond it a step takes seconds and gigabytes, and is never the fastest.
const maxDenseMeasured = 1 << 25

// fastestEngine times each engine on a batch made of the sample, inputs x and targets y, and returns the name of the
// fastest. The host engine takes part where the processor has the vector form of its product. On the Go backend, whose
// TopK is unusably slow, there is no measurement.
func fastestEngine(b compute.Backend, cfg Config, p params, x, y []float32) (string, error) {
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
		if !supports(cfg, name) || name == EngineHost && !matmul.Fast() || name == EngineDense && cfg.Batch*cfg.DSAE > maxDenseMeasured {
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
	e, err := newEngine(b, name, cfg, p)
	if err != nil {
		return 0, err
	}
	defer e.close()
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
