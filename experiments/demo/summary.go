package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Print writes the summary of a run as aligned text.
func (r *Result) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	line("AUTOENCODER\t%s of %s, %d latents, k %d, %d tokens", r.Site, r.Model, r.DSAE, r.K, r.Tokens)
	line("FVU\t%.4f\ton %d held-out tokens", r.SAE.FVU, r.SAE.Rows)
	line("L0\t%.2f", r.SAE.L0)
	line("dead latents\t%d of %d", r.SAE.Dead, r.DSAE)
	r.printTables(line)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var times []string
	total := 0.0
	for _, t := range r.Times {
		s := fmt.Sprintf("%s %.1f", t.Step, t.Seconds)
		if t.Reused {
			s += " (store reused)"
		}
		times, total = append(times, s), total+t.Seconds
	}
	_, err := fmt.Fprintf(out, "\nseconds   %s; in all %.1f\nprograms  %d compiled\nfolder    %s (report.html, tables/, weights/)\nstore     %s, %d rows\n",
		strings.Join(times, ", "), total, r.Compiles, r.Folder, r.Store, r.Rows)
	return err
}

func (r *Result) printTables(line func(format string, args ...any)) {
	line("\nSPLICED IN\tcosine of embeddings\t%d-NN agreement\t%d held-out texts", r.Splice.Neighbours, r.Splice.Texts)
	for _, s := range r.Splice.Rows {
		line("%s\t%s\t%s", s.Condition, short(s.Cosine), short(s.Agreement))
	}
	line("\nCONCEPT\tlatent\theld-out AUC\tshuffled 95 %%\tuntrained\tcoordinate\twords\tmost active on")
	for _, d := range r.Concepts {
		best := d.Latents[0]
		line("%s\t%d\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%s", d.Concept, best.Latent, short(best.AUC), d.Shuffled95,
			d.control(ControlUntrained).AUC.Value, d.control(ControlCoordinate).AUC.Value, d.control(ControlWord).AUC.Value, strings.Join(best.Tokens, " "))
	}
	line("\nABLATED\tprobe before\tafter\tfitted again\tmoved\trandom, corpus\trandom, concept\tshift: concept\ttwins\trest\trest keeps")
	for _, a := range r.Ablations {
		c := a.set(SetChosen)
		line("%s\t%.3f\t%.3f\t%.3f\t%s\t%.3f\t%.3f\t%.4f\t%.4f\t%.5f\t%.4f", a.Concept, a.Accuracy.Value, a.After.Value, a.Refit.Value, short(c.Moved),
			a.set(SetRandomCorpus).Moved.Value, a.set(SetRandomHere).Moved.Value, c.Concepts.Value, c.Twins.Value, c.Rest.Value, c.Stay.Value)
	}
	r.printExpected(line)
}

func (r *Result) printExpected(line func(format string, args ...any)) {
	if len(r.Expected) == 0 {
		return
	}
	if r.Other != "" {
		line("\nEXPECTED\tnot judged: %s", r.Other)
		return
	}
	line("\nEXPECTED\tcompared\texpected\tgot\tverdict")
	for _, j := range r.Expected {
		got := "-"
		if j.Got != nil {
			got = fmt.Sprintf("%.4g", *j.Got)
		}
		line("%s\t%s\t%s %g\t%s\t%s", j.Metric, j.Use, j.Op, j.Value, got, j.Verdict)
	}
}
