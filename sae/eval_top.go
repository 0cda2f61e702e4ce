package sae

import "slices"

// scored is a candidate with its score.
type scored struct {
	score float64
	at    int64
}

// ranking keeps the limit candidates of largest score seen; of equal scores those offered first.
type ranking struct {
	limit int
	kept  []scored // falling
}

// offer takes in a candidate.
func (r *ranking) offer(score float64, at int64) bool {
	if len(r.kept) == r.limit {
		if r.limit == 0 || score <= r.kept[r.limit-1].score {
			return false
		}
		r.kept = r.kept[:r.limit-1]
	}
	i, _ := slices.BinarySearchFunc(r.kept, score, func(e scored, s float64) int {
		if e.score >= s {
			return -1
		}
		return 1
	})
	r.kept = slices.Insert(r.kept, i, scored{score, at})
	return true
}

// falling returns the candidates kept, the largest first.
func (r *ranking) falling() []scored { return r.kept }
