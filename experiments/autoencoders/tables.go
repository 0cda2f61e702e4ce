package autoencoders

import (
	"cmp"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// writeTables writes the tables of a finished run; the table of latents is written with the explanations.
func (r *Result) writeTables(dir *run.Dir) error {
	return cmp.Or(r.writeTraining(dir), r.writeMeasures(dir), r.writeSeeds(dir), r.writeRankings(dir), r.writeExplanations(dir), lab.WriteMetrics(dir, r.Metrics))
}

func (r *Result) writeTraining(dir *run.Dir) error {
	var t lab.Table
	t.Text("name", lab.Column(r.Trained, func(t Trained) string { return t.Name }))
	t.Text("architecture", lab.Column(r.Trained, func(t Trained) string { return t.Arch }))
	t.Count("seed", lab.Column(r.Trained, func(t Trained) int64 { return int64(t.Seed) }))
	t.Float("l0", lab.Column(r.Trained, func(t Trained) float64 { return t.L0.Mean }))
	t.Float("l0_low", lab.Column(r.Trained, func(t Trained) float64 { return t.L0.Low }))
	t.Float("l0_high", lab.Column(r.Trained, func(t Trained) float64 { return t.L0.High }))
	t.Float("fvu", lab.Column(r.Trained, func(t Trained) float64 { return t.FVU }))
	t.Float("sparsity_coef", lab.Column(r.Trained, func(t Trained) float64 { return t.Coef }))
	t.Count("dead", lab.Column(r.Trained, func(t Trained) int64 { return int64(t.Dead) }))
	return t.Write(dir, "training")
}

func (r *Result) writeMeasures(dir *run.Dir) error {
	orNone := func(i *stats.Interval) stats.Interval {
		if i == nil {
			return stats.Interval{}
		}
		return *i
	}
	var t lab.Table
	t.Text("method", lab.Column(r.Measures, func(m Measure) string { return m.Method }))
	t.Text("metric", lab.Column(r.Measures, func(m Measure) string { return m.Metric }))
	t.Interval("seeds", lab.Column(r.Measures, func(m Measure) stats.Interval { return m.Seeds }))
	t.Count("seeds_n", lab.Column(r.Measures, func(m Measure) int64 { return int64(m.Seeds.N) }))
	t.Interval("texts", lab.Column(r.Measures, func(m Measure) stats.Interval { return m.Texts }))
	t.Count("texts_n", lab.Column(r.Measures, func(m Measure) int64 { return int64(m.Texts.N) }))
	for _, c := range []struct {
		name string
		of   func(Measure) *stats.Interval
	}{
		{"over_random", func(m Measure) *stats.Interval { return m.OverRandom }},
		{"over_pca", func(m Measure) *stats.Interval { return m.OverPCA }},
		{"over_mean_ablation", func(m Measure) *stats.Interval { return m.OverAblated }},
	} {
		t.Interval(c.name, lab.Column(r.Measures, func(m Measure) stats.Interval { return orNone(c.of(m)) }))
		t.Count(c.name+"_n", lab.Column(r.Measures, func(m Measure) int64 { return int64(orNone(c.of(m)).N) }))
	}
	return t.Write(dir, "measures")
}

// writeSeeds writes every value of every seed.
func (r *Result) writeSeeds(dir *run.Dir) error {
	var method, metric []string
	var number []int64
	var value []float64
	for _, m := range r.Measures {
		for i, v := range m.Values {
			method, metric = append(method, m.Method), append(metric, m.Metric)
			number, value = append(number, int64(i)), append(value, v)
		}
	}
	var t lab.Table
	t.Text("method", method)
	t.Text("metric", metric)
	t.Count("number", number)
	t.Float("value", value)
	return t.Write(dir, "seeds")
}

func (r *Result) writeRankings(dir *run.Dir) error {
	var metric, method []string
	var rank []int64
	var mean []stats.Interval
	for _, k := range r.Rankings {
		for _, c := range k.Order {
			metric, method = append(metric, k.Metric), append(method, c.Name)
			rank, mean = append(rank, int64(c.Rank)), append(mean, c.Mean)
		}
	}
	var t lab.Table
	t.Text("metric", metric)
	t.Text("method", method)
	t.Count("rank", rank)
	t.Interval("mean", mean)
	return t.Write(dir, "rankings")
}

func (r *Result) writeExplanations(dir *run.Dir) error {
	l := r.Explained.Latents
	var t lab.Table
	t.Count("latent", lab.Column(l, func(x Explanation) int64 { return int64(x.Latent) }))
	t.Unit("density", "share of held-out rows", lab.Column(l, func(x Explanation) float64 { return x.Density }))
	t.Text("description", lab.Column(l, func(x Explanation) string { return x.Description }))
	t.Float("auc", lab.Column(l, func(x Explanation) float64 { return x.AUC }))
	t.Float("control_auc", lab.Column(l, func(x Explanation) float64 { return x.Control }))
	for i := range l[0].Examples {
		t.Text("example_"+string(rune('a'+i)), lab.Column(l, func(x Explanation) string { return x.Examples[i].text() }))
	}
	return t.Write(dir, "explanations")
}
