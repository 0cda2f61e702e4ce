package sae

import (
	"context"
	"fmt"
	"math"

	"github.com/gomlx/compute"
)

// CoderResult are the measures of a coder on a set of rows. Errors of several sites add up; ratios are those of the sums.
type CoderResult struct {
	Rows       int64    `json:"rows"`
	L0         float64  `json:"l0"`  // mean number of active latents
	MSE        float64  `json:"mse"` // mean over rows of the squared error, summed over dimensions and sites
	FVU        float64  `json:"fvu"` // squared error of all sites over their variance
	Dead       int      `json:"dead"`
	AliveShare float64  `json:"alive_share"`
	Sites      []Result `json:"sites"` // of each reconstructed site; L0, L1 and dead are those of the whole coder

	Density   []float64        `json:"-"` // share of rows on which each latent is active
	Histogram DensityHistogram `json:"histogram"`
}

// EvaluateCoder measures a coder on at most limit rows of a source (limit < 1: all of them). A row is the inputs, site after
// site, and then, where something else is reconstructed, the targets. The rows of a temporal SAE come sequence by sequence, each
// as long as its metadata's context_size says, and batch and limit are whole numbers of sequences. A row that is not finite is an error, and so are rows without variance.
func EvaluateCoder(ctx context.Context, b compute.Backend, c Coder, rows Rows, batch int, limit int64) (CoderResult, error) {
	e, err := newEvaluation(b, c, batch)
	if err != nil {
		return CoderResult{}, err
	}
	defer e.run.Close()
	if limit < 1 {
		limit = math.MaxInt64
	}
	buf := make([]float32, batch*e.width)
	for e.seen < limit {
		want := int(min(int64(batch), limit-e.seen))
		n, err := fill(rows, buf[:want*e.width], e.width)
		if err != nil {
			return CoderResult{}, err
		}
		if n == 0 {
			break
		}
		if err := e.add(ctx, buf[:n*e.width]); err != nil {
			return CoderResult{}, err
		}
	}
	return e.result()
}

// evaluation gathers the measures of one coder.
type evaluation struct {
	shape   Shape
	width   int // of a row
	run     *CoderRunner
	metrics []*Metrics // of each reconstructed site
	seen    int64      // rows
}

func newEvaluation(b compute.Backend, c Coder, batch int) (*evaluation, error) {
	e := &evaluation{shape: c.Shape(), metrics: make([]*Metrics, c.Shape().OutSites)}
	var err error
	if e.run, err = NewCoderRunner(b, c, batch); err != nil {
		return nil, err
	}
	e.width = e.shape.InSites * e.shape.DIn
	if e.shape.Target {
		e.width += e.shape.OutSites * e.shape.DOut
	}
	for i := range e.metrics {
		e.metrics[i] = NewMetrics(e.shape.DOut, e.shape.Latents)
	}
	return e, nil
}

// add takes in rows, [n, width] with n at most the batch.
func (e *evaluation) add(ctx context.Context, part []float32) error {
	in, out := e.shape.InSites*e.shape.DIn, e.shape.OutSites*e.shape.DOut
	if i := firstNonFinite(part); i >= 0 {
		return fmt.Errorf("sae: evaluate: row %d, dimension %d is %v: %w; look at the store with `loupe store verify`", e.seen+int64(i/e.width), i%e.width, part[i], ErrNonFinite)
	}
	x, y := part, part
	if e.shape.Target {
		x, y = takeColumns(part, e.width, 0, in), takeColumns(part, e.width, in, e.width)
	}
	lat, got, err := e.run.Reconstruct(ctx, x)
	if err != nil {
		return err
	}
	d := e.shape.DOut
	for i, m := range e.metrics {
		if err := m.Add(takeColumns(y, out, i*d, (i+1)*d), takeColumns(got, out, i*d, (i+1)*d), lat); err != nil {
			return err
		}
	}
	e.seen += int64(len(part) / e.width)
	return nil
}

func (e *evaluation) result() (CoderResult, error) {
	if e.seen == 0 {
		return CoderResult{}, fmt.Errorf("sae: evaluate: the data has no rows; capture activations first")
	}
	return sumSites(e.metrics)
}

// takeColumns returns columns lo to hi of the rows of x, [n, width].
func takeColumns(x []float32, width, lo, hi int) []float32 {
	if lo == 0 && hi == width {
		return x
	}
	out := make([]float32, 0, len(x)/width*(hi-lo))
	for r := range len(x) / width {
		out = append(out, x[r*width+lo:r*width+hi]...)
	}
	return out
}

// sumSites makes the measures of a coder of those of its sites.
func sumSites(metrics []*Metrics) (CoderResult, error) {
	var out CoderResult
	var variance float64
	for i, m := range metrics {
		r := m.Result()
		if math.IsNaN(r.FVU) || math.IsInf(r.FVU, 0) {
			return out, fmt.Errorf("sae: evaluate: the %d rows of output site %d are all equal, so that no variance can be explained; take more rows", m.n, i)
		}
		out.Sites = append(out.Sites, r)
		out.MSE += r.MSE
		variance += m.variance() / float64(m.n)
	}
	first := out.Sites[0]
	out.Rows, out.L0, out.Dead, out.AliveShare, out.Density, out.Histogram = first.Rows, first.L0, first.Dead, first.AliveShare, first.Density, first.Histogram
	out.FVU = out.MSE / variance
	return out, nil
}
