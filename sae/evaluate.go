package sae

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
)

// Evaluate measures s on at most limit rows of a source (limit < 1: all of them). A row that is not finite is an
// error, and so are rows without variance.
func Evaluate(ctx context.Context, b compute.Backend, s *SAE, rows Rows, batch int, limit int64) (Result, error) {
	run, err := NewRunner(b, s, batch)
	if err != nil {
		return Result{}, err
	}
	defer run.Close()
	if limit < 1 {
		limit = math.MaxInt64
	}
	m := NewMetrics(s.DIn, s.DSAE)
	x := make([]float32, batch*s.DIn)
	for seen := int64(0); seen < limit; {
		want := int(min(int64(batch), limit-seen))
		n, err := fill(rows, x[:want*s.DIn], s.DIn)
		if err != nil {
			return Result{}, err
		}
		if n == 0 {
			break
		}
		part := x[:n*s.DIn]
		if i := firstNonFinite(part); i >= 0 {
			return Result{}, fmt.Errorf("sae: evaluate: row %d, dimension %d is %v: %w; look at the store with `loupe store verify`", seen+int64(i/s.DIn), i%s.DIn, part[i], ErrNonFinite)
		}
		lat, y, err := run.Reconstruct(ctx, part)
		if err != nil {
			return Result{}, err
		}
		if err := m.Add(part, y, lat); err != nil {
			return Result{}, err
		}
		seen += int64(n)
	}
	if m.n == 0 {
		return Result{}, fmt.Errorf("sae: evaluate: the data has no rows; capture activations first")
	}
	r := m.Result()
	if math.IsNaN(r.FVU) || math.IsInf(r.FVU, 0) {
		return Result{}, fmt.Errorf("sae: evaluate: the %d rows are all equal, so that no variance can be explained; take more rows", m.n)
	}
	return r, nil
}
