package circuits

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// Ablation says what cut senders write instead of their own output.
type Ablation string

// Ablations. Patching takes the outputs on the paired corrupted input; Zero nothing; Mean the mean over all real positions of the
// clean batch; MeanPositional that over the rows at the same count of real tokens before; Resample another row's clean run.
const (
	Patching       Ablation = "patching"
	Zero           Ablation = "zero"
	Mean           Ablation = "mean"
	MeanPositional Ablation = "mean_positional"
	Resample       Ablation = "resample"
)

// Ablations lists them.
var Ablations = []Ablation{Patching, Zero, Mean, MeanPositional, Resample}

// Reference returns what cut senders write under an ablation. Resample draws a permutation without fixed points from seed; the
// others ignore it.
func (t *Task) Reference(ctx context.Context, kind Ablation, seed uint64) (*Reference, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	switch kind {
	case Patching:
		return cache.corrupted, nil
	case Zero:
		return t.reference(string(kind), make([]float32, len(cache.clean.values))), nil
	case Mean, MeanPositional:
		return t.meanReference(cache.clean, kind == MeanPositional), nil
	case Resample:
		order, err := derangement(t.Pairs.Rows, seed)
		if err != nil {
			return nil, err
		}
		return t.ResampleReference(ctx, order)
	}
	return nil, fmt.Errorf("circuits: ablation %q is none of %v", kind, Ablations)
}

// ResampleReference gives row b the clean run of row order[b], position by position.
func (t *Task) ResampleReference(ctx context.Context, order []int) (*Reference, error) {
	cache, err := t.senders(ctx)
	if err != nil {
		return nil, err
	}
	if len(order) != t.Pairs.Rows {
		return nil, fmt.Errorf("circuits: a permutation of %d for %d rows", len(order), t.Pairs.Rows)
	}
	per := len(cache.clean.values) / t.Pairs.Rows
	values := make([]float32, 0, len(cache.clean.values))
	for _, from := range order {
		if from < 0 || from >= t.Pairs.Rows {
			return nil, fmt.Errorf("circuits: a permutation names row %d of %d", from, t.Pairs.Rows)
		}
		values = append(values, cache.clean.values[from*per:(from+1)*per]...)
	}
	return t.reference(string(Resample), values), nil
}

// meanReference averages each sender over real positions: all of them, or those with the same position id (the count of real
// tokens before).
func (t *Task) meanReference(clean *Reference, positional bool) *Reference {
	p := t.Pairs
	width := len(t.Graph.Senders) * t.Model.Spec.DModel
	group := make([]int, p.Rows*p.Seq)
	for r := range p.Rows {
		count := -1
		for i := r * p.Seq; i < (r+1)*p.Seq; i++ {
			if p.real(i) {
				count++
			}
			if positional {
				group[i] = max(count, 0)
			}
		}
	}
	sums, counts := make([]float64, p.Seq*width), make([]float64, p.Seq)
	for i, g := range group {
		if !p.real(i) {
			continue
		}
		counts[g]++
		for k, v := range clean.values[i*width : (i+1)*width] {
			sums[g*width+k] += float64(v)
		}
	}
	values := make([]float32, len(clean.values))
	for i, g := range group {
		for k := range width {
			values[i*width+k] = float32(sums[g*width+k] / max(counts[g], 1))
		}
	}
	name := Mean
	if positional {
		name = MeanPositional
	}
	return t.reference(string(name), values)
}

// derangement is a permutation of n rows that leaves none in its place.
func derangement(n int, seed uint64) ([]int, error) {
	if n < 2 {
		return nil, fmt.Errorf("circuits: resample ablation needs other rows; the batch has %d", n)
	}
	r := rand.New(rand.NewPCG(seed, 0x726573616d706c65))
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	for i := n - 1; i > 0; i-- { // Sattolo's algorithm: one cycle
		j := r.IntN(i)
		order[i], order[j] = order[j], order[i]
	}
	return order, nil
}
