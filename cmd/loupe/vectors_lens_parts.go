package main

import (
	"context"
	"errors"
	"fmt"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// tunedRow is what a trained translator gains on held-out texts: mean KL from the final layer, nats a token.
type tunedRow struct {
	Layer  int            `json:"layer"`
	Tokens int            `json:"tokens"`
	Logit  float64        `json:"kl_logit"`
	Tuned  float64        `json:"kl_tuned"`
	Gain   stats.Interval `json:"gain"` // logit less tuned, over texts
}

// trainLens trains translators of the chosen layers, keeps them, and judges them on texts that they did not see.
func (r *lensRun) trainLens(ctx context.Context) (_ *vectors.TunedLens, _ []tunedRow, err error) {
	train, test, err := r.corpusTexts(ctx)
	if err != nil {
		return nil, nil, err
	}
	var sites []model.Site
	for _, l := range r.layers {
		sites = append(sites, model.Site{Kind: model.ResidPost, Layer: l})
	}
	sites = append(sites, model.Site{Kind: model.ResidPost, Layer: r.model.Spec.Layers - 1})
	const batch = 4
	seen, err := vectors.ReadTokens(ctx, r.engine, r.model, train, sites, batch)
	if err != nil {
		return nil, nil, err
	}
	unseen, err := vectors.ReadTokens(ctx, r.engine, r.model, test, sites, batch)
	if err != nil {
		return nil, nil, err
	}
	trainer, err := vectors.NewLensTrainer(r.engine.Backend(), r.lens, r.f.training)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, trainer.Close()) }()
	tuned := &vectors.TunedLens{Lens: r.lens, Translators: map[int]*vectors.Translator{}, Model: r.model.Digest}
	final := len(r.layers)
	var rows []tunedRow
	for i, l := range r.layers {
		if l == r.model.Spec.Layers-1 {
			continue // its own distribution
		}
		translator, _, err := trainer.Train(ctx, seen.Sites[i], seen.Sites[final])
		if err != nil {
			return nil, nil, err
		}
		tuned.Translators[l] = translator
		row, err := judgeLens(ctx, trainer, translator, unseen.Sites[i], unseen.Sites[final], unseen.Text, int64(r.f.training.Seed))
		if err != nil {
			return nil, nil, err
		}
		row.Layer = l
		rows = append(rows, *row)
	}
	return tuned, rows, tuned.Write(r.f.train)
}

func judgeLens(ctx context.Context, t *vectors.LensTrainer, tr *vectors.Translator, h, final *mat.Dense, texts []int, seed int64) (*tunedRow, error) {
	logit, err := t.KL(ctx, nil, h, final)
	if err != nil {
		return nil, err
	}
	tuned, err := t.KL(ctx, tr, h, final)
	if err != nil {
		return nil, err
	}
	row := &tunedRow{Tokens: len(logit), Logit: stat.Mean(logit, nil), Tuned: stat.Mean(tuned, nil)}
	row.Gain, err = lab.MeanOver(ctx, lab.Minus(logit, tuned), texts, seed)
	return row, err
}

// corpusTexts are training and held-out texts, cut to --length tokens.
func (r *lensRun) corpusTexts(ctx context.Context) (train, test [][]int32, err error) {
	cfg := r.f.corpus
	if cfg.Path != "" {
		path := cfg.Path
		cfg = text.DefaultCorpusConfig(text.KindText)
		cfg.Path = path
	}
	cfg.MinChars = 2 * r.f.length
	corpus, err := text.Open(cfg)
	if err != nil {
		return nil, nil, err
	}
	want := r.f.texts + (r.f.texts+3)/4
	var all [][]int32
	for doc, err := range corpus.Docs(ctx) {
		if err != nil {
			return nil, nil, err
		}
		encoded, err := r.tokens.Encode(doc.Text, token.EncodeOptions{AddSpecial: true, MaxLen: r.f.length})
		if err != nil {
			return nil, nil, err
		}
		if len(encoded.IDs) > 1 {
			all = append(all, encoded.IDs)
		}
		if len(all) == want {
			return all[:r.f.texts], all[r.f.texts:], nil
		}
	}
	return nil, nil, fmt.Errorf("the corpus has %d texts of %d characters or more, and %d are needed; lower --texts or --length", len(all), cfg.MinChars, want)
}

