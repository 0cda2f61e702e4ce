package sae

import (
	"context"
	"fmt"

	"loupe/internal/stats"
)

// TextErrors are the sums of a reconstruction over the rows of each text, from which FVU and L0 get intervals over texts:
// rows of one text depend on each other, so that texts are what is resampled. Make them with [NewTextErrors].
type TextErrors struct {
	Doc    []int64   `json:"doc"`
	Rows   []int     `json:"rows"`
	Error  []float64 `json:"error"`  // of |x - x^|^2
	Spread []float64 `json:"spread"` // of |x - mean|^2
	Active []int     `json:"active"` // latents

	mean  []float64
	place map[int64]int
}

// NewTextErrors returns empty sums; mean, [d], is that of all rows that will be added, so that FVU is the one of [Metrics].
func NewTextErrors(mean []float64) *TextErrors {
	return &TextErrors{mean: mean, place: map[int64]int{}}
}

// Add takes in rows x and their reconstructions y, both [n, d], their latents and the text of each row, in any order.
func (t *TextErrors) Add(doc []int64, x, y []float32, lat Latents) error {
	d, n := len(t.mean), len(doc)
	if d == 0 || len(x) != n*d || len(y) != n*d || lat.Rows() != n {
		return fmt.Errorf("sae: text errors: %d texts, %d values, %d reconstructed, %d rows of latents do not fit width %d", n, len(x), len(y), lat.Rows(), d)
	}
	for r, id := range doc {
		i, ok := t.place[id]
		if !ok {
			i = len(t.Doc)
			t.place[id] = i
			t.Doc, t.Rows, t.Active = append(t.Doc, id), append(t.Rows, 0), append(t.Active, 0)
			t.Error, t.Spread = append(t.Error, 0), append(t.Spread, 0)
		}
		t.Rows[i]++
		for j, v := range x[r*d : (r+1)*d] {
			e, c := float64(v)-float64(y[r*d+j]), float64(v)-t.mean[j]
			t.Error[i] += e * e
			t.Spread[i] += c * c
		}
		_, values := lat.Row(r)
		for _, v := range values {
			if v != 0 {
				t.Active[i]++
			}
		}
	}
	return nil
}

// FVUOf is the statistic of a resample of texts: their error over their spread.
func (t *TextErrors) FVUOf(index []int) float64 {
	e, s := 0.0, 0.0
	for _, i := range index {
		e, s = e+t.Error[i], s+t.Spread[i]
	}
	return e / s
}

// L0Of is the statistic of a resample of texts: active latents a row.
func (t *TextErrors) L0Of(index []int) float64 {
	a, n := 0, 0
	for _, i := range index {
		a, n = a+t.Active[i], n+t.Rows[i]
	}
	return float64(a) / float64(n)
}

// FVU is the fraction of variance unexplained with its interval over texts.
func (t *TextErrors) FVU(ctx context.Context, boot stats.BootstrapConfig) (stats.Interval, error) {
	return t.over(ctx, "FVU", t.FVUOf, boot)
}

// L0 is the mean number of active latents with its interval over texts; it has no width where every text has the same.
func (t *TextErrors) L0(ctx context.Context, boot stats.BootstrapConfig) (stats.Interval, error) {
	return t.over(ctx, "L0", t.L0Of, boot)
}

func (t *TextErrors) over(ctx context.Context, name string, s stats.Statistic, boot stats.BootstrapConfig) (stats.Interval, error) {
	n := len(t.Doc)
	if n == 0 {
		return stats.Interval{}, fmt.Errorf("sae: text errors: no rows were added: %w", stats.ErrTooFew)
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if v := s(all); sameForEach(s, n) {
		return stats.Interval{Value: v, Low: v, High: v, Level: boot.Level, N: n}, nil
	}
	i, err := bootstrapOver(ctx, n, s, boot)
	if err != nil {
		return i, fmt.Errorf("sae: text errors: %s: %w", name, err)
	}
	return i, nil
}
