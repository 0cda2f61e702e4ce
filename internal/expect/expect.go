// Package expect judges the numbers of a run against expectations that were written down before it.
//
// # Overview
//
// An experiment's expect.yaml is a list of lines
//
//   - metric: splice.cosine        # a number that the run computes
//     use: low                     # its value, or the low or high end of its interval
//     op: ">="
//     value: 0.9
//     from: where the expectation comes from
//
// [Load] reads it, [Judge] gives each line a verdict: reproduced, missed, or not applicable where the run did not
// compute the metric or did not use the settings that the file is for. Misses stay in the table.
package expect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Line is one expectation.
type Line struct {
	Metric string  `json:"metric" yaml:"metric"`
	Use    Part    `json:"use" yaml:"use"`
	Op     string  `json:"op" yaml:"op"` // <= or >=
	Value  float64 `json:"value" yaml:"value"`
	From   string  `json:"from" yaml:"from"`
}

// Part says which number of a metric is compared.
type Part string

// The parts: the estimate, or an end of its interval.
const (
	Estimate Part = "value"
	Low      Part = "low"
	High     Part = "high"
)

// Metric is a computed number; without an interval Low and High are NaN.
type Metric struct {
	Value, Low, High float64
}

// Verdict is the outcome of a line.
type Verdict string

// The verdicts.
const (
	Reproduced    Verdict = "reproduced"
	Missed        Verdict = "missed"
	NotApplicable Verdict = "not applicable"
)

// Judgement is a line with what the run gave.
type Judgement struct {
	Line
	Got     *float64 `json:"got"` // nil where the run did not compute it
	Verdict Verdict  `json:"verdict"`
	Why     string   `json:"why,omitempty"` // why it is not applicable
}

// Load reads an expect.yaml. Unknown keys, unknown operators and lines without a source are errors.
func Load(path string) ([]Line, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("expect: %w", err)
	}
	lines, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("expect: %s: %w", path, err)
	}
	return lines, nil
}

func parse(raw []byte) ([]Line, error) {
	var lines []Line
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(&lines); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(lines) == 0 {
		return nil, errors.New("no expectations; list at least one, with metric, op, value and from")
	}
	for i := range lines {
		l := &lines[i]
		if l.Use == "" {
			l.Use = Estimate
		}
		switch {
		case l.Metric == "":
			return nil, fmt.Errorf("line %d has no metric", i+1)
		case l.Op != "<=" && l.Op != ">=":
			return nil, fmt.Errorf("%s: op is %q; use <= or >=", l.Metric, l.Op)
		case !slices.Contains([]Part{Estimate, Low, High}, l.Use):
			return nil, fmt.Errorf("%s: use is %q; use value, low or high", l.Metric, l.Use)
		case l.From == "":
			return nil, fmt.Errorf("%s: from is empty; say where the expectation comes from", l.Metric)
		case math.IsNaN(l.Value) || math.IsInf(l.Value, 0):
			return nil, fmt.Errorf("%s: value is %v", l.Metric, l.Value)
		}
	}
	return lines, nil
}

// Judge gives every line its verdict, in order.
func Judge(lines []Line, got map[string]Metric) []Judgement {
	out := make([]Judgement, len(lines))
	for i, l := range lines {
		out[i] = judge(l, got)
	}
	return out
}

func judge(l Line, got map[string]Metric) Judgement {
	m, ok := got[l.Metric]
	v := map[Part]float64{Estimate: m.Value, Low: m.Low, High: m.High}[l.Use]
	switch {
	case !ok:
		return Judgement{Line: l, Verdict: NotApplicable, Why: "the run did not compute it"}
	case math.IsNaN(v):
		return Judgement{Line: l, Verdict: NotApplicable, Why: fmt.Sprintf("the run gave it no %s", l.Use)}
	}
	j := Judgement{Line: l, Got: &v, Verdict: Missed}
	if l.Op == "<=" && v <= l.Value || l.Op == ">=" && v >= l.Value {
		j.Verdict = Reproduced
	}
	return j
}

// Refuse marks every line as not applicable, for a run with other settings than the file is for.
func Refuse(lines []Line, why string) []Judgement {
	out := make([]Judgement, len(lines))
	for i, l := range lines {
		out[i] = Judgement{Line: l, Verdict: NotApplicable, Why: why}
	}
	return out
}
