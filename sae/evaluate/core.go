package evaluate

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"loupe/internal/stats"
	"loupe/sae"
)

// jackknifeGroups is the number of groups of documents, one of which is left out at a time.
const jackknifeGroups = 32

// coreValues are the metrics of the core suite; the first one ranks.
var coreValues = []struct {
	Metric
	of func(sae.Result) float64
}{
	{Metric{"fvu", Lower, false}, func(r sae.Result) float64 { return r.FVU }},
	{Metric{"explained_variance", Higher, false}, func(r sae.Result) float64 { return r.Explained }},
	{Metric{"l0", Neither, false}, func(r sae.Result) float64 { return r.L0 }},
	{Metric{"l1", Neither, true}, func(r sae.Result) float64 { return r.L1 }},
	{Metric{"mse", Lower, true}, func(r sae.Result) float64 { return r.MSE }},
	{Metric{"cosine", Higher, false}, func(r sae.Result) float64 { return r.Cosine }},
	{Metric{"l2_ratio", Neither, true}, func(r sae.Result) float64 { return r.L2Ratio }},
	{Metric{"relative_reconstruction_bias", Neither, false}, func(r sae.Result) float64 { return r.RelBias }},
	{Metric{"dead_share", Lower, false}, func(r sae.Result) float64 { return 1 - r.AliveShare }},
	{Metric{"explained_variance_legacy", Neither, false}, func(r sae.Result) float64 { return r.ExplainedLegacy }},
	{Metric{"fvu_uncentred_legacy", Neither, true}, func(r sae.Result) float64 { return r.UncentredFVU }},
	{Metric{"mse_saebench_legacy", Neither, true}, func(r sae.Result) float64 { return r.MSELegacy }},
}

// CoreDetail is what the core suite keeps of a dictionary.
type CoreDetail struct {
	sae.Result
	ExplainedSquared float64 `json:"explained_variance_saebench_bug"` // see sae.Metrics.ExplainedSquaredMean
}

// coreMeter gathers the measures of one dictionary, over all rows and over groups of documents.
type coreMeter struct {
	dict   *Dictionary
	all    *sae.Metrics
	groups [jackknifeGroups]*sae.Metrics
}

func newCoreMeter(d *Dictionary) *coreMeter {
	m := &coreMeter{dict: d, all: sae.NewMetrics(d.DOut, d.Latents)}
	for g := range m.groups {
		m.groups[g] = sae.NewMetrics(d.DOut, d.Latents)
	}
	return m
}

func (m *coreMeter) add(ctx context.Context, x, target []float32, doc []int64) error {
	lat, y, err := m.dict.Reconstruct(ctx, x)
	if err != nil {
		return fmt.Errorf("evaluate: %s: %w", m.dict.Name, err)
	}
	if err := m.all.Add(target, y, lat); err != nil {
		return fmt.Errorf("evaluate: %s: %w", m.dict.Name, err)
	}
	d := m.dict.DOut
	for g := range m.groups {
		var part, recon []float32
		rows := sae.Latents{Start: []int{0}}
		for r, id := range doc {
			if int(uint64(id)%jackknifeGroups) != g {
				continue
			}
			part, recon = append(part, target[r*d:(r+1)*d]...), append(recon, y[r*d:(r+1)*d]...)
			index, value := lat.Row(r)
			rows.Index, rows.Value = append(rows.Index, index...), append(rows.Value, value...)
			rows.Start = append(rows.Start, len(rows.Index))
		}
		if err := m.groups[g].Add(part, recon, rows); err != nil {
			return fmt.Errorf("evaluate: %s: %w", m.dict.Name, err)
		}
	}
	return nil
}

