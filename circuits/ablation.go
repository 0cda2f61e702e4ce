package circuits

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// Ablation says what cut senders write instead of their own output.
type Ablation string

// Ablations. Patching takes the outputs on the paired corrupted input; Zero nothing; Mean the mean over all real positions of the
// clean batch; MeanPositional that over the rows at the same count of real tokens before; Resample another row's clean run;
// Gaussian draws around the mean with each coordinate's standard deviation; Optimal the constants that harm least on average
// over random cuts (OptimalReference).
const (
	Patching       Ablation = "patching"
	Zero           Ablation = "zero"
	Mean           Ablation = "mean"
	MeanPositional Ablation = "mean_positional"
	Resample       Ablation = "resample"
	Gaussian       Ablation = "noise"
	Optimal        Ablation = "optimal"
)

// Ablations lists them.
var Ablations = []Ablation{Patching, Zero, Mean, MeanPositional, Resample, Gaussian, Optimal}

// Reference returns what cut senders write under an ablation. Resample draws a permutation without fixed points from seed,
// Gaussian its noise, Optimal the cuts it learns from; the others ignore it.
func (t *Task) Reference(ctx context.Context, kind Ablation, seed uint64) (*Reference, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	switch kind {
	case Patching:
		return t.perChunk(ctx, kind, func(ctx context.Context, c *Task) (*Reference, error) {
			cache, err := c.senders(ctx)
			if err != nil {
				return nil, err
			}
			return cache.corrupted, nil
		})
	case Zero:
		return t.perChunk(ctx, kind, func(_ context.Context, c *Task) (*Reference, error) {
			return c.reference(string(kind), make([]float32, c.Pairs.Rows*c.Pairs.Seq*len(c.Graph.Senders)*c.Model.Spec.DModel)), nil
		})
	case Mean, MeanPositional:
		return t.meanReference(ctx, kind)
	case Resample:
		order, err := derangement(t.Pairs.Rows, seed)
		if err != nil {
			return nil, err
		}
		return t.ResampleReference(ctx, order)
	case Gaussian:
		return t.noiseReference(ctx, seed)
	case Optimal:
		return OptimalReference(ctx, t, DefaultOptimal(seed))
	}
	return nil, fmt.Errorf("circuits: ablation %q is none of %v", kind, Ablations)
}

// perChunk makes a reference by build for each chunk, when it is needed.
func (t *Task) perChunk(ctx context.Context, kind Ablation, build func(ctx context.Context, c *Task) (*Reference, error)) (*Reference, error) {
	if t.chunks == nil {
		return build(ctx, t)
	}
	return &Reference{Name: string(kind), part: build}, nil
}

// ResampleReference gives row b the clean run of row order[b], position by position.
func (t *Task) ResampleReference(ctx context.Context, order []int) (*Reference, error) {
	if t.noEdges != nil {
		return nil, t.noEdges
	}
	if len(order) != t.Pairs.Rows {
		return nil, fmt.Errorf("circuits: a permutation of %d for %d rows", len(order), t.Pairs.Rows)
	}
	for _, from := range order {
		if from < 0 || from >= t.Pairs.Rows {
			return nil, fmt.Errorf("circuits: a permutation names row %d of %d", from, t.Pairs.Rows)
		}
	}
	return t.perChunk(ctx, Resample, func(ctx context.Context, c *Task) (*Reference, error) {
		if c.index != nil { // the rows are in other chunks
			from := pick(order, c.index, 1)
			values, err := t.part(from, len(from)).senderOutputs(ctx, pick(t.Pairs.Clean, from, t.Pairs.Seq))
			return c.reference(string(Resample), values), err
		}
		cache, err := c.senders(ctx)
		if err != nil {
			return nil, err
		}
		return c.reference(string(Resample), pick(cache.clean.values, order, len(cache.clean.values)/len(order))), nil
	})
}

// meanReference averages each sender over real positions of all rows: all of them, or those with the same position id (the count of
// real tokens before).
func (t *Task) meanReference(ctx context.Context, kind Ablation) (*Reference, error) {
	width := len(t.Graph.Senders) * t.Model.Spec.DModel
	sums, counts := make([]float64, t.Pairs.Seq*width), make([]float64, t.Pairs.Seq)
	err := t.each(func(c *Task) error {
		cache, err := c.senders(ctx)
		if err != nil {
			return err
		}
		for i, g := range c.Pairs.groups(kind)[:c.real*c.Pairs.Seq] {
			if !c.Pairs.real(i) {
				continue
			}
			counts[g]++
			for k, v := range cache.clean.values[i*width : (i+1)*width] {
				sums[g*width+k] += float64(v)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t.perChunk(ctx, kind, func(_ context.Context, c *Task) (*Reference, error) {
		values := make([]float32, c.Pairs.Rows*c.Pairs.Seq*width)
		for i, g := range c.Pairs.groups(kind) {
			for k := range width {
				values[i*width+k] = float32(sums[g*width+k] / max(counts[g], 1))
			}
		}
		return c.reference(string(kind), values), nil
	})
}

// groups says over which places a mean is taken: 0 for all, or the place's position id.
func (p *Pairs) groups(kind Ablation) []int {
	group := make([]int, p.Rows*p.Seq)
	for r := range p.Rows {
		count := -1
		for i := r * p.Seq; i < (r+1)*p.Seq; i++ {
			if p.real(i) {
				count++
			}
			if kind == MeanPositional {
				group[i] = max(count, 0)
			}
		}
	}
	return group
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
