package lab

import (
	"cmp"
	"math"
	"slices"

	"loupe/internal/expect"
	"loupe/internal/run"
	"loupe/internal/stats"
)

// NamedMetric is a number that an expectation can name. Low and High are nil without an interval.
type NamedMetric struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Low   *float64 `json:"low"`
	High  *float64 `json:"high"`
}

// Metric is an interval as the expectations read it.
func Metric(i stats.Interval) expect.Metric {
	return expect.Metric{Value: i.Value, Low: i.Low, High: i.High}
}

// Plain is a metric without an interval.
func Plain(v float64) expect.Metric {
	return expect.Metric{Value: v, Low: math.NaN(), High: math.NaN()}
}

// Named lists metrics by name for JSON, where an absent end of an interval is null.
func Named(m map[string]expect.Metric) []NamedMetric {
	var out []NamedMetric
	for name, v := range m {
		n := NamedMetric{Name: name, Value: v.Value}
		if v.Low == v.Low { // not NaN
			n.Low, n.High = &v.Low, &v.High
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b NamedMetric) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// WriteMetrics writes tables/metrics.arrow; without an interval its ends are the value.
func WriteMetrics(dir *run.Dir, metrics []NamedMetric) error {
	end := func(x *float64, otherwise float64) float64 {
		if x == nil {
			return otherwise
		}
		return *x
	}
	var t Table
	t.Text("metric", Column(metrics, func(m NamedMetric) string { return m.Name }))
	t.Float("value", Column(metrics, func(m NamedMetric) float64 { return m.Value }))
	t.Float("low", Column(metrics, func(m NamedMetric) float64 { return end(m.Low, m.Value) }))
	t.Float("high", Column(metrics, func(m NamedMetric) float64 { return end(m.High, m.Value) }))
	t.Add("interval", 0, Column(metrics, func(m NamedMetric) bool { return m.Low != nil }), nil)
	return t.Write(dir, "metrics")
}
