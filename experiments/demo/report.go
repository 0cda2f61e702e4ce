package demo

import (
	"fmt"
	"math"
	"strings"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/run"
)

// writeReport writes the run's report.html.
func (r *Result) writeReport(dir *run.Dir, cfg *Config, opt lab.Options) error {
	history, err := lab.ReadHistory(dir.File("metrics.jsonl"))
	if err != nil {
		return err
	}
	tokens, fvu := history.Curve("fvu")
	rep := report.Report{
		Title: "Concepts in " + r.Model + ": found, removed, measured", Command: opt.Command, Config: string(opt.YAML),
		Sections: []report.Section{
			r.overview(cfg), r.autoencoder(cfg, tokens, fvu), r.spliced(cfg), r.detected(cfg), r.latents(cfg), r.ablated(cfg),
		},
	}
	if len(r.Expected) > 0 {
		rep.Sections = append(rep.Sections, lab.ExpectedSection(r.Expected, r.Other))
	}
	return rep.Write(dir.File("report.html"))
}

func (r *Result) metric(name string) *lab.NamedMetric {
	for i := range r.Metrics {
		if r.Metrics[i].Name == name {
			return &r.Metrics[i]
		}
	}
	return nil
}

func (r *Result) overview(cfg *Config) report.Section {
	reproduced, missed := lab.Verdicts(r.Expected)
	s := report.Section{Title: "What came out", Blocks: []report.Block{
		report.Text{Text: fmt.Sprintf("A TopK sparse autoencoder with %d latents, %d active per token, was trained on %s of %s. The text is the documentation of "+
			"Go's standard library and generated sentences about %d concepts, each with a twin in which the concept's word is replaced: %d tokens in all, held-out ones included. "+
			"Everything below is measured on documents, words and templates that training did not see.", r.DSAE, r.K, r.Site, r.Model, len(r.Concepts), r.Rows)},
	}}
	numbers := []report.Number{
		{Label: "FVU", Value: r.SAE.FVU, Note: fmt.Sprintf("of %d held-out tokens", r.SAE.Rows)},
		{Label: "cosine after splicing", Value: lab.Cell(r.Splice.Rows[0].Cosine), Note: fmt.Sprintf("%s: %.3f", MeanOnly, r.Splice.Rows[2].Cosine.Value)},
	}
	if m := r.metric("detect.auc_median"); m != nil {
		numbers = append(numbers, report.Number{Label: "median AUC of the best latents", Value: m.Value, Note: fmt.Sprintf("%d concepts", len(r.Concepts))})
	}
	if m := r.metric("ablate.concept_over_rest"); m != nil {
		numbers = append(numbers, report.Number{Label: "shift of the concept over the rest", Value: m.Value, Note: "when the latents are ablated"})
	}
	if reproduced+missed > 0 {
		numbers = append(numbers, report.Number{Label: "expectations reproduced", Value: reproduced, Unit: fmt.Sprintf("of %d", reproduced+missed)})
	}
	s.Blocks = append(s.Blocks, report.Numbers{Numbers: numbers})
	return s
}

func (r *Result) autoencoder(cfg *Config, tokens, fvu []float64) report.Section {
	var logs []float64
	for _, d := range r.SAE.Density {
		if d > 0 {
			logs = append(logs, math.Log10(d))
		}
	}
	return report.Section{Title: "The autoencoder", Blocks: []report.Block{
		report.Table{
			Caption: fmt.Sprintf("Held-out rows, special tokens left out; n = %d tokens, seed %d, one training run", r.SAE.Rows, cfg.Seed),
			Columns: []report.Column{{Name: "measure"}, {Name: "value"}, {Name: "meaning"}},
			Rows: [][]any{
				{"FVU", r.SAE.FVU, "squared error over the variance"},
				{"L0", r.SAE.L0, "latents active on a token"},
				{"dead latents", r.SAE.Dead, fmt.Sprintf("of %d, never active on these rows", r.DSAE)},
				{"cosine", r.SAE.Cosine, "of a token's activation and its reconstruction"},
				{"relative reconstruction bias", r.SAE.RelBias, "below 1 means shrinkage"},
			},
		},
		report.Line{
			Title:  fmt.Sprintf("FVU of each training batch; %d steps of %d tokens, seed %d", len(fvu), cfg.SAE.Batch, cfg.Seed),
			XLabel: "tokens", YLabel: "FVU", Series: []report.Series{{Name: "FVU", X: tokens, Y: fvu}},
		},
		report.Histogram{
			Title:  fmt.Sprintf("How often latents are active: %d latents with any activity on %d held-out tokens", len(logs), r.SAE.Rows),
			XLabel: "log10 of the share of tokens on which a latent is active", Values: logs,
		},
	}}
}

