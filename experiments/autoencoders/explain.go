package autoencoders

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"loupe/internal/lab"
	"loupe/sae"
)

// Explanation is a latent with its examples, a description and how well that does on texts it was not made from.
type Explanation struct {
	Latent      int       `json:"latent"`
	Density     float64   `json:"density"` // share of held-out rows
	Description string    `json:"description"`
	Examples    []Excerpt `json:"examples"` // from training texts, the strongest first
	AUC         float64   `json:"auc"`      // of the description, held-out texts
	Control     float64   `json:"control_auc"`
}

// Excerpt is a place where a latent is active.
type Excerpt struct {
	Before string  `json:"before"`
	Token  string  `json:"token"`
	After  string  `json:"after"`
	Value  float64 `json:"value"`
}

// Explained are the latents that were drawn.
type Explained struct {
	SAE      string           `json:"sae"`
	Eligible int              `json:"eligible"` // latents that could have been drawn
	Latents  []Explanation    `json:"latents"`
	Report   sae.InterpReport `json:"report"`
}

// explain draws latents of an autoencoder, describes them by the tokens that they are active on in the training texts, and
// scores the descriptions on held-out texts, by the similarity of embeddings in a text encoder and by what the description
// adds to a text's likelihood in a language model.
func (e *evaluator) explain(ctx context.Context, of *measured) (*Explained, error) {
	return lab.Step(e.Dir, "explain", func() (*Explained, error) {
		s, err := sae.Load(e.Dir.File(weights(of.eval.Name)))
		if err != nil {
			return nil, err
		}
		run, err := sae.NewRunner(e.Backend, s, 1024)
		if err != nil {
			return nil, err
		}
		defer run.Close()
		f, err := e.features(ctx, s, run)
		if err != nil {
			return nil, err
		}
		held, err := e.activity(ctx, run)
		if err != nil {
			return nil, err
		}
		latents, eligible, err := e.draw(f, held, s.DSAE)
		if err != nil {
			return nil, fmt.Errorf("autoencoders: %s: %w", of.eval.Name, err)
		}
		return e.describe(ctx, of, f, held, latents, eligible)
	})
}

// draw draws latents at random among those with enough examples and enough held-out texts with and without them.
func (e *evaluator) draw(f *featureTable, held *activity, latents int) (drawn []int, eligible int, err error) {
	c := e.cfg.Explain
	var all []int
	for l := range latents {
		if n := len(held.peak[l]); len(f.Examples(l)) >= c.Examples && n >= c.Texts && len(held.order)-n >= c.Texts {
			all = append(all, l)
		}
	}
	if len(all) < c.Latents {
		return nil, len(all), fmt.Errorf("%d latents have %d examples and %d held-out texts with and without them, and explain.latents is %d; lower explain.examples, texts or latents", len(all), c.Examples, c.Texts, c.Latents)
	}
	rng := rand.New(rand.NewPCG(e.cfg.Seed, 0xe7a1))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	drawn = all[:c.Latents:c.Latents]
	slices.Sort(drawn)
	return drawn, len(all), nil
}

// describe writes and scores the descriptions.
func (e *evaluator) describe(ctx context.Context, of *measured, f *featureTable, held *activity, latents []int, eligible int) (*Explained, error) {
	out := &Explained{SAE: of.eval.Name, Eligible: eligible}
	rng := rand.New(rand.NewPCG(e.cfg.Seed, 0x5c02e))
	var described []sae.Described
	for _, l := range latents {
		x := Explanation{Latent: l, Density: of.eval.Density[l]}
		n := e.cfg.Explain.Tokens
		var tokens []string
		for _, id := range f.tokens[l*n : (l+1)*n] {
			if id < 0 {
				break
			}
			s, err := e.decode([]int32{id})
			if err != nil {
				return nil, err
			}
			tokens = append(tokens, s)
		}
		if x.Description = sae.DescribeByTokens(tokens, f.shares[l*n:(l+1)*n], e.cfg.Explain.Cover); x.Description == "" {
			x.Description = strconv.Quote(tokens[0]) // white space alone
		}
		for _, ex := range f.Examples(l) {
			excerpt, err := e.excerpt(ex.Tokens, ex.At, ex.Value)
			if err != nil {
				return nil, err
			}
			x.Examples = append(x.Examples, excerpt)
		}
		d := sae.Described{Latent: l, Description: x.Description}
		var err error
		if d.Active, d.Inactive, err = e.windows(held, l, rng); err != nil {
			return nil, err
		}
		described, out.Latents = append(described, d), append(out.Latents, x)
	}
	var err error
	if out.Report, err = e.score(ctx, described); err != nil {
		return nil, err
	}
	for i, s := range out.Report.Scores {
		out.Latents[i].AUC, out.Latents[i].Control = s.AUC, s.Control
	}
	return out, nil
}

// excerpt decodes an example in three parts.
func (e *evaluator) excerpt(tokens []int32, at int, value float64) (Excerpt, error) {
	out := Excerpt{Value: value}
	for _, p := range []struct {
		to  *string
		ids []int32
	}{{&out.Before, tokens[:at]}, {&out.Token, tokens[at : at+1]}, {&out.After, tokens[at+1:]}} {
		if len(p.ids) == 0 {
			continue
		}
		var err error
		if *p.to, err = e.Tokenizer.Decode(p.ids, true); err != nil {
			return out, err
		}
	}
	return out, nil
}

// score scores descriptions with the model itself as the judge.
func (e *evaluator) score(ctx context.Context, described []sae.Described) (sae.InterpReport, error) {
	judge := sae.TextModel{Engine: e.Engine, Model: e.Model, Tokenizer: e.Tokenizer, Batch: 8, Seq: e.cfg.Text.MaxLength}
	if e.encoder {
		return sae.ScoreByEmbedding(ctx, judge, described, lab.Bootstrap(int64(e.cfg.Seed)))
	}
	return sae.ScoreByLikelihood(ctx, judge, described, lab.Bootstrap(int64(e.cfg.Seed)))
}
