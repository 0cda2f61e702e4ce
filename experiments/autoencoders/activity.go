package autoencoders

import (
	"context"
	"math/rand/v2"

	"loupe/internal/lab"
	"loupe/probe/store"
	"loupe/sae"
)

// activity says where in the held-out texts each latent is most active.
type activity struct {
	first map[int64]int     // text -> its first row among the evaluator's
	count map[int64]int     // and how many it has
	peak  []map[int64]place // of each latent: text -> place
	order []int64           // texts in the order of the store
}

type place struct {
	row   int
	value float32
}

func (e *evaluator) activity(ctx context.Context, run *sae.Runner) (*activity, error) {
	a := &activity{first: map[int64]int{}, count: map[int64]int{}, peak: make([]map[int64]place, e.cfg.DSAE)}
	at := 0
	err := e.each(ctx, func(doc []int64, x []float32) error {
		lat, err := run.Encode(ctx, x)
		if err != nil {
			return err
		}
		for r, id := range doc {
			if a.count[id] == 0 {
				a.first[id] = at
				a.order = append(a.order, id)
			}
			a.count[id]++
			index, value := lat.Row(r)
			for j, l := range index {
				if value[j] <= 0 {
					continue
				}
				if a.peak[l] == nil {
					a.peak[l] = map[int64]place{}
				}
				if p, ok := a.peak[l][id]; !ok || value[j] > p.value {
					a.peak[l][id] = place{at, value[j]}
				}
			}
			at++
		}
		return nil
	})
	return a, err
}

// windows are held-out texts with a latent, around the place where it is most active, and others without it, around any
// place, drawn at random.
func (e *evaluator) windows(held *activity, latent int, rng *rand.Rand) (active, inactive []string, err error) {
	var with, without []int64
	for _, id := range held.order {
		if _, ok := held.peak[latent][id]; ok {
			with = append(with, id)
		} else {
			without = append(without, id)
		}
	}
	for _, part := range []struct {
		from []int64
		to   *[]string
		row  func(id int64) int
	}{
		{with, &active, func(id int64) int { return held.peak[latent][id].row }},
		{without, &inactive, func(id int64) int { return held.first[id] + rng.IntN(held.count[id]) }},
	} {
		rng.Shuffle(len(part.from), func(i, j int) { part.from[i], part.from[j] = part.from[j], part.from[i] })
		for _, id := range part.from[:e.cfg.Explain.Texts] {
			row, first := part.row(id), held.first[id]
			from, to := max(first, row-e.cfg.Explain.Context), min(first+held.count[id], row+e.cfg.Explain.Context+1)
			meta, err := e.st.TokenRows(e.rows[from:to])
			if err != nil {
				return nil, nil, err
			}
			s, err := e.Tokenizer.Decode(lab.Column(meta, func(m store.TokenRow) int32 { return m.Token }), true)
			if err != nil {
				return nil, nil, err
			}
			*part.to = append(*part.to, s)
		}
	}
	return active, inactive, nil
}
