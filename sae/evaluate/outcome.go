package evaluate

import "loupe/internal/stats"

// Direction says which values of a metric are better.
type Direction int

// The directions: neither, higher values, lower values.
const (
	Neither Direction = 0
	Higher  Direction = 1
	Lower   Direction = -1
)

// Metric is a column of an outcome.
type Metric struct {
	Name   string    `json:"name"`
	Better Direction `json:"better"` // 1: higher, -1: lower, 0: neither
	Hidden bool      `json:"-"`      // it has no column in the printed table
}

// Score is what a suite says about one dictionary.
type Score struct {
	Dictionary string                    `json:"dictionary"`
	Values     map[string]stats.Interval `json:"values"`
	Detail     any                       `json:"detail,omitempty"`
}

// Outcome is what a suite says about dictionaries and controls.
type Outcome struct {
	Suite   string            `json:"suite"`
	On      string            `json:"on"`      // what was measured, and where intervals come from
	Metrics []Metric          `json:"metrics"` // the first one ranks
	Scores  []Score           `json:"scores"`  // one for each dictionary that was measured
	LeftOut map[string]string `json:"left_out,omitempty"`
	Notes   []string          `json:"notes,omitempty"`
	Methods []MethodScore     `json:"methods,omitempty"` // the scores of each method's seeds joined; see Bench.Measure

	baselines []*Dictionary // rows of Scores that stand for no dictionary
}

// leaveOut records why a dictionary was not measured.
func (o *Outcome) leaveOut(d *Dictionary, why string) {
	if o.LeftOut == nil {
		o.LeftOut = map[string]string{}
	}
	o.LeftOut[d.Name] = why
}

// exact is a value without an interval.
func exact(v float64) stats.Interval { return stats.Interval{Value: v, Low: v, High: v, N: 1} }
