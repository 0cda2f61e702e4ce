package autoencoders

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"loupe/internal/lab"
	"loupe/internal/report"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// writeReport writes the run's report.html.
func (r *Result) writeReport(dir *run.Dir, x *experiment) error {
	history, err := lab.ReadHistory(dir.File("metrics.jsonl"))
	if err != nil {
		return err
	}
	rep := report.Report{
		Title:   "Sparse autoencoders on " + r.Site + " of " + r.Model,
		Command: x.Command, Config: string(x.YAML),
		Sections: []report.Section{r.overview(x), r.training(x, history), r.compared(x), r.ordered(x), r.explained(x)},
	}
	if len(r.Expected) > 0 {
		rep.Sections = append(rep.Sections, lab.ExpectedSection(r.Expected, r.Other))
	}
	return rep.Write(dir.File("report.html"))
}

func (r *Result) overview(x *experiment) report.Section {
	t := x.cfg
	numbers := []report.Number{}
	for i := range x.cfg.Architectures {
		a := &x.cfg.Architectures[i]
		m := r.find(a.name(), "fvu")
		numbers = append(numbers, report.Number{Label: "FVU, " + a.name(), Value: lab.Cell(m.Texts), Note: fmt.Sprintf("L0 %.1f", r.find(a.name(), "l0").Seeds.Value)})
	}
	if reproduced, missed := lab.Verdicts(r.Expected); reproduced+missed > 0 {
		numbers = append(numbers, report.Number{Label: "expectations reproduced", Value: reproduced, Unit: fmt.Sprintf("of %d", reproduced+missed)})
	}
	return report.Section{Title: "What came out", Blocks: []report.Block{
		report.Text{Text: fmt.Sprintf("%d architectures with %d latents and a target L0 of %g were trained with %d seeds each, on %d rows of %s of %s: %.2f epochs of %d training rows of %s. "+
			"Seeds differ in the initial dictionary; all autoencoders see the same rows in the same order. Everything is measured on held-out texts: %d rows of %d texts, special tokens left out, "+
			"and %d of the texts with each dictionary in the model.",
			len(x.cfg.Architectures), t.DSAE, t.TargetL0, len(t.Seeds), t.Tokens, r.Site, r.Model, r.Epochs, r.Training, x.corpus.Name(), r.Evaluated, r.Texts, r.Spliced)},
		report.Numbers{Numbers: numbers},
	}}
}

// thinned keeps about n points of a curve.
func thinned(x, y []float64, n int) (a, b []float64) {
	step := max(1, len(x)/n)
	for i := step - 1; i < len(x); i += step {
		a, b = append(a, x[i]), append(b, y[i])
	}
	return a, b
}

func (r *Result) training(x *experiment, history lab.History) report.Section {
	const points = 200
	plot := func(key, label string) report.Line {
		p := report.Line{
			Title:  fmt.Sprintf("%s of training batches of %d rows; one line for each autoencoder", label, x.cfg.Batch),
			XLabel: "tokens", YLabel: label, LogY: true,
		}
		for _, t := range r.Trained {
			a, b := thinnedCurve(history, t.Name+"."+key, points)
			p.Series = append(p.Series, report.Series{Name: t.Name, X: a, Y: b})
		}
		return p
	}
	table := report.Table{
		Caption: "The end of training: L0 is the mean over the last 100 steps with its interval over steps, all training rows counted",
		Columns: []report.Column{{Name: "autoencoder"}, {Name: "seed"}, {Name: "L0"}, {Name: "weight of the sparsity term"}, {Name: "FVU of the last batch"}, {Name: "dead", Doc: "silent for dead_tokens rows"}},
	}
	for _, t := range r.Trained {
		table.Rows = append(table.Rows, []any{t.Arch, int64(t.Seed), report.Interval{Value: t.L0.Mean, Low: t.L0.Low, High: t.L0.High, N: t.L0.N}, t.Coef, t.FVU, t.Dead})
	}
	return report.Section{Title: "Training", Blocks: []report.Block{table, plot("fvu", "FVU"), plot("l0", "L0")}}
}

// thinnedCurve leaves out values that a logarithmic axis has no place for.
func thinnedCurve(h lab.History, name string, points int) (x, y []float64) {
	tokens, values := h.Curve(name)
	tokens, values = thinned(tokens, values, points)
	for i, v := range values {
		if v > 0 && !math.IsInf(v, 0) {
			x, y = append(x, tokens[i]), append(y, v)
		}
	}
	return x, y
}

func (r *Result) compared(x *experiment) report.Section {
	s := report.Section{Title: "Compared on held-out texts"}
	what := "the sentence embeddings with and without it are compared"
	if !x.encoder {
		what = "the next-token predictions with and without it are compared"
	}
	tokens := "every token, special ones included"
	if !x.cfg.Text.Special {
		tokens = "every token but special ones"
	}
	if n := x.cfg.Text.FromPos; n > 0 {
		tokens += fmt.Sprintf(" and the first %d positions", n)
	}
	s.Blocks = append(s.Blocks, report.Text{Text: fmt.Sprintf("Spliced: the site's value of %s is replaced by the reconstruction, and %s. Controls: random dictionaries with the same number of latents "+
		"and the target L0, one for each seed; %d principal components of training rows, one number for each active latent; the mean at every position. "+
		"With the reconstruction error kept, the change is %.1e: the splice itself adds nothing.", tokens, what, int(math.Round(x.cfg.TargetL0)), r.Check)})
	for _, name := range r.metricNames() {
		s.Blocks = append(s.Blocks, r.comparison(x, name)...)
	}
	return s
}

