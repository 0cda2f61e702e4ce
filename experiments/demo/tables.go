package demo

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"loupe/internal/arrowio"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// table builds a table column by column.
type table struct{ arrowio.Table }

func (t *table) text(name string, x []string)   { t.Add(name, 0, x, nil) }
func (t *table) float(name string, x []float64) { t.Add(name, 0, x, nil) }
func (t *table) count(name string, x []int64)   { t.Add(name, 0, x, nil) }
func (t *table) unit(name, u string, x []float64) {
	t.Add(name, 0, x, map[string]string{"unit": u})
}

// interval adds the columns name, name_low and name_high.
func (t *table) interval(name string, x []stats.Interval) {
	v, lo, hi := make([]float64, len(x)), make([]float64, len(x)), make([]float64, len(x))
	for i, s := range x {
		v[i], lo[i], hi[i] = s.Value, s.Low, s.High
	}
	t.float(name, v)
	t.float(name+"_low", lo)
	t.float(name+"_high", hi)
}

// write puts a table into the run folder.
func (t *table) write(dir *run.Dir, name string) error {
	if err := os.MkdirAll(dir.File("tables"), 0o755); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return arrowio.WriteTable(dir.File("tables", name+".arrow"), t.Table)
}

// column makes a column of values of rows.
func column[R, T any](rows []R, of func(R) T) []T {
	out := make([]T, len(rows))
	for i, r := range rows {
		out[i] = of(r)
	}
	return out
}

// writeTexts writes tables/splice_texts.arrow: the cosine and the agreement of every text.
func (p *prepared) writeTexts(r *SpliceResult) error {
	ids := make([]int64, 0, r.Texts)
	for _, c := range p.cfg.Text.Concepts {
		ids = append(ids, p.held[c].IDs...)
	}
	documents, err := p.sample()
	if err != nil {
		return err
	}
	var t table
	t.count("doc", append(ids, documents...))
	for _, row := range r.Rows {
		key := strings.ReplaceAll(strings.ToLower(row.Condition), " ", "_")
		t.float("cosine_"+key, r.Cosines[row.Condition])
		t.float("agreement_"+key, r.Agreements[row.Condition])
	}
	return t.write(p.dir, "splice_texts")
}

// writeTables writes the tables of a finished run.
func (r *Result) writeTables(dir *run.Dir) error {
	return cmp.Or(r.writeSplice(dir), r.writeConcepts(dir), r.writeLatents(dir), r.writeAblations(dir), r.writeDensity(dir), r.writeMetrics(dir))
}

func (r *Result) writeSplice(dir *run.Dir) error {
	var t table
	t.text("condition", column(r.Splice.Rows, func(s SpliceRow) string { return s.Condition }))
	t.interval("cosine", column(r.Splice.Rows, func(s SpliceRow) stats.Interval { return s.Cosine }))
	t.interval("agreement", column(r.Splice.Rows, func(s SpliceRow) stats.Interval { return s.Agreement }))
	return t.write(dir, "splice")
}

func (r *Result) writeConcepts(dir *run.Dir) error {
	var t table
	t.text("concept", column(r.Concepts, func(d *Detection) string { return d.Concept }))
	t.count("sentences", column(r.Concepts, func(d *Detection) int64 { return int64(d.Sentences) }))
	t.count("words", column(r.Concepts, func(d *Detection) int64 { return int64(d.Words) }))
	t.count("templates", column(r.Concepts, func(d *Detection) int64 { return int64(d.Templates) }))
	t.count("latent", column(r.Concepts, func(d *Detection) int64 { return int64(d.Latents[0].Latent) }))
	t.interval("auc", column(r.Concepts, func(d *Detection) stats.Interval { return d.Latents[0].AUC }))
	t.count("shuffles", column(r.Concepts, func(d *Detection) int64 { return int64(d.Shuffles) }))
	t.float("shuffled_mean", column(r.Concepts, func(d *Detection) float64 { return d.ShuffledMean }))
	t.float("shuffled_95", column(r.Concepts, func(d *Detection) float64 { return d.Shuffled95 }))
	t.float("p", column(r.Concepts, func(d *Detection) float64 { return d.P }))
	for _, c := range []struct{ name, key string }{{ControlUntrained, "untrained"}, {ControlCoordinate, "coordinate"}, {ControlWord, "words_control"}} {
		t.interval("auc_"+c.key, column(r.Concepts, func(d *Detection) stats.Interval { return d.control(c.name).AUC }))
	}
	return t.write(dir, "concepts")
}

