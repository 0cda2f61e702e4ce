package autoencoders

import (
	"slices"

	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/internal/stats"
)

// Result is everything that a run found. Times are of this process; nothing else depends on the machine.
type Result struct {
	Folder    string             `json:"folder"`
	Store     string             `json:"store"`
	Model     string             `json:"model"`
	Site      string             `json:"site"`
	Rows      int64              `json:"rows"`      // of the store: tokens
	Training  int64              `json:"training"`  // rows of one epoch
	Epochs    float64            `json:"epochs"`    // rows trained on over rows of one epoch
	Evaluated int64              `json:"evaluated"` // held-out rows
	Texts     int                `json:"texts"`     // that these rows are of
	Spliced   int                `json:"spliced"`   // held-out texts spliced
	Check     float64            `json:"check"`     // change when the error is kept
	Trained   []Trained          `json:"trained"`
	Measures  []Measure          `json:"measures"`
	Rankings  []Ranking          `json:"rankings"`
	Ablated   []AblatedNumber    `json:"ablated"`
	Explained *Explained         `json:"explained"`
	Metrics   []lab.NamedMetric  `json:"metrics"`
	Expected  []expect.Judgement `json:"expected"`
	Other     string             `json:"not_judged,omitempty"` // why the expectations were not judged
	Compiles  int                `json:"compiles"`
	Times     []lab.StepTime     `json:"times"`
}

// AblatedNumber is a metric of mean or zero ablation.
type AblatedNumber struct {
	Metric  string         `json:"metric"`
	Ablated string         `json:"ablated"` // mean or zero
	Texts   stats.Interval `json:"texts"`
}

// find returns a method's metric, or nil.
func (r *Result) find(method, metric string) *Measure {
	i := slices.IndexFunc(r.Measures, func(m Measure) bool { return m.Method == method && m.Metric == metric })
	if i < 0 {
		return nil
	}
	return &r.Measures[i]
}

// methods lists the methods in the order of the tables.
func (r *Result) methods() []string {
	var out []string
	for _, m := range r.Measures {
		if !slices.Contains(out, m.Method) {
			out = append(out, m.Method)
		}
	}
	return out
}

// metricNames lists the metrics in the order of the tables.
func (r *Result) metricNames() []string {
	var out []string
	for _, m := range r.Measures {
		if !slices.Contains(out, m.Metric) {
			out = append(out, m.Metric)
		}
	}
	return out
}

// numbers are what expectations can name: <method>.<metric> with its interval over texts (over seeds, where texts do not
// resample it), <method>.<metric>.seeds over seeds, .over_random, .over_pca and .over_mean_ablation for the margins,
// .rank among the architectures, and explain.auc, .control_auc and .gain.
func (r *Result) numbers() map[string]expect.Metric {
	out := map[string]expect.Metric{
		"explain.auc": lab.Metric(r.Explained.Report.AUC), "explain.control_auc": lab.Metric(r.Explained.Report.Control),
		"explain.gain": lab.Metric(r.Explained.Report.Gain), "splice.error_kept": lab.Plain(r.Check),
	}
	for _, m := range r.Measures {
		name := m.Method + "." + m.Metric
		seeds := lab.Plain(m.Seeds.Value)
		if m.Seeds.N > 1 {
			seeds = lab.Metric(m.Seeds)
		}
		out[name], out[name+".seeds"] = seeds, seeds
		if m.Texts.N > 0 {
			out[name] = lab.Metric(m.Texts)
		}
		for over, i := range map[string]*stats.Interval{"random": m.OverRandom, "pca": m.OverPCA, "mean_ablation": m.OverAblated} {
			if i != nil {
				out[name+".over_"+over] = lab.Metric(*i)
			}
		}
	}
	for _, k := range r.Rankings {
		for _, c := range k.Order {
			out[c.Name+"."+k.Metric+".rank"] = lab.Plain(float64(c.Rank))
		}
	}
	return out
}

// Judged is every expectation with its verdict.
func (r *Result) Judged() []expect.Judgement { return r.Expected }
