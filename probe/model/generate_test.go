package model

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// uncached continues one prompt greedily by whole passes.
func uncached(t *testing.T, e *Engine, m *Model, prompt []int32, n int, edits []Edit, editValues func(batch, seq, from int) ([]map[string]*tensors.Tensor, error)) []int32 {
	t.Helper()
	const seq = 24
	ids := slices.Clone(prompt)
	for range n {
		in := Inputs{IDs: make([]int32, seq), Mask: make([]int32, seq), Gather: []int32{int32(len(ids) - 1)}}
		copy(in.IDs, ids)
		for i := range ids {
			in.Mask[i] = 1
		}
		if editValues != nil {
			var err error
			if in.Edits, err = editValues(1, seq, 0); err != nil {
				t.Fatal(err)
			}
		}
		out := run(t, e, m, Plan{Batch: 1, Seq: seq, Logits: LogitsAt, Gather: 1, Edits: edits}, in)
		ids = append(ids, choose(values(t, out.Logits()), GenerateOptions{}, nil))
	}
	return ids[len(prompt):]
}

// TestGreedyEqualsUncached: cached greedy decoding of prompts of different lengths gives, token by token, what whole
// passes give, plain and with an edit active.
func TestGreedyEqualsUncached(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"gpt2", "pythia", "llama-untied", "mistral-sliding", "gemma3", "olmo2"} {
		for _, steer := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/steered=%v", name, steer), func(t *testing.T) {
				m := tiny(t, engine, name)
				s := m.Spec
				opt := GenerateOptions{MaxNew: 10}
				if steer {
					opt.Edits = []Edit{{Site: ResidPost, Layers: []int{1}, Add: true}}
					opt.Values = func(batch, seq, _ int) ([]map[string]*tensors.Tensor, error) {
						return []map[string]*tensors.Tensor{{"strength": constant(3, 1, batch, seq), "direction": normal(3, s.DModel)}}, nil
					}
				}
				prompts := [][]int32{someIDs(1, 9, s.Vocab), someIDs(2, 3, s.Vocab)}
				got, err := engine.Generate(t.Context(), m, prompts, opt)
				if err != nil {
					t.Fatal(err)
				}
				for r, p := range prompts {
					if want := uncached(t, engine, m, p, opt.MaxNew, opt.Edits, opt.Values); !slices.Equal(got[r], want) {
						t.Errorf("row %d: cached %v, uncached %v", r, got[r], want)
					}
				}
			})
		}
	}
}

// TestSampling: one seed gives one text, another seed another; top-k 1 is greedy; a stop token ends its row.
func TestSampling(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "llama-tied")
	prompts := [][]int32{someIDs(4, 5, m.Spec.Vocab)}
	gen := func(opt GenerateOptions) []int32 {
		opt.MaxNew = 12
		out, err := engine.Generate(t.Context(), m, prompts, opt)
		if err != nil {
			t.Fatal(err)
		}
		return out[0]
	}
	greedy := gen(GenerateOptions{})
	a, b, c := gen(GenerateOptions{Temperature: 1.5, Seed: 1}), gen(GenerateOptions{Temperature: 1.5, Seed: 1}), gen(GenerateOptions{Temperature: 1.5, Seed: 2})
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Errorf("seed 1 gives %v and %v, seed 2 %v", a, b, c)
	}
	if got := gen(GenerateOptions{Temperature: 1, TopK: 1, Seed: 3}); !slices.Equal(got, greedy) {
		t.Errorf("top-k 1 gives %v, greedy %v", got, greedy)
	}
	if got := gen(GenerateOptions{Stop: []int32{greedy[2]}}); !slices.Equal(got, greedy[:slices.Index(greedy, greedy[2])+1]) {
		t.Errorf("stopped output %v of %v", got, greedy)
	}
}

// TestChoose draws from known distributions: frequencies follow the softmax, top-p keeps the smallest likely set.
func TestChoose(t *testing.T) {
	logits := []float32{2, 1, 0, -1}
	r := rand.New(rand.NewPCG(1, 1))
	counts := make([]float64, 4)
	const n = 20000
	for range n {
		counts[choose(logits, GenerateOptions{Temperature: 1}, r)]++
	}
	for i, want := range []float64{0.6439, 0.2369, 0.0871, 0.0321} { // softmax(2, 1, 0, -1)
		if got := counts[i] / n; got < want-0.015 || got > want+0.015 {
			t.Errorf("token %d drawn with frequency %.4f, want %.4f", i, got, want)
		}
	}
	for range 500 {
		if id := choose(logits, GenerateOptions{Temperature: 1, TopP: 0.8}, r); id > 1 {
			t.Fatalf("top-p 0.8 drew token %d; the first two hold 0.88", id)
		}
	}
}

func TestGenerateRefuses(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	gpt2, bert := tiny(t, engine, "gpt2"), tiny(t, engine, "bert")
	for name, call := range map[string]func() error{
		"an encoder": func() error {
			_, err := engine.Generate(t.Context(), bert, [][]int32{{5}}, GenerateOptions{MaxNew: 1})
			return err
		},
		"an empty prompt": func() error {
			_, err := engine.Generate(t.Context(), gpt2, [][]int32{{}}, GenerateOptions{MaxNew: 1})
			return err
		},
		"too long": func() error {
			_, err := engine.Generate(t.Context(), gpt2, [][]int32{{5}}, GenerateOptions{MaxNew: 99})
			return err
		},
		"a bad id": func() error {
			_, err := engine.Generate(t.Context(), gpt2, [][]int32{{9999}}, GenerateOptions{MaxNew: 1})
			return err
		},
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