func (r *Result) writeLatents(dir *run.Dir) error {
	var concept []string
	var rows []LatentRow
	for _, d := range r.Concepts {
		for _, l := range d.Latents {
			concept, rows = append(concept, d.Concept), append(rows, l)
		}
	}
	var t table
	t.text("concept", concept)
	t.count("rank", column(rows, func(l LatentRow) int64 { return int64(l.Rank) }))
	t.count("latent", column(rows, func(l LatentRow) int64 { return int64(l.Latent) }))
	t.float("train_auc", column(rows, func(l LatentRow) float64 { return l.TrainAUC }))
	t.interval("auc", column(rows, func(l LatentRow) stats.Interval { return l.AUC }))
	t.float("active_positive", column(rows, func(l LatentRow) float64 { return l.Positive }))
	t.float("active_negative", column(rows, func(l LatentRow) float64 { return l.Negative }))
	t.text("tokens", column(rows, func(l LatentRow) string { return strings.Join(l.Tokens, " ") }))
	return t.write(dir, "latents")
}

func (r *Result) writeAblations(dir *run.Dir) error {
	var rows []AblationRow
	var of []*Ablation
	for _, a := range r.Ablations {
		for _, row := range a.Rows {
			rows, of = append(rows, row), append(of, a)
		}
	}
	var t table
	t.text("concept", column(rows, func(a AblationRow) string { return a.Concept }))
	t.text("set", column(rows, func(a AblationRow) string { return a.Set }))
	t.count("draws", column(rows, func(a AblationRow) int64 { return int64(a.Draws) }))
	t.count("latents", column(of, func(a *Ablation) int64 { return int64(len(a.Latents)) }))
	t.unit("touched", "share of other texts", column(rows, func(a AblationRow) float64 { return a.Touched }))
	t.interval("accuracy_before", column(of, func(a *Ablation) stats.Interval { return a.Accuracy }))
	t.interval("accuracy_drop", column(rows, func(a AblationRow) stats.Interval { return a.Drop }))
	t.interval("moved", column(rows, func(a AblationRow) stats.Interval { return a.Moved }))
	t.interval("shift_positive", column(rows, func(a AblationRow) stats.Interval { return a.Concepts }))
	t.interval("shift_negative", column(rows, func(a AblationRow) stats.Interval { return a.Twins }))
	t.interval("shift_rest", column(rows, func(a AblationRow) stats.Interval { return a.Rest }))
	t.interval("stay_rest", column(rows, func(a AblationRow) stats.Interval { return a.Stay }))
	return t.write(dir, "ablations")
}

// writeDensity writes the share of held-out rows on which each latent is active.
func (r *Result) writeDensity(dir *run.Dir) error {
	var t table
	t.count("latent", column(upTo(len(r.SAE.Density)), func(i int) int64 { return int64(i) }))
	t.unit("density", "share of held-out rows", r.SAE.Density)
	return t.write(dir, "latent_density")
}

func (r *Result) writeMetrics(dir *run.Dir) error {
	end := func(x *float64, otherwise float64) float64 {
		if x == nil {
			return otherwise
		}
		return *x
	}
	var t table
	t.text("metric", column(r.Metrics, func(m NamedMetric) string { return m.Name }))
	t.float("value", column(r.Metrics, func(m NamedMetric) float64 { return m.Value }))
	t.float("low", column(r.Metrics, func(m NamedMetric) float64 { return end(m.Low, m.Value) }))
	t.float("high", column(r.Metrics, func(m NamedMetric) float64 { return end(m.High, m.Value) }))
	t.Add("interval", 0, column(r.Metrics, func(m NamedMetric) bool { return m.Low != nil }), nil)
	return t.write(dir, "metrics")
}
