package sae

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
)

// Evaluate measures s on at most limit rows of a source (limit < 1: all of them). A transcoder's rows have the target after
// the input, as in training. A row that is not finite is an error, and so are rows without variance.
func Evaluate(ctx context.Context, b compute.Backend, s *SAE, rows Rows, batch int, limit int64) (Result, error) {
	run, err := NewRunner(b, s, batch)
	if err != nil {
		return Result{}, err
	}
	defer run.Close()
	if limit < 1 {
		limit = math.MaxInt64
	}
	m := NewMetrics(s.Width(), s.DSAE)
	width := s.DIn
	if s.Transcoder() {
		width += s.Width()
	}
	joint := make([]float32, batch*width)
	for seen := int64(0); seen < limit; {
		want := int(min(int64(batch), limit-seen))
		n, err := fill(rows, joint[:want*width], width)
		if err != nil {
			return Result{}, err
		}
		if n == 0 {
			break
		}
		part := joint[:n*width]
		if i := firstNonFinite(part); i >= 0 {
			return Result{}, fmt.Errorf("sae: evaluate: row %d, dimension %d is %v: %w; look at the store with `loupe store verify`", seen+int64(i/width), i%width, part[i], ErrNonFinite)
		}
		x, target := part, part
		if width > s.DIn {
			x, target = splitRows(part, s.DIn, width)
		}
		lat, y, err := run.Reconstruct(ctx, x)
		if err != nil {
			return Result{}, err
		}
		if err := m.Add(target, y, lat); err != nil {
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

// splitRows cuts rows of the given width into their first d values and the others.
func splitRows(rows []float32, d, width int) (first, rest []float32) {
	n := len(rows) / width
	first, rest = make([]float32, 0, n*d), make([]float32, 0, n*(width-d))
	for r := range n {
		row := rows[r*width : (r+1)*width]
		first, rest = append(first, row[:d]...), append(rest, row[d:]...)
	}
	return first, rest
}
