package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// The work of generate.py: prompts of random tokens, greedy decoding, and a vector of norm 4 added behind layer 15, which is
// the middle one.
const (
	generateNew    = 64
	generatePrompt = 32
	steerNorm      = 4
)

// Generate times greedy decoding, plain and steered, beside generate.py.
func Generate() Kind {
	return Kind{
		Name: "generate", Bench: "generate", Run: runGenerate,
		Cases: func(o Options) []Case {
			if o.SmolLM2 == "" {
				return nil
			}
			var out []Case
			for _, batch := range []int{1, 8} {
				for _, cache := range []string{"dynamic", "static"} {
					for _, steer := range []string{"False", "True"} {
						out = append(out, Case{"loupe", []Field{
							{"model", benchSmolLM2}, {"batch", batch}, {"prompt", generatePrompt}, {"new", generateNew}, {"attn", "sdpa"}, {"cache", cache}, {"steer", steer},
						}})
					}
				}
			}
			return out
		},
		Peers: func(Case) []Peer { return []Peer{{"transformers", "generate.py"}} },
		PeerArgs: func(o Options) []string {
			return []string{"--smollm2-gguf", o.SmolLM2, "--new", strconv.Itoa(generateNew)}
		},
	}
}

// runGenerate times one case. As the peer's, the rate counts new tokens over the whole call less the prefill, which is timed
// by itself.
func runGenerate(ctx context.Context, o Options, c Case) ([]Field, error) {
	number := func(key string) int { n, _ := strconv.Atoi(c.Get(key)); return n }
	batch, prompt, most := number("batch"), number("prompt"), number("new")
	b, err := openDevice(o.Device)
	if err != nil {
		return nil, err
	}
	m, err := model.Load(ctx, b, o.SmolLM2, model.Options{})
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(1, 1))
	prompts := make([][]int32, batch)
	for i := range prompts {
		for range prompt {
			prompts[i] = append(prompts[i], int32(5+r.IntN(m.Spec.Vocab-5)))
		}
	}
	engine := model.NewEngine(b, nil)
	var opt model.GenerateOptions
	if c.Get("steer") == "True" {
		opt.Edits, opt.Values = steered(m.Spec, r)
	}
	generate := func(n int) func() error {
		opt := opt
		opt.MaxNew = n
		return func() error {
			out, err := engine.Generate(ctx, m, prompts, opt)
			if err != nil {
				return err
			}
			for i := range out {
				if len(out[i]) != n {
					return fmt.Errorf("bench: %d new tokens, want %d", len(out[i]), n)
				}
			}
			return nil
		}
	}
	short := o
	short.Seconds = min(2, o.Seconds)
	first, err := repeat(ctx, short, generate(1))
	if err != nil {
		return nil, err
	}
	took, err := repeat(ctx, o, generate(most))
	if err != nil {
		return nil, err
	}
	per, prefill := median(took), median(first)
	return []Field{
		{"tokens_per_s", round(float64(batch*(most-1))/(per-prefill), 2)}, {"seconds", round(per, 4)}, {"prefill_seconds", round(prefill, 4)}, {"repeats", len(took)},
	}, nil
}

// steered adds a random vector of norm steerNorm behind one layer, at every position.
func steered(s *model.Spec, r *rand.Rand) ([]model.Edit, func(batch, seq, from int) ([]map[string]*tensors.Tensor, error)) {
	direction, square := make([]float32, s.DModel), 0.0
	for i := range direction {
		direction[i] = float32(r.NormFloat64())
		square += float64(direction[i]) * float64(direction[i])
	}
	for i := range direction {
		direction[i] *= float32(steerNorm / math.Sqrt(square))
	}
	values := func(batch, seq, _ int) ([]map[string]*tensors.Tensor, error) {
		strength := make([]float32, s.Layers*batch*seq)
		for i := range batch * seq {
			strength[s.Layers/2*batch*seq+i] = 1
		}
		return []map[string]*tensors.Tensor{{
			"strength":  tensors.FromFlatDataAndDimensions(strength, s.Layers, batch, seq),
			"direction": tensors.FromFlatDataAndDimensions(direction, s.DModel),
		}}, nil
	}
	return []model.Edit{{Site: model.ResidPost, Add: true}}, values
}
