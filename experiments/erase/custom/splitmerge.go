package custom

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/adam"
	"loupe/vectors"
)

// SplitMergeConfig says how concepts are recovered from embeddings.
type SplitMergeConfig struct {
	Tokens      int     `json:"tokens" doc:"tokens of each concept before the merge; 1: no split"`
	Split       int     `json:"split_steps" doc:"steps before the merge"`
	Merged      int     `json:"merged_steps" doc:"steps behind it"`
	LR          float64 `json:"learning_rate" doc:"of Adam, on the tokens' word embeddings"`
	Weight      float64 `json:"weight" doc:"of the contrastive loss; 0: without"`
	Temperature float64 `json:"temperature" doc:"of the contrastive loss"`
}

// DefaultSplitMerge is five tokens a concept for two thirds of the steps, with the usual temperature; the rate suits MiniLM.
func DefaultSplitMerge() SplitMergeConfig {
	return SplitMergeConfig{Tokens: 5, Split: 40, Merged: 20, LR: 0.01, Weight: 0.01, Temperature: 0.07}
}

// Validate names the settings that are out of range.
func (c SplitMergeConfig) Validate() error {
	switch {
	case c.Tokens < 1 || c.Split < 0 || c.Merged < 0 || c.Split+c.Merged < 1:
		return fmt.Errorf("custom: tokens %d, split_steps %d, merged_steps %d: %w; use a token and a step or more", c.Tokens, c.Split, c.Merged, vectors.ErrArgument)
	case !(c.LR > 0) || math.IsInf(c.LR, 0) || !(c.Weight >= 0) || math.IsInf(c.Weight, 0) || !(c.Temperature > 0):
		return fmt.Errorf("custom: learning_rate %v, weight %v, temperature %v: %w; use a positive rate and temperature and a weight from 0", c.LR, c.Weight, c.Temperature, vectors.ErrArgument)
	}
	return nil
}

// MergeTokens are the mean rows [k, d] of tokens [n, d] by concept; label [n] runs from 0 to k-1, each with a token or more.
func MergeTokens(tokens *mat.Dense, label []int, k int) (*mat.Dense, error) {
	n, d, err := checkMatrix("tokens", tokens, 0)
	if err != nil {
		return nil, err
	}
	if len(label) != n || k < 1 {
		return nil, fmt.Errorf("custom: %d labels for %d tokens of %d concepts: %w", len(label), n, k, vectors.ErrShape)
	}
	out, count := mat.NewDense(k, d, nil), make([]float64, k)
	for i, l := range label {
		if l < 0 || l >= k {
			return nil, fmt.Errorf("custom: token %d is of concept %d of %d: %w", i, l, k, vectors.ErrClasses)
		}
		count[l]++
		floats.Add(out.RawRowView(l), tokens.RawRowView(i))
	}
	for l, c := range count {
		if c == 0 {
			return nil, fmt.Errorf("custom: concept %d has no token: %w", l, vectors.ErrClasses)
		}
		floats.Scale(1/c, out.RawRowView(l))
	}
	return out, nil
}

// Inversion recovers k concepts from k embeddings, each a mixture in which one concept leads, by learning word embeddings: each
// concept begins with several tokens, of which every step trains one that it draws, SupCon keeps the tokens of one concept together
// and those of different ones apart, and at the merge each concept's tokens become their mean, which is trained further (Hao et al.,
// arXiv:2407.07077, with target embeddings in place of masked images).
type Inversion struct {
	Words *mat.Dense // [k, d], after Invert
	Loss  []float64  // mean 1 - cos with the targets, by step

	cfg     SplitMergeConfig
	targets *mat.Dense // [k, d]
	tokens  *mat.Dense // [k*Tokens, d], then [k, d]
	label   []int
	solver  *adam.Solver
	rng     *rand.Rand
	chosen  []int // token of each concept in this step
}

// NewInversion begins at the given tokens [k*Tokens, d], those of a concept beside each other.
func NewInversion(targets, start *mat.Dense, cfg SplitMergeConfig, seed uint64) (*Inversion, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	k, d, err := checkMatrix("targets", targets, 0)
	if err != nil {
		return nil, err
	}
	n, _, err := checkMatrix("start", start, d)
	if err != nil {
		return nil, err
	}
	if n != k*cfg.Tokens {
		return nil, fmt.Errorf("custom: %d tokens to start from for %d concepts of %d: %w", n, k, cfg.Tokens, vectors.ErrShape)
	}
	if cfg.Weight > 0 && cfg.Tokens > 1 && k < 2 {
		return nil, fmt.Errorf("custom: one concept has no other to be contrasted with: %w; set weight to 0", vectors.ErrArgument)
	}
	v := &Inversion{cfg: cfg, targets: targets, tokens: mat.DenseCopyOf(start), rng: rand.New(rand.NewPCG(seed, 0x73706c74)), solver: adam.NewSolver(cfg.LR, n*d)} // "splt"
	for i := range n {
		v.label = append(v.label, i/cfg.Tokens)
	}
	return v, nil
}