func (r *Result) spliced(cfg *Config) report.Section {
	t := report.Table{
		Caption: fmt.Sprintf("n = %d held-out texts, %d neighbours among them; intervals over texts, those of one pair or word drawn together; seed %d", r.Splice.Texts, r.Splice.Neighbours, cfg.Seed),
		Columns: []report.Column{
			{Name: "residual stream replaced by"}, {Name: "cosine of embeddings", Doc: "of a text's embedding with and without the replacement"},
			{Name: "neighbours kept", Doc: "share of a text's nearest neighbours that stay"},
		},
	}
	bar := report.Bar{Title: fmt.Sprintf("Neighbours kept, with 95 %% intervals; n = %d texts", r.Splice.Texts), XLabel: "residual stream replaced by", YLabel: fmt.Sprintf("share of %d neighbours", r.Splice.Neighbours)}
	for _, row := range r.Splice.Rows {
		t.Rows = append(t.Rows, []any{row.Condition, lab.Cell(row.Cosine), lab.Cell(row.Agreement)})
		bar.Labels, bar.Values = append(bar.Labels, row.Condition), append(bar.Values, row.Agreement.Value)
		bar.Low, bar.High = append(bar.Low, row.Agreement.Low), append(bar.High, row.Agreement.High)
	}
	return report.Section{Title: "Spliced into the encoder", Blocks: []report.Block{
		report.Text{Text: "The residual stream of every token, special tokens included, is replaced by its reconstruction, and the blocks after it run on. " +
			"The controls are the same autoencoder before training and the mean activation at every position."},
		t, bar,
	}}
}

func (r *Result) detected(cfg *Config) report.Section {
	t := report.Table{
		Caption: fmt.Sprintf("Held-out words and templates; intervals over the concept's words; %d selections with shuffled labels; seed %d", cfg.Detect.Shuffles, cfg.Seed),
		Columns: []report.Column{
			{Name: "concept"}, {Name: "sentences", Doc: "held-out sentences, half with the concept"}, {Name: "latent"},
			{Name: "AUC", Doc: "of the latent that was best on the training sentences"},
			{Name: "shuffled: mean", Doc: "held-out AUC when labels are shuffled among words before the selection"}, {Name: "95 %", Doc: "95th percentile of the same"},
			{Name: "p", Doc: "share of shuffles at least as good, the real selection counted in"},
		},
	}
	controls := report.Table{
		Caption: fmt.Sprintf("The same selection and test on other features: held-out AUC; intervals over the concept's words; seed %d", cfg.Seed),
		Columns: []report.Column{
			{Name: "concept"}, {Name: "latent"}, {Name: ControlUntrained, Doc: "best latent of the autoencoder before training"},
			{Name: ControlCoordinate, Doc: "best coordinate of the residual stream, either sign"},
			{Name: ControlWord, Doc: "best token; held-out words are new, so that it can only use words of the template and pieces of words"},
		},
	}
	bar := report.Bar{Title: "AUC of the best latent on held-out words and templates, 95 % intervals over words; 0.5 is chance", XLabel: "concept", YLabel: "AUC"}
	for _, d := range r.Concepts {
		best := d.Latents[0]
		t.Rows = append(t.Rows, []any{d.Concept, d.Sentences, int(best.Latent), lab.Cell(best.AUC), d.ShuffledMean, d.Shuffled95, d.P})
		controls.Rows = append(controls.Rows, []any{
			d.Concept, lab.Cell(best.AUC), lab.Cell(d.control(ControlUntrained).AUC), lab.Cell(d.control(ControlCoordinate).AUC), lab.Cell(d.control(ControlWord).AUC),
		})
		bar.Labels, bar.Values = append(bar.Labels, d.Concept), append(bar.Values, best.AUC.Value)
		bar.Low, bar.High = append(bar.Low, best.AUC.Low), append(bar.High, best.AUC.High)
	}
	return report.Section{Title: "Latents that detect concepts", Blocks: []report.Block{
		report.Text{Text: "A sentence's value is a latent's largest activation over its tokens. For each concept the latents are ranked by AUC on the training sentences, " +
			"and the best one is tested on sentences with words and templates that no training sentence has. All controls are chosen and tested in the same way."},
		bar, t, controls,
	}}
}

