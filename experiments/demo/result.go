package demo

import (
	"context"
	"fmt"
	"slices"

	"loupe/internal/expect"
	"loupe/internal/lab"
	"loupe/sae"
)

// Result is everything that a run found. Times are of this process; nothing else depends on the machine.
type Result struct {
	Folder    string             `json:"folder"`
	Store     string             `json:"store"`
	Model     string             `json:"model"`
	Site      string             `json:"site"`
	Rows      int64              `json:"rows"` // of the store: tokens
	DSAE      int                `json:"d_sae"`
	K         int                `json:"k"`
	Tokens    int64              `json:"tokens"` // trained on
	SAE       sae.Result         `json:"sae"`    // on held-out rows, special tokens left out
	Splice    *SpliceResult      `json:"splice"`
	Concepts  []*Detection       `json:"concepts"`
	Ablations []*Ablation        `json:"ablations"`
	Metrics   []lab.NamedMetric  `json:"metrics"`
	Expected  []expect.Judgement `json:"expected"`
	Other     string             `json:"not_judged,omitempty"` // why the expectations were not judged
	Compiles  int                `json:"compiles"`
	Times     []lab.StepTime     `json:"times"`
}

// control returns a detection's control by name.
func (d *Detection) control(name string) Control {
	i := slices.IndexFunc(d.Controls, func(c Control) bool { return c.Name == name })
	return d.Controls[i]
}

// set returns the row of a set of latents.
func (a *Ablation) set(name string) AblationRow {
	i := slices.IndexFunc(a.Rows, func(r AblationRow) bool { return r.Set == name })
	return a.Rows[i]
}

// metrics computes the numbers that stand for the run. Means over concepts have intervals over concepts where there are
// at least two.
func (r *Result) metrics(ctx context.Context, seed int64) (map[string]expect.Metric, error) {
	out := map[string]expect.Metric{
		"sae.fvu":                         lab.Plain(r.SAE.FVU),
		"sae.l0":                          lab.Plain(r.SAE.L0),
		"sae.dead_share":                  lab.Plain(float64(r.SAE.Dead) / float64(r.DSAE)),
		"splice.cosine":                   lab.Metric(r.Splice.Rows[0].Cosine),
		"splice.agreement":                lab.Metric(r.Splice.Rows[0].Agreement),
		"splice.cosine_over_mean":         lab.Metric(r.Splice.CosineOverMean),
		"splice.agreement_over_mean":      lab.Metric(r.Splice.AgreementOverMean),
		"splice.cosine_over_untrained":    lab.Metric(r.Splice.CosineOverUntrained),
		"splice.agreement_over_untrained": lab.Metric(r.Splice.AgreementOverUntrained),
	}
	var failed error
	overConcepts := func(name string, x []float64) {
		if len(x) < 2 {
			out[name] = lab.Plain(x[0])
			return
		}
		i, err := lab.MeanOver(ctx, x, lab.UpTo(len(x)), seed)
		if err != nil && failed == nil {
			failed = fmt.Errorf("demo: %s: %w", name, err)
		}
		out[name] = lab.Metric(i)
	}
	var auc, untrained, coordinate []float64
	above := 0
	for _, d := range r.Concepts {
		best := d.Latents[0].AUC.Value
		auc = append(auc, best)
		untrained = append(untrained, best-d.control(ControlUntrained).AUC.Value)
		coordinate = append(coordinate, best-d.control(ControlCoordinate).AUC.Value)
		if best > d.Shuffled95 {
			above++
		}
	}
	out["detect.above_shuffled"] = lab.Plain(float64(above))
	out["detect.auc_median"] = lab.Plain(median(auc))
	overConcepts("detect.auc", auc)
	overConcepts("detect.auc_over_untrained", untrained)
	overConcepts("detect.auc_over_coordinate", coordinate)

	collect := func(of func(a *Ablation) float64) []float64 {
		x := make([]float64, len(r.Ablations))
		for i, a := range r.Ablations {
			x[i] = of(a)
		}
		return x
	}
	moved := func(set string) func(a *Ablation) float64 {
		return func(a *Ablation) float64 { return a.set(set).Moved.Value }
	}
	shift := func(set string) float64 {
		return sum(collect(func(a *Ablation) float64 { return a.set(set).Concepts.Value }))
	}
	overConcepts("ablate.moved", collect(moved(SetChosen)))
	overConcepts("ablate.moved_random_corpus", collect(moved(SetRandomCorpus)))
	overConcepts("ablate.moved_random_concept", collect(moved(SetRandomHere)))
	overConcepts("ablate.moved_over_random_concept", lab.Minus(collect(moved(SetChosen)), collect(moved(SetRandomHere))))
	overConcepts("ablate.drop", collect(func(a *Ablation) float64 { return a.set(SetChosen).Drop.Value }))
	overConcepts("ablate.refit_drop", collect(func(a *Ablation) float64 { return a.Accuracy.Value - a.Refit.Value }))
	overConcepts("ablate.rest_agreement", collect(func(a *Ablation) float64 { return a.set(SetChosen).Stay.Value }))
	// A ratio to a shift of zero is left out.
	if rest := sum(collect(func(a *Ablation) float64 { return a.set(SetChosen).Rest.Value })); rest > 0 {
		out["ablate.concept_over_rest"] = lab.Plain(shift(SetChosen) / rest)
	}
	if random := shift(SetRandomCorpus); random > 0 {
		out["ablate.concept_over_random"] = lab.Plain(shift(SetChosen) / random)
	}
	return out, failed
}

func sum(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += v
	}
	return s
}

// median of x, the mean of the middle two where their number is even.
func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Judged is every expectation with its verdict.
func (r *Result) Judged() []expect.Judgement { return r.Expected }