// comparison is the table of one metric and, where it ranks, its bars.
func (r *Result) comparison(x *experiment, name string) []report.Block {
	first := r.find(x.cfg.Architectures[0].name(), name)
	title, n := first.Title, first.Texts.N
	t := report.Table{
		Caption: fmt.Sprintf("%s: %d held-out texts; intervals over texts by bootstrap, over seeds by Student's t; margins paired by text, better is positive; seed %d", title, n, x.cfg.Seed),
		Columns: []report.Column{{Name: "dictionary"}, {Name: title}, {Name: "over seeds"}, {Name: "over random"}, {Name: "over PCA"}, {Name: "over mean ablation"}},
	}
	if n == 0 {
		t.Caption = fmt.Sprintf("%s: never active on the %d held-out rows; interval over seeds by Student's t", title, r.Evaluated)
	}
	bar := report.Bar{Title: fmt.Sprintf("%s, with 95 %% intervals over %d texts", title, n), XLabel: "dictionary", YLabel: title}
	for _, method := range r.methods() {
		m := r.find(method, name)
		var texts, seeds any = m.Seeds.Value, nil
		if n > 0 {
			texts = lab.Cell(m.Texts)
			bar.Labels, bar.Values = append(bar.Labels, method), append(bar.Values, m.Texts.Value)
			bar.Low, bar.High = append(bar.Low, m.Texts.Low), append(bar.High, m.Texts.High)
		}
		if m.Seeds.N > 1 {
			seeds = lab.Cell(m.Seeds)
		}
		t.Rows = append(t.Rows, []any{method, texts, seeds, optional(m.OverRandom), optional(m.OverPCA), optional(m.OverAblated)})
	}
	for _, a := range r.Ablated {
		if a.Metric == name {
			t.Rows = append(t.Rows, []any{a.Ablated + " ablation", lab.Cell(a.Texts), nil, nil, nil, nil})
		}
	}
	if !slices.ContainsFunc(r.Rankings, func(k Ranking) bool { return k.Metric == name }) {
		return []report.Block{t}
	}
	return []report.Block{t, bar}
}

func optional(i *stats.Interval) any {
	if i == nil {
		return nil
	}
	return lab.Cell(*i)
}

func (r *Result) ordered(x *experiment) report.Section {
	t := report.Table{
		Caption: fmt.Sprintf("Architectures in order, n = %d seeds: one is below another only where Welch's test over seeds, corrected by Holm, tells them apart at 5 %%", len(x.cfg.Seeds)),
		Columns: []report.Column{{Name: "metric"}, {Name: "order"}},
	}
	for _, k := range r.Rankings {
		t.Rows = append(t.Rows, []any{k.Metric, ranked(k.Order)})
	}
	var l0 []string
	for i := range x.cfg.Architectures {
		a := &x.cfg.Architectures[i]
		l0 = append(l0, fmt.Sprintf("%s %.1f", a.name(), r.find(a.name(), "l0").Seeds.Value))
	}
	return report.Section{Title: "Order", Blocks: []report.Block{
		report.Text{Text: "Read it with the L0 on held-out rows: " + strings.Join(l0, ", ") + ". More active latents reconstruct better."}, t,
	}}
}

func (r *Result) explained(x *experiment) report.Section {
	e := r.Explained
	judge := "the similarity of its embedding to that of a text"
	if !x.encoder {
		judge = "what it adds to the likelihood of a text as a prompt"
	}
	t := report.Table{
		Caption: fmt.Sprintf("Latents of %s; AUC over %d held-out texts with the latent and %d without it; the control is the next latent's description; seed %d", e.SAE, x.cfg.Explain.Texts, x.cfg.Explain.Texts, x.cfg.Seed),
		Columns: []report.Column{{Name: "latent"}, {Name: "active on", Doc: "share of held-out rows"}, {Name: "description"}, {Name: "AUC"}, {Name: "control"}},
	}
	examples := report.Table{
		Caption: "The three strongest examples of each, from different training texts; the active token is in «»",
		Columns: []report.Column{{Name: "latent"}, {Name: "activation"}, {Name: "text"}},
	}
	for _, l := range e.Latents {
		t.Rows = append(t.Rows, []any{l.Latent, l.Density, l.Description, l.AUC, l.Control})
		for _, ex := range l.Examples[:min(3, len(l.Examples))] {
			examples.Rows = append(examples.Rows, []any{l.Latent, ex.Value, ex.text()})
		}
	}
	return report.Section{Title: "Latents and what they stand for", Blocks: []report.Block{
		report.Text{Text: fmt.Sprintf("%d latents were drawn at random, by the seed, among the %d of the autoencoder of lowest FVU that are active in enough training and held-out texts. A description is the list of tokens that carry "+
			"%g of a latent's activation in the training texts; it is scored by %s, over texts it was not made from.", len(e.Latents), e.Eligible, x.cfg.Explain.Cover, judge)},
		report.Numbers{Numbers: []report.Number{
			{Label: "AUC of descriptions", Value: lab.Cell(e.Report.AUC)}, {Label: "of another latent's", Value: lab.Cell(e.Report.Control)}, {Label: "gain", Value: lab.Cell(e.Report.Gain)},
		}}, t, examples,
	}}
}
