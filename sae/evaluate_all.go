package sae

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
)

// EvaluateAll is [EvaluateCoder] for several coders in one pass over the data. Members say what each is called and which
// sites it reads and writes.
func EvaluateAll(ctx context.Context, b compute.Backend, members []Member, coders []Coder, src Source, batch int, limit int64) ([]CoderResult, error) {
	all := make([]*evaluation, len(coders))
	joints := make([]*member, len(coders))
	defer func() {
		for _, e := range all {
			if e != nil {
				e.run.Close()
			}
		}
	}()
	for i, c := range coders {
		var err error
		if all[i], err = newEvaluation(b, c, batch); err != nil {
			return nil, fmt.Errorf("sae: SAE %s: %w", members[i].Name, err)
		}
		if s, ok := c.(*SAE); ok && s.Temporal != nil {
			if err := inSequences(src, s.context()); err != nil {
				return nil, fmt.Errorf("sae: SAE %s: %w", members[i].Name, err)
			}
		}
		joints[i] = &member{Member: members[i], rows: make([]float32, batch*all[i].width)}
		if err := joints[i].find(src, all[i].width); err != nil {
			return nil, err
		}
	}
	if limit < 1 {
		limit = math.MaxInt64
	}
	buffers := sourceBuffers(src, batch)
	for seen := int64(0); seen < limit; {
		n, err := fillSource(src, buffers, int(min(int64(batch), limit-seen)))
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		for i, e := range all {
			if err := e.add(ctx, joints[i].join(buffers, n, joints[i].rows[:n*e.width])); err != nil {
				return nil, fmt.Errorf("SAE %s: %w", members[i].Name, err)
			}
		}
		seen += int64(n)
	}
	out := make([]CoderResult, len(all))
	for i, e := range all {
		var err error
		if out[i], err = e.result(); err != nil {
			return nil, fmt.Errorf("SAE %s: %w", members[i].Name, err)
		}
	}
	return out, nil
}
