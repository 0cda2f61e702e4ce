package sae

import (
	"context"
	"fmt"

	"loupe/internal/stats"
)

// Embedder is a text encoder, such as MiniLM. The embeddings of n texts are [n, width].
type Embedder interface {
	Embed(ctx context.Context, texts []string) (embeddings []float32, width int, err error)
}

// Scorer is a language model that says how likely a text is after a prompt ("" for none): its mean log likelihood, in nats a
// token.
type Scorer interface {
	LogLikelihood(ctx context.Context, prompt, text string) (float64, error)
}

// Described is a latent with a description and texts on which it is active and inactive.
type Described struct {
	Latent           int
	Description      string
	Active, Inactive []string
}

func (d Described) check() error {
	if d.Description == "" || len(d.Active) == 0 || len(d.Inactive) == 0 {
		return fmt.Errorf("sae: autointerp: latent %d has %d active and %d inactive texts and the description %q; it needs one of each: %w", d.Latent, len(d.Active), len(d.Inactive), d.Description, stats.ErrTooFew)
	}
	return nil
}

// DescriptionScore is how well a description tells a latent's active texts from inactive ones.
type DescriptionScore struct {
	Latent  int     `json:"latent"`
	AUC     float64 `json:"auc"`
	Control float64 `json:"control_auc"` // of the next latent's description on the same texts
}

// InterpReport are the scores of descriptions; intervals are over latents.
type InterpReport struct {
	Scores  []DescriptionScore `json:"-"`
	AUC     stats.Interval     `json:"auc"`
	Control stats.Interval     `json:"control_auc"` // about 0.5 where descriptions are specific
	Gain    stats.Interval     `json:"gain"`        // AUC minus control
}

// LikelihoodPrompt stands before a text in ScoreByLikelihood; the verb is the description.
const LikelihoodPrompt = "The following text is about %s.\n"

// ScoreByEmbedding scores descriptions without a judge: the AUC of the cosine between the embeddings of the description and
// of a text, as a detector of active texts (detection after Paulo et al., arXiv:2410.13928, with an encoder in the judge's
// place). It needs two latents or more, for the control.
func ScoreByEmbedding(ctx context.Context, e Embedder, latents []Described, boot stats.BootstrapConfig) (InterpReport, error) {
	embed := func(texts []string) (rows []float64, width int, err error) {
		x, width, err := e.Embed(ctx, texts)
		if err == nil && (width < 1 || len(x) != len(texts)*width) {
			err = fmt.Errorf("%d embedding values of width %d for %d texts", len(x), width, len(texts))
		}
		if err != nil {
			return nil, 0, err
		}
		rows, _ = unitRows(x, width)
		return rows, width, nil
	}
	descriptions := make([]string, len(latents))
	for i, d := range latents {
		if err := d.check(); err != nil {
			return InterpReport{}, err
		}
		descriptions[i] = d.Description
	}
	described, width, err := embed(descriptions)
	if err != nil {
		return InterpReport{}, fmt.Errorf("sae: autointerp: descriptions: %w", err)
	}
	return scoreDescriptions(ctx, latents, boot, func(d Described) (func(description int, text int) (float64, error), error) {
		texts, w, err := embed(append(append([]string{}, d.Active...), d.Inactive...))
		if err != nil {
			return nil, err
		}
		if w != width {
			return nil, fmt.Errorf("embeddings of width %d after some of width %d", w, width)
		}
		return func(description, text int) (float64, error) {
			return inner(described[description*width:(description+1)*width], texts[text*width:(text+1)*width]), nil
		}, nil
	})
}

// ScoreByLikelihood scores descriptions by a language model: the AUC of what the description adds to a text's log likelihood,
// log p(text | prompt with the description) - log p(text).
func ScoreByLikelihood(ctx context.Context, s Scorer, latents []Described, boot stats.BootstrapConfig) (InterpReport, error) {
	return scoreDescriptions(ctx, latents, boot, func(d Described) (func(description int, text int) (float64, error), error) {
		texts := append(append([]string{}, d.Active...), d.Inactive...)
		alone := make([]float64, len(texts))
		for i, text := range texts {
			var err error
			if alone[i], err = s.LogLikelihood(ctx, "", text); err != nil {
				return nil, err
			}
		}
		return func(description, text int) (float64, error) {
			given, err := s.LogLikelihood(ctx, fmt.Sprintf(LikelihoodPrompt, latents[description].Description), texts[text])
			return given - alone[text], err
		}, nil
	})
}

// scoreDescriptions takes, for each latent, the score of a description (by its index) and one of the latent's texts, active
// ones first.
func scoreDescriptions(ctx context.Context, latents []Described, boot stats.BootstrapConfig,
	prepare func(d Described) (func(description, text int) (float64, error), error),
) (InterpReport, error) {
	if len(latents) < 2 {
		return InterpReport{}, fmt.Errorf("sae: autointerp: %d latents; the control needs two or more: %w", len(latents), stats.ErrTooFew)
	}
	var r InterpReport
	var own, control, gain []float64
	for i, d := range latents {
		if err := d.check(); err != nil {
			return InterpReport{}, err
		}
		score, err := prepare(d)
		if err != nil {
			return InterpReport{}, fmt.Errorf("sae: autointerp: latent %d: %w", d.Latent, err)
		}
		auc := func(description int) (float64, error) {
			n := len(d.Active) + len(d.Inactive)
			scores, active := make([]float64, n), make([]bool, n)
			for t := range n {
				var err error
				if scores[t], err = score(description, t); err != nil {
					return 0, err
				}
				active[t] = t < len(d.Active)
			}
			return stats.AUC(scores, active)
		}
		s := DescriptionScore{Latent: d.Latent}
		if s.AUC, err = auc(i); err == nil {
			s.Control, err = auc((i + 1) % len(latents))
		}
		if err != nil {
			return InterpReport{}, fmt.Errorf("sae: autointerp: latent %d: %w", d.Latent, err)
		}
		r.Scores = append(r.Scores, s)
		own, control, gain = append(own, s.AUC), append(control, s.Control), append(gain, s.AUC-s.Control)
	}
	for _, v := range []struct {
		into   *stats.Interval
		values []float64
	}{{&r.AUC, own}, {&r.Control, control}, {&r.Gain, gain}} {
		var err error
		if *v.into, err = MeanInterval(ctx, v.values, boot); err != nil {
			return InterpReport{}, fmt.Errorf("sae: autointerp: %w", err)
		}
	}
	return r, nil
}
