package model

import (
	"context"
	"math/rand/v2"
	"strings"

	"github.com/gomlx/compute"
)

// RandomParams draws the weights of a model of Spec s from a normal distribution of standard deviation 0.02, norms
// at one and biases at zero, as GPT-2 is initialised.
func RandomParams(ctx context.Context, b compute.Backend, s *Spec, seed uint64) (*Params, error) {
	random := rand.New(rand.NewPCG(seed, 0x706172616d73))
	return upload(ctx, b, s, Float32, func(p Param) (matrix, error) {
		n := 1
		for _, d := range p.Dims {
			n *= d
		}
		data := make([]float32, n)
		name := p.Name[strings.LastIndex(p.Name, ".")+1:]
		switch {
		case name == "w" && s.Norm != RMSNormOne:
			for i := range data {
				data[i] = 1
			}
		case strings.HasPrefix(name, "W_"):
			for i := range data {
				data[i] = float32(random.NormFloat64() * 0.02)
			}
		}
		return matrix{data, p.Dims}, nil
	})
}

// GPT2Small is the Spec of GPT-2 small (124M parameters).
func GPT2Small() *Spec {
	return &Spec{
		Family: "gpt2", Decoder: true, Causal: true, Layers: 12, DModel: 768, Heads: 12, KVHeads: 12, DHead: 64, DMLP: 3072, Vocab: 50257,
		MaxPos: 1024, Norm: LayerNorm, NormEps: 1e-5, Place: PreNorm, FinalNorm: true, Positions: PosLearned, PosRows: 1024,
		AttnScale: 0.125, QKVBias: true, OBias: true, MLPBias: true, Act: "gelu_tanh", Tied: true,
	}
}
