package autoencoders

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"loupe/internal/lab"
	"loupe/internal/stats"
	"loupe/sae"
)

// text marks the active token of an excerpt.
func (e Excerpt) text() string {
	return strings.Join(strings.Fields(e.Before+" «"+strings.TrimSpace(e.Token)+"» "+e.After), " ")
}

// Print writes the summary of a run as aligned text.
func (r *Result) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("%s of %s: %d autoencoders, %d training rows (%.2f epochs), evaluated on %d rows of %d held-out texts, spliced into %d held-out texts",
		r.Site, r.Model, len(r.Trained), r.Training, r.Epochs, r.Evaluated, r.Texts, r.Spliced)
	r.printMeasures(line)
	r.printRankings(line)
	r.printExplained(line)
	lab.PrintExpected(r.Expected, r.Other, line)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("autoencoders: %w", err)
	}
	_, err := fmt.Fprintf(out, "\nseconds   %s\nprograms  %d compiled\nfolder    %s (report.html, tables/, weights/)\nstore     %s, %d rows\n",
		lab.PrintTimes(r.Times), r.Compiles, r.Folder, r.Store, r.Rows)
	return err
}

// printMeasures prints a table a metric: the mean over seeds with both intervals, and the margins over the controls.
func (r *Result) printMeasures(line func(string, ...any)) {
	margin := func(i *stats.Interval) string {
		if i == nil {
			return "-"
		}
		return lab.Short(*i)
	}
	for _, metric := range r.metricNames() {
		line("\n%s\tmean [over texts]\t[over seeds]\tbetter than random by\tthan PCA by\tthan mean ablation by", strings.ToUpper(metric))
		for _, method := range r.methods() {
			m := r.find(method, metric)
			texts, seeds := fmt.Sprintf("%.3f", m.Seeds.Value), "one"
			if m.Texts.N > 0 {
				texts = lab.Short(m.Texts)
			}
			if m.Seeds.N > 1 {
				seeds = fmt.Sprintf("[%.3f, %.3f]", m.Seeds.Low, m.Seeds.High)
			}
			line("%s\t%s\t%s\t%s\t%s\t%s", method, texts, seeds, margin(m.OverRandom), margin(m.OverPCA), margin(m.OverAblated))
		}
		for _, a := range r.Ablated {
			if a.Metric == metric {
				line("%s ablation\t%s", a.Ablated, lab.Short(a.Texts))
			}
		}
	}
}

// ranked writes an order with means and ties, such as 1 topk 0.112, batchtopk 0.1123 (tie); 3 jumprelu 0.2.
func ranked(order []sae.Ranked) string {
	var out []string
	for i := 0; i < len(order); {
		var names []string
		j := i
		for ; j < len(order) && order[j].Rank == order[i].Rank; j++ {
			names = append(names, fmt.Sprintf("%s %.4g", order[j].Name, order[j].Mean.Value))
		}
		s := fmt.Sprintf("%d %s", order[i].Rank, strings.Join(names, ", "))
		if len(names) > 1 {
			s += " (tie)"
		}
		out = append(out, s)
		i = j
	}
	return strings.Join(out, "; ")
}

func (r *Result) printRankings(line func(string, ...any)) {
	line("\nRANKED BY\tover seeds; differences inside the noise are ties")
	for _, k := range r.Rankings {
		line("%s\t%s", k.Metric, ranked(k.Order))
	}
}

func (r *Result) printExplained(line func(string, ...any)) {
	line("\nLATENT\tactive on\tAUC\tcontrol\tdescription\tstrongest example")
	for _, l := range r.Explained.Latents {
		line("%d\t%.4f\t%.3f\t%.3f\t%s\t%s", l.Latent, l.Density, l.AUC, l.Control, l.Description, l.Examples[0].text())
	}
	line("mean\t\t%s\t%s\t%d drawn at random among %d latents of %s", lab.Short(r.Explained.Report.AUC), lab.Short(r.Explained.Report.Control),
		len(r.Explained.Latents), r.Explained.Eligible, r.Explained.SAE)
}