// attributionTable is a logit as a sum of what each component adds.
type attributionTable struct {
	Target float64           `json:"target"`
	Parts  []attributionPart `json:"parts"`
	Gap    float64           `json:"gap"`
}

type attributionPart struct {
	Component string  `json:"component"`
	Value     float64 `json:"value"`
}

// attribution splits the target's logit at the position over the writers of the residual stream.
func (r *lensRun) attribution(ctx context.Context, target vectors.PromptTarget) (*attributionTable, error) {
	s := r.model.Spec
	sites := []model.Site{{Kind: model.Embed}}
	if s.Positions == model.PosLearned {
		sites = append(sites, model.Site{Kind: model.PosEmbed})
	}
	for l := range s.Layers {
		sites = append(sites, model.Site{Kind: model.AttnOut, Layer: l}, model.Site{Kind: model.MLPOut, Layer: l})
	}
	names := len(sites)
	sites = append(sites, model.Site{Kind: model.ResidPost, Layer: s.Layers - 1})
	rows, err := vectors.ReadTokens(ctx, r.engine, r.model, [][]int32{r.ids}, sites, 1)
	if err != nil {
		return nil, err
	}
	var parts []*mat.Dense
	for _, m := range rows.Sites {
		parts = append(parts, mat.DenseCopyOf(m.Slice(r.at, r.at+1, 0, s.DModel)))
	}
	out := &attributionTable{}
	constant := 0.0
	values := make([]float64, names)
	for _, t := range []struct {
		id   int32
		sign float64
	}{{target.Token, 1}, {target.Against, -1}} {
		if t.id < 0 {
			continue
		}
		a, err := r.lens.Attribute(parts[names], parts[:names], []int{int(t.id)})
		if err != nil {
			return nil, err
		}
		out.Target += t.sign * a.Logit[0]
		out.Gap += a.Gap
		constant += t.sign * a.Constant[0]
		floats.AddScaled(values, t.sign, mat.Col(nil, 0, a.Parts))
	}
	for i, v := range values {
		out.Parts = append(out.Parts, attributionPart{sites[i].String(), v})
	}
	out.Parts = append(out.Parts, attributionPart{"constant", constant})
	return out, nil
}

// promptRow is what a token of the prompt adds to the target. AttentionValue is nil where the model's norms forbid it.
type promptRow struct {
	Token          string   `json:"token"`
	LeaveOneOut    float64  `json:"leave_one_out"`
	Gradients      float64  `json:"integrated_gradients"`
	AttentionValue *float64 `json:"attention_value"`
}

// promptGaps hold the methods against what they must add up to.
type promptGaps struct {
	Target    float64 `json:"target"`
	Baseline  float64 `json:"baseline"`  // the target on the baseline embedding
	Sum       float64 `json:"sum"`       // of integrated gradients
	Attention float64 `json:"attention"` // by how much attention x value misses what attention adds
}

// promptAttribution explains the target at the position by the tokens up to it.
func (r *lensRun) promptAttribution(ctx context.Context, target vectors.PromptTarget, out *lensResult) error {
	ids := r.ids[:r.at+1]
	loo, err := vectors.LeaveOneOut(ctx, r.engine, r.model, ids, target, 8)
	if err != nil {
		return err
	}
	ig, err := vectors.IntegratedGradients(ctx, r.engine, r.model, ids, target, r.f.ig)
	if err != nil {
		return err
	}
	var attended *vectors.AttentionValue
	if r.model.Spec.Place == model.PreNorm {
		if attended, err = vectors.AttendValues(ctx, r.engine, r.model, ids, target); err != nil {
			return err
		}
	}
	out.PromptGaps = &promptGaps{Target: ig.Target, Baseline: ig.Baseline, Sum: floats.Sum(ig.Scores)}
	for i := range ids {
		row := promptRow{Token: out.Prompt[i], LeaveOneOut: loo.Scores[i], Gradients: ig.Scores[i]}
		if attended != nil {
			row.AttentionValue = &attended.Scores[i]
			out.PromptGaps.Attention = attended.Gap
		}
		out.PromptParts = append(out.PromptParts, row)
	}
	return nil
}
