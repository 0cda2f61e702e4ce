package circuits

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// TraceConfig says what causal tracing restores, and into which noise.
type TraceConfig struct {
	Site    model.Kind // what is restored: model.ResidPost (states), model.MLPOut or model.AttnOut
	Window  int        // layers restored together, around each: 1 for states, 10 for MLPs and attention in the paper
	Noise   float64    // standard deviations of the subject tokens' embeddings, all coordinates together: 3 in the paper
	Samples int        // draws of the noise: 10 in the paper
	Seed    uint64
	// Subject are each row's positions that the noise is put on; nil: those whose tokens differ between the clean and the corrupted input.
	Subject [][]int
}

// DefaultTrace restores single states, with the paper's noise of 3 standard deviations and 10 draws.
func DefaultTrace(seed uint64) TraceConfig {
	return TraceConfig{Site: model.ResidPost, Window: 1, Noise: 3, Samples: 10, Seed: seed}
}

// Trace is the result of causal tracing: losses, each the mean over the draws of the noise.
type Trace struct {
	Site     model.Kind
	Sigma    float64   // of the noise
	Subject  [][]int   // positions by row
	Clean    []float64 // [rows]
	Noised   []float64 // [rows]
	Restored []float64 // [rows,layers,seq]: with the clean value back around a layer, at a position
}

