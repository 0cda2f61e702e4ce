package train

import (
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// BenchmarkStep/minilm-all: one step on every weight of MiniLM (22.7 million), batch 8, length 16; compile and a first step excluded.
func BenchmarkStep(b *testing.B) {
	for name, patterns := range map[string][]string{"minilm-all": {"all"}, "minilm-mlp": {"blocks.*.mlp.*"}} {
		b.Run(name, func(b *testing.B) {
			e := engine(b)
			m, err := model.Load(b.Context(), e.Backend(), graphtest.Model(b, "minilm"), model.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Params.Free()
			tr := trainer(b, e, m, Config{LR: 1e-5, Schedule: ScheduleConstant, Beta1: .9, Beta2: .999, Eps: 1e-8}, patterns...)
			plan, in := squaresOf(m.Spec, 8, 16), inputsOf(m.Spec, 8, 16, 1)
			step := func() {
				if _, err := tr.Step(b.Context(), plan, in); err != nil {
					b.Fatal(err)
				}
			}
			step()
			for b.Loop() {
				step()
			}
			b.ReportMetric(float64(b.N*8*16)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
