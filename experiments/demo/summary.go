package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"loupe/internal/lab"
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
	_, err := fmt.Fprintf(out, "\nseconds   %s\nprograms  %d compiled\nfolder    %s (report.html, tables/, weights/)\nstore     %s, %d rows\n",
		lab.PrintTimes(r.Times), r.Compiles, r.Folder, r.Store, r.Rows)
	return err
}

func (r *Result) printTables(line func(format string, args ...any)) {
	line("\nSPLICED IN\tcosine of embeddings\t%d-NN agreement\t%d held-out texts", r.Splice.Neighbours, r.Splice.Texts)
	for _, s := range r.Splice.Rows {
		line("%s\t%s\t%s", s.Condition, lab.Short(s.Cosine), lab.Short(s.Agreement))
	}
	line("\nCONCEPT\tlatent\theld-out AUC\tshuffled 95 %%\tuntrained\tcoordinate\twords\tmost active on")
	for _, d := range r.Concepts {
		best := d.Latents[0]
		line("%s\t%d\t%s\t%.3f\t%.3f\t%.3f\t%.3f\t%s", d.Concept, best.Latent, lab.Short(best.AUC), d.Shuffled95,
			d.control(ControlUntrained).AUC.Value, d.control(ControlCoordinate).AUC.Value, d.control(ControlWord).AUC.Value, strings.Join(best.Tokens, " "))
	}
	line("\nABLATED\tprobe before\tafter\tfitted again\tmoved\trandom, corpus\trandom, concept\tshift: concept\ttwins\trest\trest keeps")
	for _, a := range r.Ablations {
		c := a.set(SetChosen)
		line("%s\t%.3f\t%.3f\t%.3f\t%s\t%.3f\t%.3f\t%.4f\t%.4f\t%.5f\t%.4f", a.Concept, a.Accuracy.Value, a.After.Value, a.Refit.Value, lab.Short(c.Moved),
			a.set(SetRandomCorpus).Moved.Value, a.set(SetRandomHere).Moved.Value, c.Concepts.Value, c.Twins.Value, c.Rest.Value, c.Stay.Value)
	}
	lab.PrintExpected(r.Expected, r.Other, line)
}
