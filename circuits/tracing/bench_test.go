package tracing

import (
	"fmt"
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/sae"
)

// BenchmarkTrace traces prompts of SmolLM2-135M with random TopK transcoders of 24 latents, 6 active, in each of its 30 layers: what depends on
// the dictionary is the number of active features, which is 180 a token.
func BenchmarkTrace(b *testing.B) {
	e := model.NewEngine(graphtest.Backend(b), nil)
	m, err := model.Load(b.Context(), e.Backend(), filepath.Join(graphtest.Model(b, "smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"), model.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var coders []*sae.SAE
	for l := range m.Spec.Layers {
		coders = append(coders, coder(uint64(l), sae.ArchTopKTranscoder, m.Spec.DModel))
	}
	d, err := Transcoders(m.Spec, coders)
	if err != nil {
		b.Fatal(err)
	}
	t, err := New(b.Context(), e, m, d)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{8, 16} {
		tokens := make([]int32, n)
		for i := range tokens {
			tokens[i] = int32(1000 + 37*i)
		}
		b.Run(fmt.Sprintf("tokens=%d", n), func(b *testing.B) {
			for b.Loop() {
				r, err := t.Trace(b.Context(), tokens, DefaultConfig())
				if err != nil {
					b.Fatal(err)
				}
				p, err := r.Graph.Prune(DefaultPruning())
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(r.Graph.Features)), "features")
				b.ReportMetric(r.Graph.Gap(), "gap")
				b.ReportMetric(p.Completeness, "completeness")
			}
		})
	}
}
