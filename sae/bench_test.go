package sae

import (
	"fmt"
	"testing"

	"loupe/internal/graphtest"
)

// BenchmarkStep times one training step, compilation excluded. The shapes are those of the peers' benchmark.
func BenchmarkStep(b *testing.B) {
	backend := graphtest.Backend(b)
	for _, c := range []struct{ d, f, k, batch int }{{384, 6144, 32, 2048}, {768, 24576, 32, 4096}} {
		for _, engine := range engines(b) {
			b.Run(fmt.Sprintf("d=%d,F=%d,k=%d,B=%d/%s", c.d, c.f, c.k, c.batch, engine), func(b *testing.B) {
				if engine == EngineDense && c.f > 10000 {
					b.Skip("several seconds a step")
				}
				cfg := DefaultConfig()
				cfg.DSAE, cfg.K, cfg.Batch, cfg.Engine = c.f, c.k, c.batch, engine
				cfg, err := cfg.Resolve(c.d)
				if err != nil {
					b.Fatal(err)
				}
				x := normals(1, c.batch*c.d)
				tr, err := NewTrainer(backend, cfg, x)
				if err != nil {
					b.Fatal(err)
				}
				defer tr.Close()
				for range 2 {
					if _, err := tr.Step(x); err != nil {
						b.Fatal(err)
					}
				}
				b.ResetTimer()
				for range b.N {
					if _, err := tr.Step(x); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(c.batch)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
			})
		}
	}
}
