package training

import (
	"context"

	"loupe/sae"
)

// Evaluation reads a fixed random sample of rows, in batches that the legacy measures depend on.
const (
	evalSeed  = 0xe5a1
	evalBatch = 1024
)

// evaluate measures the trained SAEs on eval_tokens rows of eval_split, each row once at most, in one pass over the data.
func (j *Job) evaluate(ctx context.Context, coders []sae.Coder, report *Report) error {
	if j.cfg.EvalTokens == 0 {
		return nil
	}
	src, done, err := j.data.source(ctx, j.cfg.evalSplit(), j.sites, evalSeed, true)
	if err != nil {
		return err
	}
	defer done()
	members := make([]sae.Member, len(coders))
	for i, o := range report.SAEs {
		members[i] = sae.Member{Name: o.Name, Inputs: o.Inputs, Targets: o.Targets}
	}
	batch, limit := evalBatch, j.cfg.EvalTokens
	if tokens := j.cfg.sequence(); tokens > 0 { // whole sequences
		batch = (batch + tokens - 1) / tokens * tokens
		limit = max(limit/int64(tokens), 1) * int64(tokens)
	}
	results, err := sae.EvaluateAll(ctx, j.backend, members, coders, src, batch, limit)
	for i := range results {
		report.SAEs[i].Result = &results[i]
	}
	return err
}
