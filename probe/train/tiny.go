package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	"loupe/probe/model"
)

// Size is that of a small model that is trained from scratch.
type Size struct {
	Layers  int `json:"layers" doc:"blocks"`
	DModel  int `json:"d_model" doc:"width of the residual stream"`
	Heads   int `json:"heads" doc:"attention heads; they divide d_model"`
	Context int `json:"context" doc:"longest text in tokens"`
	Vocab   int `json:"vocab" doc:"tokens"`
}

// Validate checks the size.
func (s Size) Validate() error {
	if s.Layers < 1 || s.DModel < 1 || s.Heads < 1 || s.DModel%s.Heads != 0 || s.Context < 1 || s.Vocab < 1 {
		return fmt.Errorf("train: size %+v: every number must be positive, and heads must divide d_model", s)
	}
	return nil
}

// TinyGPT is a GPT-2 of another size: pre-norm, learned positions, an MLP of 4 d_model, tied embeddings.
func TinyGPT(s Size) (*model.Spec, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	spec := *model.GPT2Small()
	s.set(&spec)
	return &spec, nil
}

// TinyBERT is a BERT of another size, with one token type and no pooler.
func TinyBERT(s Size) (*model.Spec, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	spec := model.Spec{
		Family: "bert", Norm: model.LayerNorm, NormEps: 1e-12, Place: model.PostNorm, Positions: model.PosLearned,
		QKVBias: true, OBias: true, MLPBias: true, Act: "gelu", EmbedNorm: true, TypeVocab: 1,
	}
	s.set(&spec)
	return &spec, nil
}

func (s Size) set(spec *model.Spec) {
	spec.Layers, spec.DModel, spec.Heads, spec.KVHeads, spec.DHead, spec.DMLP = s.Layers, s.DModel, s.Heads, s.Heads, s.DModel/s.Heads, 4*s.DModel
	spec.Vocab, spec.MaxPos, spec.PosRows, spec.AttnScale = s.Vocab, s.Context, s.Context, 1/math.Sqrt(float64(spec.DHead))
}

// NewModel makes a model with random weights by seed (model.RandomParams). Its digest is that of Spec and seed, which name the
// weights exactly.
func NewModel(ctx context.Context, e *model.Engine, name string, s *model.Spec, seed uint64) (*model.Model, error) {
	p, err := model.RandomParams(ctx, e.Backend(), s, seed)
	if err != nil {
		return nil, fmt.Errorf("train: new model: %w", err)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "random %s %d", s.Digest(), seed))
	return &model.Model{Name: name, Spec: s, Params: p, Digest: hex.EncodeToString(sum[:])}, nil
}
