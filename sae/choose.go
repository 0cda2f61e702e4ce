package sae

import (
	"fmt"
	"time"

	"github.com/gomlx/compute"
)

// maxDenseMeasured is the largest number of activations, batch * d_sae, for which the dense engine is worth a
// measurement: beyond it a step takes seconds and gigabytes, and is never the fastest.
const maxDenseMeasured = 1 << 25

// fastestEngine times each engine on a batch made of the sample and returns the name of the fastest. On the Go
// backend, whose TopK is unusably slow, it is the hybrid without a measurement.
func fastestEngine(b compute.Backend, cfg Config, p params, sample []float32) (string, error) {
	if b.Name() == "go" {
		return EngineHybrid, nil
	}
	x := make([]float32, cfg.Batch*cfg.DIn)
	for n := 0; n < len(x); n += copy(x[n:], sample) {
	}
	best, fastest := "", time.Duration(0)
	for _, name := range []string{EngineHybrid, EngineXLA, EngineDense} {
		if !supports(cfg, name) || name == EngineDense && cfg.Batch*cfg.DSAE > maxDenseMeasured {
			continue
		}
		took, err := timeEngine(b, name, cfg, p, x)
		if err != nil {
			return "", fmt.Errorf("sae: measure engine %s: %w; name an engine in the config", name, err)
		}
		if best == "" || took < fastest {
			best, fastest = name, took
		}
	}
	return best, nil
}

// timeEngine returns the shorter of two steps after one that compiles.
func timeEngine(b compute.Backend, name string, cfg Config, p params, x []float32) (time.Duration, error) {
	e, err := newEngine(b, name, cfg, p)
	if err != nil {
		return 0, err
	}
	defer e.close()
	var least time.Duration
	for i := range 3 {
		start := time.Now()
		if _, err := e.step(stepInput{x: x, rate: cfg.LR, t: int64(i + 1)}); err != nil {
			return 0, err
		}
		if took := time.Since(start); i == 1 || i > 1 && took < least {
			least = took
		}
	}
	return least, nil
}
