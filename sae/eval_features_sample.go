package sae

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// rowSample keeps every stride-th row; when it is full, every other row goes and the stride doubles, so that the rows
// kept are spread evenly over all that came and depend on nothing but their order.
type rowSample struct {
	limit  int
	stride int64
	rows   []sampledRow
}

type sampledRow struct {
	row      int64 // among all rows
	number   int64 // among those that count
	index    []int32
	value    []float32
	concepts []bool
}

func newRowSample(limit int) rowSample { return rowSample{limit: limit, stride: 1} }

// offer takes in a row, the number-th of those that count, if it is one of the stride.
func (s *rowSample) offer(row, number int64, index []int32, value []float32, has func(concept int) bool, concepts int) {
	if number%s.stride != 0 {
		return
	}
	if len(s.rows) == s.limit {
		s.stride *= 2
		s.rows = slices.DeleteFunc(s.rows, func(r sampledRow) bool { return r.number%s.stride != 0 })
		if number%s.stride != 0 {
			return
		}
	}
	kept := sampledRow{row: row, number: number}
	for j, l := range index {
		if value[j] != 0 {
			kept.index, kept.value = append(kept.index, l), append(kept.value, value[j])
		}
	}
	for c := range concepts {
		kept.concepts = append(kept.concepts, has(c))
	}
	s.rows = append(s.rows, kept)
}

// posting is a sampled row on which a latent is active.
type posting struct {
	row   int32 // in the sample
	value float32
}

// postings lists, for each of f latents, the sampled rows on which it is active.
func (s *rowSample) postings(f int) [][]posting {
	out := make([][]posting, f)
	for r, row := range s.rows {
		for j, l := range row.index {
			out[l] = append(out[l], posting{int32(r), row.value[j]})
		}
	}
	return out
}

// correlated finds for each latent the k others of largest Pearson correlation over the sample; of equal ones the first,
// and only those that were ever active together. Its cost is the sum of the rows' squared L0.
func (s *rowSample) correlated(ctx context.Context, lists [][]posting, k int) ([]ranking, error) {
	n, f := float64(len(s.rows)), len(lists)
	sum, spread := make([]float64, f), make([]float64, f)
	for l, list := range lists {
		sq := 0.0
		for _, p := range list {
			sum[l] += float64(p.value)
			sq += float64(p.value) * float64(p.value)
		}
		spread[l] = math.Sqrt(max(0, sq-sum[l]*sum[l]/n))
	}
	out := make([]ranking, f)
	cross := make([]float64, f)
	for l, list := range lists {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("sae: features: correlations stopped at latent %d of %d: %w", l, f, err)
		}
		var met []int32
		for _, p := range list {
			row := s.rows[p.row]
			for j, other := range row.index {
				if cross[other] == 0 {
					met = append(met, other)
				}
				cross[other] += float64(p.value) * float64(row.value[j])
			}
		}
		slices.Sort(met)
		out[l].limit = k
		for _, other := range slices.Compact(met) {
			if int(other) != l && spread[l] > 0 && spread[other] > 0 {
				out[l].offer((cross[other]-sum[l]*sum[other]/n)/(spread[l]*spread[other]), int64(other))
			}
			cross[other] = 0
		}
	}
	return out, nil
}

// tokenShares finds the k tokens that carry the largest shares of a latent's activation over the sample.
func (s *rowSample) tokenShares(list []posting, tokens []int32, k int) []scored {
	share := map[int32]float64{}
	total := 0.0
	for _, p := range list {
		share[tokens[s.rows[p.row].row]] += math.Abs(float64(p.value))
		total += math.Abs(float64(p.value))
	}
	top := ranking{limit: k}
	for _, token := range sortedKeys(share) {
		top.offer(share[token]/total, int64(token))
	}
	return top.kept
}

// conceptAUC is the area under the ROC curve of a latent's activation as a detector of a concept over the sample, 0 for
// inactive rows; NaN where no or every row has the concept.
func (s *rowSample) conceptAUC(list []posting, concept int) float64 {
	type group struct{ value, pos, neg float64 }
	pos, neg := 0.0, 0.0
	for _, r := range s.rows {
		if r.concepts[concept] {
			pos++
		} else {
			neg++
		}
	}
	if pos == 0 || neg == 0 {
		return math.NaN()
	}
	groups := make([]group, 0, len(list)+1)
	idle := group{0, pos, neg}
	for _, p := range list {
		g := group{value: float64(p.value)}
		if s.rows[p.row].concepts[concept] {
			g.pos, idle.pos = 1, idle.pos-1
		} else {
			g.neg, idle.neg = 1, idle.neg-1
		}
		groups = append(groups, g)
	}
	groups = append(groups, idle)
	slices.SortFunc(groups, func(a, b group) int { return cmp.Compare(a.value, b.value) })
	wins, below := 0.0, 0.0
	for from := 0; from < len(groups); {
		tiedPos, tiedNeg, to := 0.0, 0.0, from
		for ; to < len(groups) && groups[to].value == groups[from].value; to++ {
			tiedPos, tiedNeg = tiedPos+groups[to].pos, tiedNeg+groups[to].neg
		}
		wins += tiedPos * (below + tiedNeg/2)
		below += tiedNeg
		from = to
	}
	return wins / (pos * neg)
}
