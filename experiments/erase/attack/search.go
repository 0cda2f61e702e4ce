package attack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// search is one attack under way.
type search struct {
	e       *encoder.Encoder
	v       *encoder.Variant
	g       Goal
	prompts []token.Encoding
	edited  *encoder.Encoder // with the variant's word embeddings
	rng     *rand.Rand
	queries int
	result  Result
}

func newSearch(ctx context.Context, e *encoder.Encoder, v *encoder.Variant, g Goal) (*search, error) {
	if g.Mode == "" {
		g.Mode = ModeAdaptive
	}
	switch {
	case g.Mode != ModeAdaptive && g.Mode != ModeStatic:
		return nil, fmt.Errorf("attack: mode %q; use %s or %s", g.Mode, ModeAdaptive, ModeStatic)
	case g.Zero == nil || len(g.Prompts) == 0:
		return nil, errors.New("attack: the goal has no prototypes or no prompts; give both")
	}
	if n, d := g.Zero.Prototypes.Dims(); g.Class < 0 || g.Class >= n || d != e.Width() {
		return nil, fmt.Errorf("attack: class %d of %d prototypes of width %d, for an encoder of width %d", g.Class, n, d, e.Width())
	}
	edited, err := wordsOf(e, v)
	if err != nil {
		return nil, err
	}
	s := &search{e: e, v: v, g: g, edited: edited, rng: rand.New(rand.NewPCG(uint64(g.Seed), 0x61747461636b))} // "attack"
	for _, p := range g.Prompts {
		t, err := e.Tokens(p)
		if err != nil {
			return nil, err
		}
		s.prompts = append(s.prompts, t)
	}
	before, _, err := s.judge(ctx, v, s.prompts)
	if err != nil {
		return nil, err
	}
	s.result = Result{Prompts: g.Prompts, Before: before, After: make([]bool, len(before)), Found: make([]string, len(before))}
	return s, nil
}

// judge tells which texts a variant embeds as the concept, and the loss of each.
func (s *search) judge(ctx context.Context, v *encoder.Variant, texts []token.Encoding) ([]bool, []float64, error) {
	s.queries += len(texts)
	states, err := s.e.EncodingStates(ctx, v, texts)
	if err != nil {
		return nil, nil, err
	}
	return s.verdicts(states)
}

// judgeSoft is judge for texts of given word embeddings.
func (s *search) judgeSoft(ctx context.Context, v *encoder.Variant, texts []*encoder.Soft) ([]bool, []float64, error) {
	s.queries += len(texts)
	states, err := s.e.SoftStates(ctx, v, texts)
	if err != nil {
		return nil, nil, err
	}
	return s.verdicts(states)
}

func (s *search) verdicts(states []*encoder.State) (hits []bool, losses []float64, err error) {
	x, err := s.e.Rows(states)
	if err != nil {
		return nil, nil, err
	}
	class, err := s.g.Zero.Predict(x)
	if err != nil {
		return nil, nil, err
	}
	hits, losses = make([]bool, len(class)), make([]float64, len(class))
	for i, c := range class {
		hits[i] = c == s.g.Class
		losses[i], _ = s.prototypeLoss(x.RawRowView(i))
	}
	return hits, losses, nil
}

// temperature of the softmax over cosines, as contrastive encoders are trained with.
const temperature = 0.07

// prototypeLoss is -log softmax_k(cos(x, t_k) / 0.07) of the concept's prototype, and its gradient [d] with respect to x.
func (s *search) prototypeLoss(x []float64) (float64, []float64) {
	g := make([]float64, len(x))
	norm := floats.Norm(x, 2)
	if norm == 0 {
		return math.Inf(1), g
	}
	k, _ := s.g.Zero.Prototypes.Dims()
	cosine, logits := make([]float64, k), make([]float64, k)
	for i := range k {
		cosine[i] = floats.Dot(s.g.Zero.Prototypes.RawRowView(i), x) / norm
		logits[i] = cosine[i] / temperature
	}
	all := floats.LogSumExp(logits)
	for i := range k {
		w := math.Exp(logits[i] - all)
		if i == s.g.Class {
			w--
		}
		w /= temperature * norm
		floats.AddScaled(g, w, s.g.Zero.Prototypes.RawRowView(i))
		floats.AddScaled(g, -w*cosine[i]/norm, x)
	}
	return all - logits[s.g.Class], g
}

// towards is the prototype loss of a text's states, as Encoder.Gradient takes it.
func (s *search) towards(_ int, state *encoder.State) (float64, *mat.Dense, error) {
	x, err := s.e.Pooled(state)
	if err != nil {
		return 0, nil, err
	}
	loss, g := s.prototypeLoss(x)
	spread, err := s.e.Spread(state, g)
	return loss, spread, err
}

// surfaces are what an attack by gradients is found on.
func (s *search) surfaces(ctx context.Context) ([]*encoder.Variant, error) {
	if s.g.Mode == ModeStatic {
		return []*encoder.Variant{nil}, nil
	}
	out := []*encoder.Variant{s.v}
	gated, err := s.gated(ctx)
	if gated {
		out = append(out, past(s.v))
	}
	return out, err
}

// surface is what an attack by queries is found on.
func (s *search) surface() *encoder.Variant {
	if s.g.Mode == ModeStatic {
		return nil
	}
	return s.v
}

// keep judges a candidate text for each prompt under the variant, and keeps those that succeed.
func (s *search) keep(ctx context.Context, texts []token.Encoding) error {
	words := make([]string, len(texts))
	for i, t := range texts {
		var err error
		if words[i], err = s.e.Tokenizer.Decode(t.IDs, true); err != nil {
			return err
		}
	}
	hits, _, err := s.judge(ctx, s.v, texts)
	if err != nil {
		return err
	}
	s.record(hits, words)
	return nil
}

// keepSoft is keep for texts of given word embeddings; words describe them.
func (s *search) keepSoft(ctx context.Context, texts []*encoder.Soft, words []string) error {
	hits, _, err := s.judgeSoft(ctx, s.v, texts)
	if err != nil {
		return err
	}
	s.record(hits, words)
	return nil
}

func (s *search) record(hits []bool, words []string) {
	for i, hit := range hits {
		if s.result.Found[i] == "" || hit && !s.result.After[i] {
			s.result.After[i], s.result.Found[i] = hit, words[i]
		}
	}
}

// wordsOf is an encoder with the word embeddings of a variant whose weights are edited, for Soften and WordEmbeddings.
func wordsOf(e *encoder.Encoder, v *encoder.Variant) (*encoder.Encoder, error) {
	if v == nil || v.Params == nil {
		return e, nil
	}
	m := *e.Model
	m.Params = v.Params
	return encoder.New(e.Engine, &m, e.Tokenizer, e.Pool)
}

// words is the encoder whose word embeddings a surface has.
func (s *search) words(on *encoder.Variant) *encoder.Encoder {
	if on == nil {
		return s.e
	}
	return s.edited
}