// Invert takes the steps of several inversions together, so that they share the encoder's batches; none knows of the others. The
// prompts, one a step in turn, are phrases with the concept's word, and all inversions have as many steps.
func Invert(ctx context.Context, e *encoder.Encoder, prompts []Prompt, runs []*Inversion) error {
	if len(prompts) == 0 || len(runs) == 0 {
		return fmt.Errorf("custom: %d prompts, %d inversions: %w; give one of each", len(prompts), len(runs), vectors.ErrArgument)
	}
	steps := runs[0].cfg.Split + runs[0].cfg.Merged
	for _, r := range runs {
		if r.cfg.Split+r.cfg.Merged != steps {
			return fmt.Errorf("custom: inversions of %d and %d steps: %w; run them apart", steps, r.cfg.Split+r.cfg.Merged, vectors.ErrArgument)
		}
	}
	for step := range steps {
		prompt := prompts[step%len(prompts)]
		var soft []*encoder.Soft
		var of []*Inversion // of each text
		var concept []int
		for _, r := range runs {
			if err := r.choose(step); err != nil {
				return err
			}
			for c, at := range r.chosen {
				soft = append(soft, prompt.Soft(r.tokens.RawRowView(at)))
				of, concept = append(of, r), append(concept, c)
			}
		}
		_, grads, err := e.Gradient(ctx, nil, soft, func(i int, state *encoder.State) (float64, *mat.Dense, error) {
			x, err := e.Pooled(state)
			if err != nil {
				return 0, nil, err
			}
			far, g, err := cosineDistance(x, of[i].targets.RawRowView(concept[i]))
			if err != nil {
				return 0, nil, err
			}
			of[i].Loss[step] += far / float64(len(of[i].chosen))
			back, err := e.Spread(state, g)
			return far, back, err
		})
		if err != nil {
			return fmt.Errorf("custom: step %d: %w", step+1, err)
		}
		for lo := 0; lo < len(soft); {
			r := of[lo]
			hi := lo + len(r.chosen)
			rows := make([][]float64, 0, hi-lo)
			for _, g := range grads[lo:hi] {
				rows = append(rows, g.RawRowView(prompt.At))
			}
			if err := r.update(rows); err != nil {
				return err
			}
			lo = hi
		}
	}
	for _, r := range runs {
		if err := r.merge(); err != nil {
			return err
		}
		r.Words = r.tokens
	}
	return nil
}

// choose draws a token for each concept, behind the merge if it is time.
func (v *Inversion) choose(step int) error {
	v.Loss = append(v.Loss, 0)
	if step == v.cfg.Split {
		if err := v.merge(); err != nil {
			return err
		}
	}
	k, _ := v.targets.Dims()
	each := len(v.label) / k
	v.chosen = slices.Grow(v.chosen[:0], k)
	for c := range k {
		v.chosen = append(v.chosen, c*each+v.rng.IntN(each))
	}
	return nil
}

// merge makes one token of each concept's; once they are merged it changes nothing.
func (v *Inversion) merge() error {
	k, d := v.targets.Dims()
	if len(v.label) == k {
		return nil
	}
	merged, err := MergeTokens(v.tokens, v.label, k)
	if err != nil {
		return err
	}
	v.tokens, v.label, v.solver = merged, v.label[:0], adam.NewSolver(v.cfg.LR, k*d)
	for c := range k {
		v.label = append(v.label, c)
	}
	return nil
}

// update takes a step for the gradients of the chosen tokens and the contrastive loss of all.
func (v *Inversion) update(chosen [][]float64) error {
	n, d := v.tokens.Dims()
	grad := mat.NewDense(n, d, nil)
	for c, at := range v.chosen {
		grad.SetRow(at, chosen[c])
	}
	if k, _ := v.targets.Dims(); v.cfg.Weight > 0 && n > k {
		_, g, err := SupCon(v.tokens, v.label, v.cfg.Temperature)
		if err != nil {
			return err
		}
		g.Scale(v.cfg.Weight, g)
		grad.Add(grad, g)
	}
	v.solver.Step(v.tokens.RawMatrix().Data, grad.RawMatrix().Data)
	return nil
}
