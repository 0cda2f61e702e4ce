package model

import (
	"math/rand/v2"
	"testing"

	"loupe/internal/graphtest"
)

// BenchmarkForward times one pass with every residual stream captured; compile is excluded.
func BenchmarkForward(b *testing.B) {
	for _, test := range []struct {
		name, model, file string
		batch, seq        int
	}{{"MiniLM/32x128", "minilm", "", 32, 128}, {"SmolLM2/8x128", "smollm2", "/SmolLM2-135M-Instruct.Q4_1.gguf", 8, 128}} {
		b.Run(test.name, func(b *testing.B) {
			engine := NewEngine(graphtest.Backend(b), nil)
			m, err := Load(b.Context(), engine.Backend(), graphtest.Model(b, test.model)+test.file, Options{})
			if err != nil {
				b.Fatal(err)
			}
			plan := Plan{Batch: test.batch, Seq: test.seq}
			for i := range m.Spec.Layers {
				plan.Captures = append(plan.Captures, Capture{Site: Site{ResidPre, i}})
			}
			plan.Captures = append(plan.Captures, Capture{Site: Site{LastHidden, 0}})
			p, err := engine.Compile(m.Spec, plan)
			if err != nil {
				b.Fatal(err)
			}
			random := rand.New(rand.NewPCG(0, 0))
			in := Inputs{IDs: make([]int32, test.batch*test.seq)}
			for i := range in.IDs {
				in.IDs[i] = int32(random.IntN(m.Spec.Vocab))
			}
			for b.Loop() {
				out, err := p.Run(b.Context(), m.Params, in)
				if err != nil {
					b.Fatal(err)
				}
				if err := out.Free(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(test.batch*test.seq*b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
