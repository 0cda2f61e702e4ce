package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"loupe/probe/capture"
)

// Plan is what a run would do and cost.
type Plan struct {
	Steps   []PlanStep   `json:"steps"`
	Seconds float64      `json:"seconds"` // estimated for all steps
	Capture capture.Plan `json:"capture"` // measured on one batch
}

// PlanStep is a step with its size and its estimated time.
type PlanStep struct {
	Step    string  `json:"step"`
	Work    string  `json:"work"`
	Bytes   int64   `json:"bytes"` // on disk
	Seconds float64 `json:"seconds"`
}

// NewPlan begins with a capture, which costs no time where its store is complete.
func NewPlan(c capture.Plan, store string) *Plan {
	p := &Plan{Capture: c}
	work, seconds := fmt.Sprintf("%d tokens of %d documents to %s", c.Estimate.Tokens, c.Documents, store), c.Seconds
	if _, err := os.Stat(filepath.Join(store, "manifest.json")); err == nil {
		work, seconds = work+" (there already)", 0
	}
	p.Add("capture", work, c.Bytes, seconds)
	return p
}

// Add adds a step.
func (p *Plan) Add(step, work string, bytes int64, seconds float64) {
	p.Steps = append(p.Steps, PlanStep{step, work, bytes, seconds})
	p.Seconds += seconds
}

// Print writes the plan as aligned text.
func (p *Plan) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tWORK\tMB\tSECONDS, ABOUT")
	for _, s := range p.Steps {
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\n", s.Step, s.Work, float64(s.Bytes)/1e6, s.Seconds)
	}
	fmt.Fprintf(w, "in all\t\t\t%.0f\n", p.Seconds)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("lab: %w", err)
	}
	return nil
}
