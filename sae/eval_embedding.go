package sae

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/stats"
	"loupe/probe/model"
)

// EmbeddingReport says what a splice does to a text encoder's pooled embeddings. Intervals are over texts.
type EmbeddingReport struct {
	Texts      int            `json:"texts"`
	Cosine     stats.Interval `json:"cosine"`      // mean cosine of a text's embedding before and after
	Drift      stats.Interval `json:"drift"`       // mean |after - before| / |before|
	Neighbours stats.Interval `json:"knn_overlap"` // mean share of a text's k nearest neighbours that stay
	K          int            `json:"k"`
}

// TextShifts are what a splice does to each text's embedding.
type TextShifts struct {
	Cosine     []float64 `json:"cosine"`      // of the embedding before and after
	Drift      []float64 `json:"drift"`       // |after - before| / |before|
	Neighbours []float64 `json:"knn_overlap"` // share of the k nearest neighbours that stay
	K          int       `json:"k"`
}

// CompareEmbeddings compares the embeddings of n texts before and after a splice, both [n, d]: their drift, and whether each
// text keeps its k nearest other texts by cosine. Chance keeps k / (n-1) of them.
func CompareEmbeddings(ctx context.Context, before, after []float32, d, k int, boot stats.BootstrapConfig) (EmbeddingReport, error) {
	t, err := ShiftsOf(ctx, before, after, d, k)
	if err != nil {
		return EmbeddingReport{}, err
	}
	r := EmbeddingReport{Texts: len(t.Cosine), K: k}
	for into, values := range map[*stats.Interval][]float64{&r.Cosine: t.Cosine, &r.Drift: t.Drift, &r.Neighbours: t.Neighbours} {
		if *into, err = MeanInterval(ctx, values, boot); err != nil {
			return EmbeddingReport{}, fmt.Errorf("sae: embeddings: %w", err)
		}
	}
	return r, nil
}

// ShiftsOf is [CompareEmbeddings] text by text, for comparisons of several splices over the same texts.
func ShiftsOf(ctx context.Context, before, after []float32, d, k int) (TextShifts, error) {
	if d < 1 || len(before)%d != 0 || len(after) != len(before) {
		return TextShifts{}, fmt.Errorf("sae: embeddings: %d and %d values are not rows of width %d", len(before), len(after), d)
	}
	n := len(before) / d
	a, aNorm := unitRows(before, d)
	b, bNorm := unitRows(after, d)
	if i := slices.Index(aNorm, 0); i >= 0 {
		return TextShifts{}, fmt.Errorf("sae: embeddings: text %d has an embedding of norm 0: %w", i, stats.ErrDegenerate)
	}
	wasNear, err := neighbours(ctx, a, d, k)
	if err != nil {
		return TextShifts{}, err
	}
	isNear, err := neighbours(ctx, b, d, k)
	if err != nil {
		return TextShifts{}, err
	}
	t := TextShifts{Cosine: make([]float64, n), Drift: make([]float64, n), Neighbours: make([]float64, n), K: k}
	for i := range n {
		t.Cosine[i] = inner(a[i*d:(i+1)*d], b[i*d:(i+1)*d])
		sq := 0.0
		for j := range d {
			e := bNorm[i]*b[i*d+j] - aNorm[i]*a[i*d+j]
			sq += e * e
		}
		t.Drift[i] = math.Sqrt(sq) / aNorm[i]
		kept := 0
		for _, other := range isNear.index[i*k : (i+1)*k] {
			if slices.Contains(wasNear.index[i*k:(i+1)*k], other) {
				kept++
			}
		}
		t.Neighbours[i] = float64(kept) / float64(k)
	}
	return t, nil
}

// ZeroShotAgreement is the share of texts whose nearest label, by cosine of the embeddings, is the same before and after a
// splice. before and after are [n, d], labels [c, d], c at least 2.
func ZeroShotAgreement(before, after, labels []float32, d int, level float64) (stats.Interval, error) {
	if d < 1 || len(before)%d != 0 || len(after) != len(before) || len(labels) < 2*d || len(labels)%d != 0 {
		return stats.Interval{}, fmt.Errorf("sae: zero-shot agreement: %d, %d and %d values are not rows of width %d with two labels or more", len(before), len(after), len(labels), d)
	}
	a, _ := unitRows(before, d)
	b, _ := unitRows(after, d)
	l, _ := unitRows(labels, d)
	nearestLabel := func(x []float64) int {
		best, at := math.Inf(-1), 0
		for c := range len(labels) / d {
			if v := inner(x, l[c*d:(c+1)*d]); v > best {
				best, at = v, c
			}
		}
		return at
	}
	n, same := len(before)/d, 0
	for i := range n {
		if nearestLabel(a[i*d:(i+1)*d]) == nearestLabel(b[i*d:(i+1)*d]) {
			same++
		}
	}
	return stats.Wilson(same, n, level)
}

// unitRows returns the rows of x scaled to norm 1, and their norms.
func unitRows(x []float32, d int) (unit, norm []float64) {
	unit = make([]float64, len(x))
	for i, v := range x {
		unit[i] = float64(v)
	}
	for i := range len(x) / d {
		row := unit[i*d : (i+1)*d]
		norm = append(norm, math.Sqrt(inner(row, row)))
		unitRow(row)
	}
	return unit, norm
}

// SpliceEmbeddings returns the pooled embeddings, [texts, width], of every text of the batches under the variants asked for,
// with their width. The splicer's plan must capture pooled, a site of shape [b,width] such as "sentence" or "text_embeds".
// Rows without a real token are left out.
func SpliceEmbeddings(ctx context.Context, s *Splicer, pooled model.Site, batches []TokenBatch, ask []Variant) (map[Variant][]float32, int, error) {
	if len(pooled.Kind.Axes()) != 2 || !slices.Contains(s.plan.Captures, model.Capture{Site: pooled}) {
		return nil, 0, fmt.Errorf("sae: splice embeddings: site %s is not a pooled capture of the splicer's plan; give the plan a capture such as \"sentence\"", pooled)
	}
	if slices.Contains(ask, VariantMean) {
		if err := s.ensureMean(ctx, batches); err != nil {
			return nil, 0, err
		}
	}
	width := s.model.Spec.Width(pooled.Kind, s.plan.Seq)
	out := map[Variant][]float32{}
	for _, b := range batches {
		err := s.Run(ctx, b, ask, func(v Variant, o *model.Outputs) error {
			rows, err := tensors.CopyFlatData[float32](o.Site(pooled))
			if err != nil {
				return fmt.Errorf("read %s: %w", pooled, err)
			}
			for r := range s.plan.Batch {
				if b.hasText(r, s.plan.Seq) {
					out[v] = append(out[v], rows[r*width:(r+1)*width]...)
				}
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, width, nil
}

// hasText tells whether row r holds a real token.
func (b TokenBatch) hasText(r, seq int) bool {
	for i := r * seq; i < (r+1)*seq; i++ {
		if b.real(i) {
			return true
		}
	}
	return false
}