// score returns the measures with delete-a-group jackknife intervals.
func (m *coreMeter) score(level float64) (Score, error) {
	whole := m.all.Result()
	if math.IsNaN(whole.FVU) || math.IsInf(whole.FVU, 0) {
		return Score{}, fmt.Errorf("evaluate: %s: the %d rows are all equal, so that no variance can be explained; take more rows", m.dict.Name, whole.Rows)
	}
	var sizes []float64
	var without []sae.Result
	for g, own := range m.groups {
		rows := own.Result().Rows
		if rows == 0 {
			continue
		}
		rest := sae.NewMetrics(m.dict.DOut, m.dict.Latents)
		for o, other := range m.groups {
			if o != g {
				if err := rest.Merge(other); err != nil {
					return Score{}, fmt.Errorf("evaluate: %w", err)
				}
			}
		}
		sizes, without = append(sizes, float64(rows)), append(without, rest.Result())
	}
	s := Score{Dictionary: m.dict.Name, Values: map[string]stats.Interval{}, Detail: CoreDetail{whole, m.all.ExplainedSquaredMean()}}
	for _, v := range coreValues {
		s.Values[v.Name] = jackknife(v.of(whole), sizes, without, v.of, level)
	}
	return s, nil
}

// jackknife is the interval of a statistic from its values without each of g groups of the given sizes (the delete-m_j
// jackknife, Busing et al., Statistics and Computing 9, 1999), by Student's t with g - 1 degrees of freedom. Where a value is
// not finite or there is a single group it has no width.
func jackknife(whole float64, sizes []float64, without []sae.Result, of func(sae.Result) float64, level float64) stats.Interval {
	g := len(sizes)
	out := stats.Interval{Value: whole, Low: whole, High: whole, Level: level, N: g}
	n := 0.0
	for _, m := range sizes {
		n += m
	}
	centre := float64(g) * whole
	for j, m := range sizes {
		centre -= (1 - m/n) * of(without[j])
	}
	variance := 0.0
	for j, m := range sizes {
		h := n / m
		e := h*whole - (h-1)*of(without[j]) - centre
		variance += e * e / (h - 1) / float64(g)
	}
	if g < 2 || math.IsNaN(variance) || math.IsInf(variance, 0) {
		return out
	}
	out.SE = math.Sqrt(variance)
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(g - 1)}.Quantile((1 + level) / 2)
	out.Low, out.High = whole-t*out.SE, whole+t*out.SE
	return out
}

// Core measures reconstruction and sparsity of dictionaries on the bench's rows; dictionaries of the same sites are
// measured in one pass.
func (b *Bench) Core(ctx context.Context, dicts []*Dictionary) (*Outcome, error) {
	out := &Outcome{Suite: "core"}
	for _, v := range coreValues {
		out.Metrics = append(out.Metrics, v.Metric)
	}
	keys, members := bySites(dicts)
	scores := map[*Dictionary]Score{}
	for _, key := range keys {
		s, err := newSample(ctx, b.Store, key, b.Select, b.Rows)
		if err != nil {
			return nil, err
		}
		var meters []*coreMeter
		for _, d := range members[key] {
			if err := s.check(d); err != nil {
				return nil, err
			}
			meters = append(meters, newCoreMeter(d))
		}
		bar := b.progress("core", "rows", s.rows*int64(len(meters)))
		err = s.each(ctx, func(x, target []float32, doc []int64) error {
			for _, m := range meters {
				if err := m.add(ctx, x, target, doc); err != nil {
					return err
				}
				bar.Add(int64(len(doc)))
			}
			return nil
		})
		bar.Done()
		if err != nil {
			return nil, err
		}
		for _, m := range meters {
			if scores[m.dict], err = m.score(b.Boot.Level); err != nil {
				return nil, err
			}
		}
		if out.On != "" {
			out.On += "; "
		}
		out.On += fmt.Sprintf("%d rows of %s", s.rows, key)
	}
	out.On += fmt.Sprintf("; intervals by a jackknife over %d groups of documents", jackknifeGroups)
	for _, d := range dicts {
		out.Scores = append(out.Scores, scores[d])
	}
	return out, nil
}
