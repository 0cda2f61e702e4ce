package circuits

import (
	"context"
	"math"
	"math/rand/v2"
)

// noiseReference draws what each sender writes, for every row, position and coordinate by itself, from a normal distribution with the mean
// and the standard deviation that the coordinate has over all real positions of the clean batch. Row r draws from (seed, r), so chunks draw
// what one batch does.
func (t *Task) noiseReference(ctx context.Context, seed uint64) (*Reference, error) {
	mean, deviation, err := t.senderMoments(ctx)
	if err != nil {
		return nil, err
	}
	return t.perChunk(ctx, Gaussian, func(_ context.Context, c *Task) (*Reference, error) {
		values := make([]float32, c.Pairs.Rows*c.Pairs.Seq*len(mean))
		per := len(values) / c.Pairs.Rows
		for row := range c.Pairs.Rows {
			of := row
			if c.index != nil {
				of = c.index[row]
			}
			r := rand.New(rand.NewPCG(seed, uint64(of)))
			for i := range per {
				k := i % len(mean)
				values[row*per+i] = float32(mean[k] + deviation[k]*r.NormFloat64())
			}
		}
		return c.reference(string(Gaussian), values), nil
	})
}

// senderMoments are the mean and the standard deviation (divided by n), [u*d], of what each sender writes over the real positions of the
// clean batch.
func (t *Task) senderMoments(ctx context.Context) (mean, deviation []float64, err error) {
	width := len(t.Graph.Senders) * t.Model.Spec.DModel
	mean, deviation = make([]float64, width), make([]float64, width)
	sum := func(into []float64, term func(k int, v float64) float64) (n float64, err error) {
		err = t.each(func(c *Task) error {
			cache, err := c.senders(ctx)
			if err != nil {
				return err
			}
			for i := range c.real * c.Pairs.Seq {
				if !c.Pairs.real(i) {
					continue
				}
				n++
				for k, v := range cache.clean.values[i*width : (i+1)*width] {
					into[k] += term(k, float64(v))
				}
			}
			return nil
		})
		return n, err
	}
	n, err := sum(mean, func(_ int, v float64) float64 { return v })
	if err != nil {
		return nil, nil, err
	}
	for k := range mean {
		mean[k] /= n
	}
	if _, err = sum(deviation, func(k int, v float64) float64 { return (v - mean[k]) * (v - mean[k]) }); err != nil {
		return nil, nil, err
	}
	for k, v := range deviation {
		deviation[k] = math.Sqrt(v / n)
	}
	return mean, deviation, nil
}