// CausalTrace is causal tracing (Meng et al., arXiv:2202.05262): the clean input runs with noise of Noise standard deviations on its subject's token embeddings,
// and again with the clean value of a site put back at one position and Window layers, from layer - Window/2 on. Noised - Restored is the
// indirect effect of a place, Noised - Clean the total one, as losses of the task's metric (Formula("prob(answer)", nil) is the paper's). It holds for every
// model that has the site. One pass for every Options.SweepRows rows and places, per draw.
func CausalTrace(ctx context.Context, t *Task, cfg TraceConfig) (*Trace, error) {
	s, p := t.Model.Spec, t.Pairs
	switch {
	case cfg.Window < 1 || cfg.Samples < 1 || cfg.Noise <= 0:
		return nil, fmt.Errorf("circuits: causal tracing with a window of %d, %d samples and noise %g; all must be positive", cfg.Window, cfg.Samples, cfg.Noise)
	case !cfg.Site.InBlock() || cfg.Site.Axes() != "btd":
		return nil, fmt.Errorf("circuits: causal tracing restores a state of every position such as %s, %s or %s, not %s", model.ResidPost.Name(), model.MLPOut.Name(), model.AttnOut.Name(), cfg.Site.Name())
	}
	if err := s.Has(model.Site{Kind: cfg.Site}); err != nil {
		return nil, err
	}
	subject, err := p.subject(cfg.Subject)
	if err != nil {
		return nil, err
	}
	out := &Trace{Site: cfg.Site, Subject: subject, Clean: t.CleanLoss}
	var sum, square, n float64
	err = t.each(func(c *Task) error {
		x, err := c.embeddings(ctx)
		if err != nil {
			return err
		}
		for r := range c.real {
			for _, at := range subject[c.row(r)] {
				for _, v := range x[(r*p.Seq+at)*s.DModel:][:s.DModel] {
					sum, square, n = sum+float64(v), square+float64(v)*float64(v), n+1
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Sigma = cfg.Noise * math.Sqrt(max(square/n-sum/n*sum/n, 0))
	places := s.Layers * p.Seq
	both, err := byRow(t, func(c *Task) ([]float64, error) { return c.trace(ctx, cfg, subject, out.Sigma) })
	if err != nil {
		return nil, err
	}
	for r := range p.Rows { // the last place of a row is the run in which nothing is restored
		row := both[r*(places+1) : (r+1)*(places+1)]
		out.Restored, out.Noised = append(out.Restored, row[:places]...), append(out.Noised, row[places])
	}
	return out, nil
}

// subject checks the positions of each row, or finds those at which the tokens differ.
func (p *Pairs) subject(given [][]int) ([][]int, error) {
	if given != nil && len(given) != p.Rows {
		return nil, fmt.Errorf("circuits: subjects of %d rows for %d", len(given), p.Rows)
	}
	out := make([][]int, p.Rows)
	for r := range out {
		for at := range p.Seq {
			if i := r*p.Seq + at; given == nil && p.real(i) && p.Clean[i] != p.Corrupted[i] {
				out[r] = append(out[r], at)
			}
		}
		if given != nil {
			out[r] = given[r]
		}
		for _, at := range out[r] {
			if at < 0 || at >= p.Seq || !p.real(r*p.Seq+at) {
				return nil, fmt.Errorf("circuits: row %d: its subject is at position %d, which holds no token", r, at)
			}
		}
		if len(out[r]) == 0 {
			return nil, fmt.Errorf("circuits: row %d has no subject to put noise on", r)
		}
	}
	return out, nil
}

// row is the whole task's row of a chunk's row.
func (t *Task) row(r int) int {
	if t.index == nil {
		return r
	}
	return t.index[r]
}

// embeddings returns the clean input's token embeddings [b,t,d].
func (t *Task) embeddings(ctx context.Context) ([]float32, error) {
	site := model.Site{Kind: model.Embed}
	values, err := t.CaptureSites(ctx, t.Pairs.Clean, []model.Site{site})
	return values[site], err
}

// trace returns [b,layers*t+1] of a task without chunks: the loss with each place restored and with none.
func (t *Task) trace(ctx context.Context, cfg TraceConfig, subject [][]int, sigma float64) ([]float64, error) {
	s, p := t.Model.Spec, t.Pairs
	embeddings, err := t.embeddings(ctx)
	if err != nil {
		return nil, err
	}
	states, err := t.blocks(ctx, p.Clean, cfg.Site)
	if err != nil {
		return nil, err
	}
	rows := p.Rows * t.copies
	plan := model.Plan{Batch: rows, Seq: p.Seq, Edits: []model.Edit{{Site: model.Embed, Replace: true}, {Site: cfg.Site, Replace: true, SourcePerLayer: true}}}
	t.metric.apply(&plan)
	noisy := make([]float32, rows*p.Seq)
	for c := range t.copies {
		for r := range p.Rows {
			for _, at := range subject[t.row(r)] {
				noisy[(c*p.Rows+r)*p.Seq+at] = 1
			}
		}
	}
	var clean []float32
	for _, x := range states[cfg.Site] {
		clean = append(clean, tile(x, t.copies)...)
	}
	put := tensors.FromFlatDataAndDimensions(noisy, 1, rows, p.Seq)
	source := tensors.FromFlatDataAndDimensions(clean, s.Layers, rows, p.Seq, s.DModel)
	places := s.Layers * p.Seq
	out := make([]float64, p.Rows*(places+1))
	for sample := range cfg.Samples {
		noised := t.noised(embeddings, subject, sigma, cfg.Seed, sample)
		given := tensors.FromFlatDataAndDimensions(tile(noised, t.copies), rows, p.Seq, s.DModel)
		for from := 0; from <= places; from += t.copies {
			n := min(t.copies, places+1-from)
			where := make([]float32, s.Layers*rows*p.Seq)
			for c := range n {
				layer, at := (from+c)/p.Seq, (from+c)%p.Seq
				if layer == s.Layers {
					continue
				}
				first := layer - cfg.Window/2
				for l := max(first, 0); l < min(first+cfg.Window, s.Layers); l++ {
					for r := range p.Rows {
						where[(l*rows+c*p.Rows+r)*p.Seq+at] = 1
					}
				}
			}
			back := tensors.FromFlatDataAndDimensions(where, s.Layers, rows, p.Seq)
			result, err := t.run(ctx, plan, p.Clean, t.copies, nil, []map[string]*tensors.Tensor{{"source": given, "where": put}, {"source": source, "where": back}})
			if err != nil {
				return nil, err
			}
			loss, err := losses(result)
			if err := errors.Join(err, back.FinalizeAll()); err != nil {
				return nil, err
			}
			for c := range n {
				for r := range p.Rows {
					out[r*(places+1)+from+c] += loss[c*p.Rows+r] / float64(cfg.Samples)
				}
			}
		}
		if err := given.FinalizeAll(); err != nil {
			return nil, fmt.Errorf("circuits: %w", err)
		}
	}
	return out, errors.Join(put.FinalizeAll(), source.FinalizeAll())
}

// noised is x [b,t,d] with noise at the subjects' positions. A row's noise depends on the seed, the draw and the row in the whole task alone.
func (t *Task) noised(x []float32, subject [][]int, sigma float64, seed uint64, sample int) []float32 {
	out := append([]float32{}, x...)
	d := t.Model.Spec.DModel
	for r := range t.Pairs.Rows {
		random := rand.New(rand.NewPCG(seed, uint64(sample)<<32|uint64(t.row(r))))
		for _, at := range subject[t.row(r)] {
			for i := range d {
				out[(r*t.Pairs.Seq+at)*d+i] += float32(sigma * random.NormFloat64())
			}
		}
	}
	return out
}
