package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"loupe/internal/stats"
)

// Report is what an evaluation found.
type Report struct {
	Config       Config        `json:"config"`
	Backend      string        `json:"backend"`
	Store        string        `json:"store"` // digest
	Model        string        `json:"model,omitempty"`
	Corpus       string        `json:"corpus,omitempty"`
	Dictionaries []*Dictionary `json:"dictionaries"` // controls included
	Identities   []Identity    `json:"identity,omitempty"`
	Outcomes     []*Outcome    `json:"outcomes"`
	Off          []string      `json:"off,omitempty"` // suites that were not asked for, with the reason for their being off
}

func (b *Bench) newReport(all []*Dictionary) *Report {
	m := b.Store.Manifest()
	return &Report{Config: b.Config, Backend: b.Backend.String(), Store: m.Digest, Model: m.Model.ID, Corpus: m.Corpus.ID, Dictionaries: all}
}

// Of is the part of the report about one dictionary and all controls.
func (r *Report) Of(name string) *Report {
	part := *r
	part.Dictionaries, part.Outcomes, part.Identities = nil, nil, nil
	keep := map[string]bool{}
	for _, d := range r.Dictionaries {
		if d.Name == name || d.Control != "" {
			part.Dictionaries = append(part.Dictionaries, d)
			keep[d.Name] = true
		}
	}
	for _, id := range r.Identities {
		if id.Dictionary == name {
			part.Identities = append(part.Identities, id)
		}
	}
	for _, o := range r.Outcomes {
		own := *o
		own.Scores, own.Methods = nil, nil // a ranking of several methods is the whole report's
		for _, s := range o.Scores {
			if keep[s.Dictionary] || slices.ContainsFunc(o.baselines, func(d *Dictionary) bool { return d.Name == s.Dictionary }) {
				own.Scores = append(own.Scores, s)
			}
		}
		part.Outcomes = append(part.Outcomes, &own)
	}
	return &part
}

// JSON writes the report as indented JSON.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// Print writes a table for each suite.
func (r *Report) Print(w io.Writer) error {
	for i, o := range r.Outcomes {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := o.print(w); err != nil {
			return err
		}
	}
	for _, id := range r.Identities {
		for _, f := range id.Findings {
			fmt.Fprintf(w, "\n%s: %s", id.Dictionary, f)
		}
	}
	for _, off := range r.Off {
		fmt.Fprintf(w, "\n%s", off)
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (o *Outcome) print(w io.Writer) error {
	fmt.Fprintf(w, "%s", strings.ToUpper(o.Suite))
	if o.On != "" {
		fmt.Fprintf(w, ": %s", o.On)
	}
	fmt.Fprintln(w)
	if len(o.Methods) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprint(t, "METHOD\tSEEDS\tRANK")
		for _, m := range o.shown() {
			fmt.Fprintf(t, "\t%s", strings.ReplaceAll(m.Name, "_", " "))
		}
		fmt.Fprintln(t)
		for _, m := range o.Methods {
			name := m.Method
			if m.Control != "" {
				name = "control: " + name
			}
			fmt.Fprintf(t, "%s\t%d\t%s", name, m.Seeds, m.place())
			for _, metric := range o.shown() {
				v, ok := m.Values[metric.Name]
				fmt.Fprintf(t, "\t%s", cell(v, ok))
			}
			fmt.Fprintln(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.LeftOut)) {
		fmt.Fprintf(w, "left out: %s: %s\n", name, o.LeftOut[name])
	}
	for _, n := range o.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	return nil
}

// shown are the metrics that have a column in the printed table.
func (o *Outcome) shown() []Metric {
	return slices.DeleteFunc(slices.Clone(o.Metrics), func(m Metric) bool { return m.Hidden })
}

// place is the rank, with "=" where others share it.
func (m MethodScore) place() string {
	switch {
	case m.Rank == 0:
		return "-"
	case m.Ties > 0:
		return strconv.Itoa(m.Rank) + "="
	}
	return strconv.Itoa(m.Rank)
}

func cell(v stats.Interval, ok bool) string {
	if !ok {
		return "-"
	}
	value, low, high := short(v.Value), short(v.Low), short(v.High)
	if low == value && high == value {
		return value
	}
	return fmt.Sprintf("%s [%s, %s]", value, low, high)
}

// short is a number with about four digits.
func short(v float64) string {
	a := v
	if a < 0 {
		a = -a
	}
	switch {
	case a >= 1e5 || a > 0 && a < 1e-4:
		return strconv.FormatFloat(v, 'e', 2, 64)
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 4, 64)
}
