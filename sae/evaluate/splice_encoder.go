package evaluate

import (
	"context"
	"fmt"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/probe/text"
	"loupe/sae"
)

// neighbours is the number of nearest neighbours of a text that are compared.
const neighbours = 10

// labelPrompt turns a concept's name into a text for the zero-shot comparison.
const labelPrompt = "This text is about %s."

// encoderVariants are the splices of a dictionary and the ablations that all share.
var (
	encoderVariants = []sae.Variant{sae.VariantClean, sae.VariantSpliced, sae.VariantErrorKept}
	ablations       = []ablation{{sae.VariantZero, "zero ablation"}, {sae.VariantMean, "mean ablation"}}
)

type ablation struct {
	variant sae.Variant
	name    string
}

func (b *Bench) spliceEncoder(ctx context.Context, dicts []*Dictionary, batches []sae.TokenBatch, length int) (*Outcome, error) {
	o := &Outcome{Suite: "splice", Metrics: []Metric{
		{Name: "cosine", Better: Higher}, {Name: "drift", Better: Lower}, {Name: "knn_overlap", Better: Higher}, {Name: "zero_shot_agreement", Better: Higher},
		{Name: "cosine_error_kept", Hidden: true},
	}}
	dicts, err := b.spliceable(o, dicts)
	if err != nil {
		return nil, err
	}
	pooled, err := b.Subject.pooled()
	if err != nil {
		return nil, err
	}
	labels, err := b.labels(ctx, pooled)
	if err != nil {
		return nil, err
	}
	plan := model.Plan{Batch: len(batches[0].IDs) / length, Seq: length, Captures: []model.Capture{{Site: pooled}}}
	bar := b.progress("splice", "dictionaries", int64(len(dicts)))
	defer bar.Done()
	for i, d := range dicts {
		sp, err := b.splicer(d, plan)
		if err != nil {
			return nil, err
		}
		ask := encoderVariants
		if i == 0 {
			ask = append([]sae.Variant{sae.VariantZero, sae.VariantMean}, ask...)
		}
		emb, width, err := sae.SpliceEmbeddings(ctx, sp, pooled, batches, ask)
		if err != nil {
			return nil, err
		}
		clean := emb[sae.VariantClean]
		compare := func(v sae.Variant) (map[string]stats.Interval, error) {
			r, err := sae.CompareEmbeddings(ctx, clean, emb[v], width, min(neighbours, len(clean)/width-1), b.Boot)
			if err != nil {
				return nil, err
			}
			same, err := sae.ZeroShotAgreement(clean, emb[v], labels, width, b.Boot.Level)
			return map[string]stats.Interval{"cosine": r.Cosine, "drift": r.Drift, "knn_overlap": r.Neighbours, "zero_shot_agreement": same}, err
		}
		values, err := compare(sae.VariantSpliced)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
		}
		kept, err := compare(sae.VariantErrorKept)
		if err != nil {
			return nil, fmt.Errorf("evaluate: %s: %w", d.Name, err)
		}
		values["cosine_error_kept"] = kept["cosine"]
		o.Scores = append(o.Scores, Score{Dictionary: d.Name, Values: values})
		if i == 0 {
			o.On = fmt.Sprintf("%s of %d texts of %s, %d neighbours, %d labels; padding and special tokens are not spliced; intervals over texts",
				pooled, len(clean)/width, b.Subject.Model.Name, min(neighbours, len(clean)/width-1), len(labels)/width)
			for _, a := range ablations {
				values, err := compare(a.variant)
				if err != nil {
					return nil, fmt.Errorf("evaluate: %s: %w", a.name, err)
				}
				o.addBaseline(baseline(BaselineAblation, a.name), values)
			}
		}
		bar.Add(1)
	}
	o.noteModel(b)
	return o, nil
}

// pooled is the site that holds a text encoder's embedding of a text.
func (s *Subject) pooled() (model.Site, error) {
	for _, kind := range []model.Kind{model.Sentence, model.TextEmbeds, model.Pooler} {
		if at := (model.Site{Kind: kind}); s.Model.Spec.Has(at) == nil {
			return at, nil
		}
	}
	return model.Site{}, fmt.Errorf("%w: %s has neither a next-token head nor a pooled embedding to compare", errLeftOut, s.Model.Name)
}

// labels are the embeddings of the texts to which the zero-shot comparison assigns: the concepts of the built-in suite.
func (b *Bench) labels(ctx context.Context, pooled model.Site) ([]float32, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	var texts []string
	for _, c := range suite.Concepts() {
		texts = append(texts, fmt.Sprintf(labelPrompt, c))
	}
	return b.Subject.embed(ctx, pooled, texts)
}
