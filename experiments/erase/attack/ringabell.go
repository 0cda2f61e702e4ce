package attack

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/probe/token"
)

// RingABellConfig are the settings of ring-a-bell. Published: 200 texts, 3000 generations, 16, 38 or 77 tokens.
type RingABellConfig struct {
	Tokens      int              `json:"tokens" doc:"tokens of a text (K)"`
	Eta         float64          `json:"eta" doc:"of the concept's vector; 3 for nudity, 5 to 5.5 for violence"`
	Population  int              `json:"population" doc:"texts of a generation; the better half lives on"`
	Generations int              `json:"generations" doc:"rounds"`
	Crossover   float64          `json:"crossover" doc:"chance that two parents are crossed at one point"`
	Mutation    float64          `json:"mutation" doc:"chance that one token of a child changes"`
	Vocabulary  VocabularyConfig `json:"vocabulary" doc:"which tokens"`
}

// Validate refuses settings that search nothing.
func (c RingABellConfig) Validate() error {
	if !(c.Crossover >= 0 && c.Crossover <= 1 && c.Mutation >= 0 && c.Mutation <= 1) || !(math.Abs(c.Eta) > 0) || math.IsInf(c.Eta, 0) {
		return fmt.Errorf("crossover is %v, mutation %v, eta %v; use chances from 0 to 1 and an eta that is not 0", c.Crossover, c.Mutation, c.Eta)
	}
	if c.Population < 4 {
		return fmt.Errorf("population is %d; use 4 or more", c.Population)
	}
	return checkAtLeast("tokens", c.Tokens, "generations", c.Generations)
}

func ringABell() Attack {
	return Attack{
		Name: "ring-a-bell", Title: "Ring-A-Bell", Paper: "arXiv:2310.10012",
		Check: "golden target (TestGoldenErasure), generations by hand (TestBreed), planted synonym (TestOnMiniLM); the search compares pooled embeddings, for texts are not padded to one length",
		Config: func() any {
			return &RingABellConfig{Tokens: 5, Eta: 3, Population: 16, Generations: 32, Crossover: 0.5, Mutation: 0.25}
		},
		Run: run(func(ctx context.Context, s *search, conf any) error {
			c := conf.(*RingABellConfig)
			targets, err := s.targetEmbeddings(ctx, c.Eta)
			if err != nil {
				return err
			}
			ids, err := s.vocabulary(c.Vocabulary)
			if err != nil {
				return err
			}
			found, err := s.evolve(ctx, c, ids, targets)
			if err != nil {
				return err
			}
			return s.keep(ctx, found)
		}),
	}
}

// targetEmbeddings are E0(P) + eta v [n, d] of the prompts, with v the mean difference of the concept's fitting prompts and their
// anchor's, all by the original encoder.
func (s *search) targetEmbeddings(ctx context.Context, eta float64) (*mat.Dense, error) {
	embed := func(texts []string) (*mat.Dense, error) {
		s.queries += len(texts)
		return s.e.Embed(ctx, nil, texts)
	}
	with, err := embed(s.g.Target.Fit)
	if err != nil {
		return nil, err
	}
	without, err := embed(s.g.Target.AnchorFit)
	if err != nil {
		return nil, err
	}
	v, err := erase.RingABell(singles(with), singles(without))
	if err != nil {
		return nil, fmt.Errorf("attack: %w", err)
	}
	out, err := embed(s.g.Prompts)
	if err != nil {
		return nil, err
	}
	for i := range s.g.Prompts {
		floats.AddScaled(out.RawRowView(i), eta, v.RawRowView(0))
	}
	return out, nil
}

// singles are the rows of x as texts of one token.
func singles(x *mat.Dense) []*mat.Dense {
	n, d := x.Dims()
	out := make([]*mat.Dense, n)
	for i := range out {
		out[i] = mat.NewDense(1, d, x.RawRowView(i))
	}
	return out
}

// genome is the tokens of a text and its squared distance from the target.
type genome struct {
	ids  []int32
	loss float64
}

// evolve searches for each target [n, d] the tokens whose embedding by the original encoder is nearest. All targets' texts are read
// together.
func (s *search) evolve(ctx context.Context, c *RingABellConfig, ids []int32, targets *mat.Dense) ([]token.Encoding, error) {
	n, d := targets.Dims()
	empty, err := s.e.Tokens("")
	if err != nil {
		return nil, err
	}
	text := func(g genome) token.Encoding { return encoder.Insert(empty, min(1, empty.Len()), g.ids) }
	pools := make([][]genome, n)
	for i := range pools {
		for range c.Population {
			pools[i] = append(pools[i], genome{ids: s.draw(ids, c.Tokens), loss: math.NaN()})
		}
	}
	for generation := range c.Generations {
		var texts []token.Encoding
		var new []*genome
		var target []int
		for i := range pools {
			if generation > 0 {
				pools[i] = breed(s.rng, pools[i], c, ids)
			}
			for j := range pools[i] {
				if g := &pools[i][j]; math.IsNaN(g.loss) {
					texts, new, target = append(texts, text(*g)), append(new, g), append(target, i)
				}
			}
		}
		s.queries += len(texts)
		states, err := s.e.EncodingStates(ctx, nil, texts)
		if err != nil {
			return nil, err
		}
		x, err := s.e.Rows(states)
		if err != nil {
			return nil, err
		}
		for k, g := range new {
			g.loss = 0
			for j := range d {
				gap := x.At(k, j) - targets.At(target[k], j)
				g.loss += gap * gap
			}
		}
	}
	out := make([]token.Encoding, n)
	for i := range pools {
		out[i] = text(slices.MinFunc(pools[i], func(a, b genome) int { return cmp.Compare(a.loss, b.loss) }))
	}
	return out, nil
}

// breed is the next generation: the better half, and children of two of them that are crossed at one point, each of which may have one
// token changed. Children have no loss yet.
func breed(r *rand.Rand, pool []genome, c *RingABellConfig, ids []int32) []genome {
	pool = slices.Clone(pool)
	slices.SortStableFunc(pool, func(a, b genome) int { return cmp.Compare(a.loss, b.loss) })
	parents := pool[:len(pool)/2]
	out := slices.Clone(parents)
	for len(out) < len(pool) {
		a, b := slices.Clone(parents[r.IntN(len(parents))].ids), slices.Clone(parents[r.IntN(len(parents))].ids)
		if len(a) > 1 && r.Float64() < c.Crossover {
			cut := 1 + r.IntN(len(a)-1)
			for i := cut; i < len(a); i++ {
				a[i], b[i] = b[i], a[i]
			}
		}
		for _, child := range [][]int32{a, b} {
			if r.Float64() < c.Mutation {
				child[r.IntN(len(child))] = ids[r.IntN(len(ids))]
			}
			if len(out) < len(pool) {
				out = append(out, genome{ids: child, loss: math.NaN()})
			}
		}
	}
	return out
}
