package training

import (
	"context"
	"fmt"
	"slices"

	"loupe/sae"
)

// Evaluation reads a fixed random sample of rows, in batches that the legacy measures depend on.
const (
	evalSeed  = 0xe5a1
	evalBatch = 1024
)

// evaluate measures a trained SAE on eval_tokens rows of eval_split.
func (j *Job) evaluate(ctx context.Context, c sae.Coder, o Outcome) (*sae.CoderResult, error) {
	sites := slices.Concat(o.Inputs, o.Targets)
	src, count, err := j.source(ctx, j.cfg.evalSplit(), sites, evalSeed)
	if err != nil {
		return nil, err
	}
	rows, _, err := sae.Join(src, sites...)
	if err != nil {
		return nil, err
	}
	res, err := sae.EvaluateCoder(ctx, j.backend, c, rows, evalBatch, min(j.cfg.EvalTokens, count))
	if err != nil {
		return nil, fmt.Errorf("SAE %s: %w", o.Name, err)
	}
	return &res, nil
}
