package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
)

// Run measures one method beside doing nothing and a random subspace. progress is told of each fit; nil: nobody is.
func Run(ctx context.Context, e *encoder.Encoder, m method.Method, conf any, cfg Config, progress func(step string)) (*Row, error) {
	s, err := NewSuite(ctx, e, cfg)
	if err != nil {
		return nil, err
	}
	return s.Row(ctx, m, m.Name, conf, progress)
}

// Row measures one method; label names it where several rows are of the same.
func (s *Suite) Row(ctx context.Context, m method.Method, label string, conf any, progress func(step string)) (*Row, error) {
	row, err := s.measure(ctx, m, label, conf, progress)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %s: %w", label, err)
	}
	return row, s.judge(ctx, row)
}

// fitted is a variant with what it cost.
type fitted struct {
	*encoder.Variant
	task      *method.Task
	seconds   float64
	allocated int64
}

func (s *Suite) fit(ctx context.Context, m method.Method, conf any, t *method.Task) (*fitted, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	v, err := m.Fit(ctx, s.e, t, conf)
	if err != nil {
		return nil, err
	}
	f := &fitted{Variant: v, task: t, seconds: time.Since(start).Seconds()}
	runtime.ReadMemStats(&after)
	f.allocated = int64(after.TotalAlloc - before.TotalAlloc)
	return f, nil
}

// free releases weights that the variant alone holds.
func (s *Suite) free(v *encoder.Variant) error {
	if v.Params == nil || v.Params == s.e.Model.Params {
		return nil
	}
	return v.Params.FreeUnshared(s.e.Model.Params)
}

// Erased are the names of the concepts that are erased one by one.
func (s *Suite) Erased() []string {
	if len(s.cfg.Task.Erase) > 0 {
		return s.cfg.Task.Erase
	}
	names := make([]string, len(s.domain))
	for i, c := range s.domain {
		names[i] = c.Name
	}
	return names
}

// task is that of one concept and one seed; from the second seed on it has three quarters of the templates.
func (s *Suite) task(name string, seed int) (*method.Task, error) {
	cfg := s.cfg.Task
	cfg.Erase = []string{name}
	cfg.Seed += int64(seed)
	t, err := method.NewTask(cfg)
	if err != nil || seed == 0 {
		return t, err
	}
	for _, list := range [][]method.Target{t.Erase, t.Keep, t.Cross} {
		for i := range list {
			thin(&list[i], uint64(cfg.Seed))
		}
	}
	return t, nil
}

// thin keeps three quarters of a target's fitting templates, the same for every target of a seed.
func thin(c *method.Target, seed uint64) {
	n := len(c.Fit)
	keep := rand.New(rand.NewPCG(seed, 0x74656d706c)).Perm(n)[:max(n*3/4, 1)] // "templ"
	slices.Sort(keep)
	some := func(list []string) []string {
		if len(list) != n {
			return list
		}
		out := make([]string, len(keep))
		for i, k := range keep {
			out[i] = list[k]
		}
		return out
	}
	c.Fit, c.AnchorFit = some(c.Fit), some(c.AnchorFit)
	for i := range c.NeighbourFit {
		c.NeighbourFit[i] = some(c.NeighbourFit[i])
	}
	for i := range c.SynonymFit {
		c.SynonymFit[i] = some(c.SynonymFit[i])
	}
}

// measure fits every concept with every seed and takes the samples together.
func (s *Suite) measure(ctx context.Context, m method.Method, label string, conf any, progress func(step string)) (*Row, error) {
	names := s.Erased()
	row := &Row{Label: label, Method: m.Name, Title: m.Title, Paper: m.Paper, Acts: m.Acts, Settings: conf, Concepts: names, Seeds: s.cfg.Seeds, ImageOnly: ImageOnly()}
	c := newCollected()
	seeds := make([]*collected, s.cfg.Seeds)
	for seed := range seeds {
		seeds[seed] = newCollected()
	}
	fits, attacks := 0, map[string]*attacked{}
	for at, name := range names {
		for seed := range s.cfg.Seeds {
			if progress != nil {
				progress(fmt.Sprintf("%s: %s, seed %d", label, name, seed))
			}
			t, err := s.task(name, seed)
			if err != nil {
				return nil, err
			}
			f, err := s.fit(ctx, m, conf, t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			err = s.collect(ctx, f, c, seeds[seed])
			if err == nil && s.cfg.Probe && seed == 0 {
				err = s.recover(ctx, f, c)
			}
			if err == nil && seed == 0 && at < s.cfg.AttackConcepts {
				err = s.attack(ctx, f, attacks)
			}
			size := s.size(f.Variant) // while its weights are there
			if err = errors.Join(err, s.free(f.Variant)); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if fits == 0 {
				row.Notes = f.Notes
			}
			row.Seconds, row.Allocated = row.Seconds+f.seconds, row.Allocated+f.allocated
			if row.Bytes += size; size < 0 {
				row.Bytes = unknownSize
			}
			row.Rank = max(row.Rank, rankOf(f.Variant))
			fits++
		}
	}
	row.Seconds /= float64(fits)
	row.Allocated /= int64(fits)
	if row.Bytes > 0 {
		row.Bytes /= int64(fits)
	}
	if err := c.fill(ctx, row, s.cfg.Task.Seed); err != nil {
		return nil, err
	}
	if err := s.fillAttacks(ctx, row, attacks); err != nil {
		return nil, err
	}
	for _, one := range seeds {
		row.BySeed = append(row.BySeed, one.h())
	}
	return row, s.together(ctx, m, conf, row, progress)
}

// rankOf is the rank of a map or eraser; 1 of anything else.
func rankOf(v *encoder.Variant) int {
	switch h := v.Hook.(type) {
	case encoder.Linear:
		d, r := h.Map.Left.Dims()
		return min(d, r)
	case encoder.Affine:
		return max(h.Eraser.Rank(), 1)
	}
	return 1
}

// sized is a hook that knows how many numbers it holds.
type sized interface{ Size() int64 }

// unknownSize stands where an edit does not say how large it is; a sum with one of them stays below 0.
const unknownSize = -1 << 40

// size is what an edit takes in float32.
func (s *Suite) size(v *encoder.Variant) int64 {
	if bytes, ok := v.Notes["bytes"].(int); ok {
		return int64(bytes)
	}
	if v.PerText != nil {
		return unknownSize
	}
	var n int64
	switch h := v.Hook.(type) {
	case nil:
	case encoder.Linear:
		n += count(h.Map.Left) + count(h.Map.Right)
	case encoder.Affine:
		n += count(h.Eraser.Left) + count(h.Eraser.Right) + int64(len(h.Eraser.Bias))
	case sized:
		n += h.Size()
	default:
		return unknownSize
	}
	if v.Params != nil && v.Params != s.e.Model.Params {
		n += v.Params.Unshared(s.e.Model.Params)
	}
	return 4 * n
}

func count(m *mat.Dense) int64 {
	if m == nil {
		return 0
	}
	r, c := m.Dims()
	return int64(r) * int64(c)
}

// inverted attacks a map by its inverse.
func inverted(v *encoder.Variant, x *mat.Dense) (*erase.Inverse, bool, error) {
	linear, ok := v.Hook.(encoder.Linear)
	if !ok {
		return nil, false, nil
	}
	inv, err := linear.Map.Invert(x)
	if errors.Is(err, erase.ErrSingular) {
		return nil, true, nil
	}
	return inv, true, err
}
