package features

import (
	"fmt"
	"maps"
	"slices"
)

// Ablation says what features outside a circuit take.
type Ablation string

// Zero; the mean over real positions of the clean runs; the mean over rows at the same count of real tokens (the paper's, for texts of one
// template); or the value of the paired corrupted run.
const (
	Zero           Ablation = "zero"
	Mean           Ablation = "mean"
	MeanPositional Ablation = "mean-positional"
	Patching       Ablation = "patching"
)

// Errors says what becomes of the sites' errors.
type Errors string

// An error is a node like the features, kept where the circuit has it; or every one is kept; or none is.
const (
	ErrorsAsNodes Errors = "nodes"
	ErrorsKept    Errors = "kept"
	ErrorsAblated Errors = "ablated"
)

// reference is what a site's parts take when they are ablated.
type reference struct {
	index [][]int32 // by slot
	value [][]float32
	error [][]float32 // nil: 0
	slot  []int       // of each place
}

// at returns what is put at a place.
func (r *reference) at(place int) (index []int32, value, rest []float32) {
	k := r.slot[place]
	return r.index[k], r.value[k], r.error[k]
}

// references computes an ablation's reference of every site.
func (c *Code) references(how Ablation) ([]*reference, error) {
	p := c.Task.Pairs
	places := p.Rows * p.Seq
	slot := make([]int, places)
	slots := 1
	switch how {
	case Zero, Mean:
	case MeanPositional:
		slots = p.Seq
		for r := range p.Rows {
			count := 0
			for i := range p.Seq {
				slot[r*p.Seq+i] = count
				if c.real(r*p.Seq + i) {
					count++
				}
			}
		}
		for i := range slot {
			slot[i] = min(slot[i], slots-1)
		}
	case Patching:
		slots = places
		for i := range slot {
			slot[i] = i
		}
	default:
		return nil, fmt.Errorf("features: ablation %q is none of %s, %s, %s, %s", how, Zero, Mean, MeanPositional, Patching)
	}
	var out []*reference
	for k, d := range c.Dictionaries {
		r := &reference{index: make([][]int32, slots), value: make([][]float32, slots), error: make([][]float32, slots), slot: slot}
		if how != Zero {
			c.sites[k].average(r, d.D, how == Patching, c.real)
		}
		out = append(out, r)
	}
	return out, nil
}

// real tells whether a place holds a token.
func (c *Code) real(place int) bool {
	mask := c.Task.Pairs.Mask
	return mask == nil || mask[place] != 0
}

// average fills a reference with the means of a site's code over the real places of each slot: of the clean input, or of the corrupted one.
func (s *siteCode) average(r *reference, d int, corrupted bool, real func(int) bool) {
	input := 0
	if corrupted {
		input = 1
	}
	count := make([]float64, len(r.index))
	sums := make([]map[int32]float64, len(r.index))
	rest := make([][]float64, len(r.index))
	for p, a := range s.active {
		k := r.slot[p]
		if !real(p) && !corrupted {
			continue
		}
		if sums[k] == nil {
			sums[k], rest[k] = map[int32]float64{}, make([]float64, d)
		}
		count[k]++
		for j, i := range a.index {
			if v := a.value[input][j]; v != 0 {
				sums[k][i] += float64(v)
			}
		}
		for j := range rest[k] {
			rest[k][j] += float64(s.errors[input][p*d+j])
		}
	}
	for k, sum := range sums {
		if count[k] == 0 {
			continue
		}
		r.index[k] = slices.Sorted(maps.Keys(sum))
		for _, i := range r.index[k] {
			r.value[k] = append(r.value[k], float32(sum[i]/count[k]))
		}
		r.error[k] = make([]float32, d)
		for j, v := range rest[k] {
			r.error[k][j] = float32(v / count[k])
		}
	}
}
