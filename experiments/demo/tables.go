package demo

import (
	"cmp"
	"strings"

	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/internal/stats"
)

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
	var t lab.Table
	t.Count("doc", append(ids, documents...))
	for _, row := range r.Rows {
		key := strings.ReplaceAll(strings.ToLower(row.Condition), " ", "_")
		t.Float("cosine_"+key, r.Cosines[row.Condition])
		t.Float("agreement_"+key, r.Agreements[row.Condition])
	}
	return t.Write(p.Dir, "splice_texts")
}

// writeTables writes the tables of a finished run.
func (r *Result) writeTables(dir *run.Dir) error {
	return cmp.Or(r.writeSplice(dir), r.writeConcepts(dir), r.writeLatents(dir), r.writeAblations(dir), r.writeDensity(dir), lab.WriteMetrics(dir, r.Metrics))
}

func (r *Result) writeSplice(dir *run.Dir) error {
	var t lab.Table
	t.Text("condition", lab.Column(r.Splice.Rows, func(s SpliceRow) string { return s.Condition }))
	t.Interval("cosine", lab.Column(r.Splice.Rows, func(s SpliceRow) stats.Interval { return s.Cosine }))
	t.Interval("agreement", lab.Column(r.Splice.Rows, func(s SpliceRow) stats.Interval { return s.Agreement }))
	return t.Write(dir, "splice")
}

func (r *Result) writeConcepts(dir *run.Dir) error {
	var t lab.Table
	t.Text("concept", lab.Column(r.Concepts, func(d *Detection) string { return d.Concept }))
	t.Count("sentences", lab.Column(r.Concepts, func(d *Detection) int64 { return int64(d.Sentences) }))
	t.Count("words", lab.Column(r.Concepts, func(d *Detection) int64 { return int64(d.Words) }))
	t.Count("templates", lab.Column(r.Concepts, func(d *Detection) int64 { return int64(d.Templates) }))
	t.Count("latent", lab.Column(r.Concepts, func(d *Detection) int64 { return int64(d.Latents[0].Latent) }))
	t.Interval("auc", lab.Column(r.Concepts, func(d *Detection) stats.Interval { return d.Latents[0].AUC }))
	t.Count("shuffles", lab.Column(r.Concepts, func(d *Detection) int64 { return int64(d.Shuffles) }))
	t.Float("shuffled_mean", lab.Column(r.Concepts, func(d *Detection) float64 { return d.ShuffledMean }))
	t.Float("shuffled_95", lab.Column(r.Concepts, func(d *Detection) float64 { return d.Shuffled95 }))
	t.Float("p", lab.Column(r.Concepts, func(d *Detection) float64 { return d.P }))
	for _, c := range []struct{ name, key string }{{ControlUntrained, "untrained"}, {ControlCoordinate, "coordinate"}, {ControlWord, "words_control"}} {
		t.Interval("auc_"+c.key, lab.Column(r.Concepts, func(d *Detection) stats.Interval { return d.control(c.name).AUC }))
	}
	return t.Write(dir, "concepts")
}

func (r *Result) writeLatents(dir *run.Dir) error {
	var concept []string
	var rows []LatentRow
	for _, d := range r.Concepts {
		for _, l := range d.Latents {
			concept, rows = append(concept, d.Concept), append(rows, l)
		}
	}
	var t lab.Table
	t.Text("concept", concept)
	t.Count("rank", lab.Column(rows, func(l LatentRow) int64 { return int64(l.Rank) }))
	t.Count("latent", lab.Column(rows, func(l LatentRow) int64 { return int64(l.Latent) }))
	t.Float("train_auc", lab.Column(rows, func(l LatentRow) float64 { return l.TrainAUC }))
	t.Interval("auc", lab.Column(rows, func(l LatentRow) stats.Interval { return l.AUC }))
	t.Float("active_positive", lab.Column(rows, func(l LatentRow) float64 { return l.Positive }))
	t.Float("active_negative", lab.Column(rows, func(l LatentRow) float64 { return l.Negative }))
	t.Text("tokens", lab.Column(rows, func(l LatentRow) string { return strings.Join(l.Tokens, " ") }))
	return t.Write(dir, "latents")
}

func (r *Result) writeAblations(dir *run.Dir) error {
	var rows []AblationRow
	var of []*Ablation
	for _, a := range r.Ablations {
		for _, row := range a.Rows {
			rows, of = append(rows, row), append(of, a)
		}
	}
	var t lab.Table
	t.Text("concept", lab.Column(rows, func(a AblationRow) string { return a.Concept }))
	t.Text("set", lab.Column(rows, func(a AblationRow) string { return a.Set }))
	t.Count("draws", lab.Column(rows, func(a AblationRow) int64 { return int64(a.Draws) }))
	t.Count("latents", lab.Column(of, func(a *Ablation) int64 { return int64(len(a.Latents)) }))
	t.Unit("touched", "share of other texts", lab.Column(rows, func(a AblationRow) float64 { return a.Touched }))
	t.Interval("accuracy_before", lab.Column(of, func(a *Ablation) stats.Interval { return a.Accuracy }))
	t.Interval("accuracy_drop", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Drop }))
	t.Interval("moved", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Moved }))
	t.Interval("shift_positive", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Concepts }))
	t.Interval("shift_negative", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Twins }))
	t.Interval("shift_rest", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Rest }))
	t.Interval("stay_rest", lab.Column(rows, func(a AblationRow) stats.Interval { return a.Stay }))
	return t.Write(dir, "ablations")
}

// writeDensity writes the share of held-out rows on which each latent is active.
func (r *Result) writeDensity(dir *run.Dir) error {
	var t lab.Table
	t.Count("latent", lab.Column(lab.UpTo(len(r.SAE.Density)), func(i int) int64 { return int64(i) }))
	t.Unit("density", "share of held-out rows", r.SAE.Density)
	return t.Write(dir, "latent_density")
}
