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
// site, and then, where something else is reconstructed, the targets. The rows of a temporal SAE come sequence by sequence,
// and batch is a whole number of them. A row that is not finite is an error, and so are rows without variance.
func EvaluateCoder(ctx context.Context, b compute.Backend, c Coder, rows Rows, batch int, limit int64) (CoderResult, error) {
	sh := c.Shape()
	run, err := newCoderRunner(b, c, batch)
	if err != nil {
		return CoderResult{}, err
	}
	defer run.close()
	if limit < 1 {
		limit = math.MaxInt64
	}
	in, out := sh.InSites*sh.DIn, sh.OutSites*sh.DOut
	width := in
	if sh.Target {
		width += out
	}
	metrics := make([]*Metrics, sh.OutSites)
	for i := range metrics {
		metrics[i] = NewMetrics(sh.DOut, sh.Latents)
	}
	buf := make([]float32, batch*width)
	for seen := int64(0); seen < limit; {
		want := int(min(int64(batch), limit-seen))
		n, err := fill(rows, buf[:want*width], width)
		if err != nil {
			return CoderResult{}, err
		}
		if n == 0 {
			break
		}
		part := buf[:n*width]
		if i := firstNonFinite(part); i >= 0 {
			return CoderResult{}, fmt.Errorf("sae: evaluate: row %d, dimension %d is %v: %w; look at the store with `loupe store verify`", seen+int64(i/width), i%width, part[i], ErrNonFinite)
		}
		x, y := part, part
		if sh.Target {
			x, y = takeColumns(part, width, 0, in), takeColumns(part, width, in, width)
		}
		lat, got, err := run.reconstruct(ctx, x)
		if err != nil {
			return CoderResult{}, err
		}
		for i, m := range metrics {
			if err := m.Add(takeColumns(y, out, i*sh.DOut, (i+1)*sh.DOut), takeColumns(got, out, i*sh.DOut, (i+1)*sh.DOut), lat); err != nil {
				return CoderResult{}, err
			}
		}
		seen += int64(n)
	}
	if metrics[0].n == 0 {
		return CoderResult{}, fmt.Errorf("sae: evaluate: the data has no rows; capture activations first")
	}
	return sumSites(metrics)
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

// coderRunner applies a coder to batches of rows, as far as possible on a backend.
type coderRunner struct {
	reconstruct func(ctx context.Context, x []float32) (Latents, []float32, error)
	close       func()
}

func newCoderRunner(b compute.Backend, c Coder, batch int) (coderRunner, error) {
	host := coderRunner{
		reconstruct: func(ctx context.Context, x []float32) (Latents, []float32, error) {
			if err := ctx.Err(); err != nil {
				return Latents{}, nil, err
			}
			return c.Reconstruct(x)
		},
		close: func() {},
	}
	if x, ok := c.(*CLT); ok {
		return newCLTRunner(b, x, batch)
	}
	s, isSAE := c.(*SAE)
	if x, ok := c.(*Crosscoder); ok {
		flat, err := x.Flat()
		if err != nil {
			return host, x.Validate() // a decoupled one, or one that is wrong
		}
		s, isSAE = flat, true
	}
	if !isSAE || s.Temporal != nil {
		return host, c.Validate()
	}
	run, err := NewRunner(b, s, batch)
	if err != nil {
		return host, err
	}
	return coderRunner{reconstruct: run.Reconstruct, close: run.Close}, nil
}
