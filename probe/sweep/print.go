package sweep

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"loupe/internal/lab"
	"loupe/probe"
)

// Print writes the scores beside their controls.
func (r *Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s probes of %s, in %s\n", r.Method, r.Model, r.Run)
	fmt.Fprintln(w, "TARGET\tSITE\tPOSITION\tROWS\tSCORE\tACCURACY\tSHUFFLED\tSELECTIVITY\tCV\tECE\tMDL")
	for _, c := range r.Cells {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", c.Target, c.Site, c.Position, c.Train, c.Test, headline(c.Task, c.Score), accuracy(c.Task, c.Score), controlCells(c))
	}
	for _, b := range r.Baselines {
		task := probe.Binary
		if b.Score.R2.N > 0 {
			task = probe.Regression
		}
		fmt.Fprintf(w, "%s\t%s\t\t\t%s\t%s\n", b.Target, b.Kind, headline(task, b.Score), accuracy(task, b.Score))
	}
	return w.Flush()
}

// headline is the AUC, or R² of a regression, with its interval.
func headline(task probe.Task, m probe.Metrics) string {
	if task == probe.Regression {
		return "R² " + lab.Short(m.R2)
	}
	return "AUC " + lab.Short(m.AUC)
}

func accuracy(task probe.Task, m probe.Metrics) string {
	if task == probe.Regression {
		return "-"
	}
	return fmt.Sprintf("%.3f (majority %.3f)", m.Accuracy.Value, m.Majority)
}

// controlCells are the cells after the score: shuffled labels, selectivity, cross-validation, calibration, code length.
func controlCells(c Cell) string {
	out := []string{"-", "-", "-", "-", "-"}
	if s := c.Shuffled; s != nil {
		out[0] = fmt.Sprintf("%.3f (most %.3f of %d)", s.Mean, s.Max, s.N)
	}
	if s := c.ControlTask; s != nil {
		out[1] = lab.Short(s.Selectivity)
	}
	if c.CV != nil {
		out[2] = headline(c.Task, *c.CV)
	}
	if s := c.Calibration; s != nil {
		out[3] = fmt.Sprintf("%.3f, calibrated %.3f", s.Before.ECE, s.After.ECE)
	}
	if s := c.MDL; s != nil {
		out[4] = fmt.Sprintf("%.0f bits, shuffled %.0f", s.Real.Bits, s.Shuffled.Bits)
	}
	return strings.Join(out, "\t")
}

// Print writes the scores.
func (e *Evaluation) Print(out io.Writer) error {
	task := probe.Binary
	if e.Score.R2.N > 0 {
		task = probe.Regression
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "probe\t%s (%s) of %s at %s\n", e.Probe, e.Method, e.Site, e.Position)
	fmt.Fprintf(w, "target\t%s: %d rows of %d groups, %d left out\n", e.Target, e.Rows, e.Groups, e.Dropped)
	fmt.Fprintf(w, "score\t%s, p %.4f under shuffled labels\n", headline(task, e.Score), e.P)
	if task != probe.Regression {
		fmt.Fprintf(w, "accuracy\t%s, majority %.3f, F1 %.3f\n", lab.Short(e.Score.Accuracy), e.Score.Majority, e.Score.F1)
	}
	if c := e.Calibration; c != nil {
		fmt.Fprintf(w, "calibration\tECE %.3f, Brier %.3f, log loss %.3f nats\n", c.ECE, c.Brier, c.LogLoss)
	}
	return w.Flush()
}