func (r *Result) latents(cfg *Config) report.Section {
	t := report.Table{
		Caption: fmt.Sprintf("The %d best latents of each concept, by AUC on the training sentences; seed %d", cfg.Detect.Latents, cfg.Seed),
		Columns: []report.Column{
			{Name: "concept"}, {Name: "rank"}, {Name: "latent"}, {Name: "training AUC", Doc: "chosen as the largest, so biased upwards"}, {Name: "held-out AUC"},
			{Name: "with", Doc: "share of held-out sentences with the concept in which it is active"}, {Name: "without", Doc: "the same share of the twins"}, {Name: "most active on", Doc: "tokens with the largest sum of activations in the training sentences"},
		},
	}
	for _, d := range r.Concepts {
		for _, l := range d.Latents {
			t.Rows = append(t.Rows, []any{d.Concept, l.Rank, int(l.Latent), l.TrainAUC, lab.Cell(l.AUC), l.Positive, l.Negative, strings.Join(l.Tokens, ", ")})
		}
	}
	return report.Section{Title: "The latents", Blocks: []report.Block{t}}
}

func (r *Result) ablated(cfg *Config) report.Section {
	before := report.Table{
		Caption: fmt.Sprintf("Accuracy of a mass-mean probe for the concept on sentence embeddings, held-out sentences; intervals over words; seed %d", cfg.Seed),
		Columns: []report.Column{
			{Name: "concept"}, {Name: "untouched"}, {Name: "latents ablated", Doc: "the same probe"},
			{Name: "latents ablated, probe fitted again", Doc: "what can still be read from the ablated embeddings"},
		},
	}
	sets := fmt.Sprintf("%d latents at zero; random sets are means over %d draws; intervals over texts; seed %d", cfg.Detect.Latents, cfg.Ablate.Random, cfg.Seed)
	concept := report.Table{
		Caption: "What changes for the concept: " + sets,
		Columns: []report.Column{
			{Name: "concept"}, {Name: "latents"}, {Name: "moved", Doc: "how far the concept's sentences move from its side of the probe to the other; 1 is all the way"},
			{Name: "accuracy lost", Doc: "of the mass-mean probe; the interval has no width where no sentence changes sides"}, {Name: "shift", Doc: "1 - cosine of the embeddings of sentences with the concept"},
		},
	}
	rest := report.Table{
		Caption: "What changes for the twins and for all other texts: " + sets,
		Columns: []report.Column{
			{Name: "concept"}, {Name: "latents"}, {Name: "shift of the twins", Doc: "1 - cosine of the embeddings of the sentences' twins without the concept"},
			{Name: "shift of the rest", Doc: "of all other texts"}, {Name: "neighbours kept", Doc: "by the rest"},
			{Name: "touched", Doc: "share of these texts in which one of the latents is active"},
		},
	}
	bar := report.Bar{Title: "How far the concept's sentences move to the other side of the probe, 95 % intervals over words", XLabel: "concept", YLabel: "share of the way"}
	check := 0.0
	for _, a := range r.Ablations {
		before.Rows = append(before.Rows, []any{a.Concept, lab.Cell(a.Accuracy), lab.Cell(a.After), lab.Cell(a.Refit)})
		for _, s := range a.Rows {
			concept.Rows = append(concept.Rows, []any{a.Concept, s.Set, lab.Cell(s.Moved), lab.Cell(s.Drop), lab.Cell(s.Concepts)})
			rest.Rows = append(rest.Rows, []any{a.Concept, s.Set, lab.Cell(s.Twins), lab.Cell(s.Rest), lab.Cell(s.Stay), s.Touched})
		}
		m := a.set(SetChosen).Moved
		bar.Labels, bar.Values = append(bar.Labels, a.Concept), append(bar.Values, m.Value)
		bar.Low, bar.High = append(bar.Low, m.Low), append(bar.High, m.High)
		check = max(check, a.Check)
	}
	return report.Section{Title: "The encoder without these latents", Blocks: []report.Block{
		report.Text{Text: "The latents are held at zero at every token, and the reconstruction error is kept, so that nothing else changes. " +
			"A text in which none of them is active keeps its embedding exactly. Random latents are drawn among those that are as often active " +
			"on all held-out tokens (random, corpus) or in the concept's own training sentences (random, concept)."},
		bar, concept, before, rest,
		report.Text{Text: fmt.Sprintf("Check: the embeddings of the concepts' own sentences were computed twice, from the patched residual stream and by the graph's edit of the autoencoder; "+
			"no coordinate differs by more than %.1e.", check)},
	}}
}
