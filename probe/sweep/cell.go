package sweep

import (
	"context"
	"fmt"
	"slices"

	"loupe/internal/stats"
	"loupe/probe"
)

// Cell is what a probe of one target at one site and position scored, beside its controls.
type Cell struct {
	Site     string     `json:"site"`
	Layer    int        `json:"layer"` // -1 outside blocks
	Position string     `json:"position"`
	Target   string     `json:"target"`
	Task     probe.Task `json:"task"`
	Method   string     `json:"method"`
	Train    int        `json:"train"` // rows
	Test     int        `json:"test"`
	Groups   int        `json:"groups"`  // of the test rows: the interval's independent units
	Dropped  int        `json:"dropped"` // texts without the position
	Weights  int        `json:"weights"` // columns with weight; 0 where the method has none

	Score     probe.Metrics `json:"score"`      // on the test rows
	TrainGain float64       `json:"train_gain"` // the same figure on the training rows
	Figure    float64       `json:"figure"`     // the one that cells are compared by: AUC, or R² of a regression

	CV          *probe.Metrics `json:"cv,omitempty"` // on the training rows
	Calibration *Calibration   `json:"calibration,omitempty"`
	Shuffled    *Shuffled      `json:"shuffled,omitempty"`
	ControlTask *ControlTask   `json:"control_task,omitempty"`
	MDL         *CodeLengths   `json:"mdl,omitempty"`
	Probe       string         `json:"probe,omitempty"` // card of the saved probe, in the run folder
	fitted      fitted         // for saving
	calibrator  *probe.Calibrator
}

// Shuffled is the figure of probes that were fitted to shuffled labels, on the real test labels' shuffle.
type Shuffled struct {
	N       int       `json:"n"`
	Mean    float64   `json:"mean"`
	Max     float64   `json:"max"`
	P       float64   `json:"p"` // share of shuffles at least as good, the real labels counted in
	Figures []float64 `json:"figures"`
}

// ControlTask is how far the probe remembers types: accuracies on rows of types that it has seen.
type ControlTask struct {
	Types       string         `json:"types"`
	Real        float64        `json:"real"`
	Control     float64        `json:"control"`
	Selectivity stats.Interval `json:"selectivity"` // Real - Control
}

// Calibration is the reliability on the test rows before and after a sigmoid or temperature that was fitted to
// cross-validated scores of the training rows.
type Calibration struct {
	Before probe.Reliability `json:"before"`
	After  probe.Reliability `json:"after"`
}

// CodeLengths are those of the real and of shuffled labels.
type CodeLengths struct {
	Real     probe.CodeLength `json:"real"`
	Shuffled probe.CodeLength `json:"shuffled"`
}

// inputs are the activations of a batch's units: single ones, or the tokens of texts.
type inputs struct {
	rows   probe.Rows
	tokens *probe.Sequences
}

func (in inputs) take(index []int) inputs {
	if in.tokens == nil {
		return inputs{rows: in.rows.Take(index)}
	}
	t := in.tokens.Take(index)
	return inputs{tokens: &t}
}

// fitted is a probe of either kind.
type fitted struct {
	function  probe.Function
	attention *probe.Attention
}

func (f fitted) scores(in inputs) ([]float64, error) {
	if f.attention == nil {
		return f.function.Scores(in.rows)
	}
	s, _, err := f.attention.Scores(*in.tokens)
	return s, err
}

// fit fits the configured method.
func (c *Config) fit(ctx context.Context, in inputs, targets []probe.Target, group []int) ([]fitted, error) {
	out := make([]fitted, len(targets))
	if in.tokens != nil {
		for i, t := range targets {
			a, err := probe.FitAttention(ctx, *in.tokens, t, c.Attention, c.Seed)
			if err != nil {
				return nil, err
			}
			out[i].attention = a
		}
		return out, nil
	}
	fits, err := c.Method.Fit(ctx, in.rows, targets, group, c.Seed)
	if err != nil {
		return nil, err
	}
	for i, f := range fits {
		out[i].function = f
	}
	return out, nil
}

// cells fits and scores a batch's targets on activations x of its units.
func (c *Config) cells(ctx context.Context, b *batch, in inputs) ([]Cell, error) {
	train, test := b.split.Train, b.split.Test
	xTrain, xTest := in.take(train), in.take(test)
	groupTrain, groupTest := pick(b.group, train), pick(b.group, test)
	shuffles := c.Controls.Shuffles
	var all []probe.Target // real, then its shuffles, target by target
	for _, t := range b.targets {
		all = append(all, t)
		for s := range shuffles {
			all = append(all, shuffle(t, b, c.Seed+uint64(s)+1))
		}
	}
	ofTrain := make([]probe.Target, len(all))
	for i, t := range all {
		ofTrain[i] = t.Take(train)
	}
	fits, err := c.fit(ctx, xTrain, ofTrain, groupTrain)
	if err != nil {
		return nil, err
	}
	out := make([]Cell, len(b.targets))
	for i, t := range b.targets {
		at := i * (shuffles + 1)
		cell := Cell{
			Target: t.Name, Task: t.Task, Method: c.Method.Name, Train: len(train), Test: len(test), Groups: distinct(groupTest),
			fitted: fits[at], Weights: weights(fits[at]),
		}
		score := func(k int, x inputs, t probe.Target, group []int, intervals probe.IntervalConfig) (probe.Metrics, error) {
			s, err := fits[k].scores(x)
			if err != nil {
				return probe.Metrics{}, err
			}
			return probe.Evaluate(ctx, t, s, group, intervals, c.Seed)
		}
		if cell.Score, err = score(at, xTest, t.Take(test), groupTest, c.Intervals); err != nil {
			return nil, err
		}
		cell.Figure = figure(t.Task, cell.Score)
		onTrain, err := score(at, xTrain, t.Take(train), groupTrain, quick(c.Intervals))
		if err != nil {
			return nil, err
		}
		cell.TrainGain = figure(t.Task, onTrain)
		if shuffles > 0 {
			cell.Shuffled = &Shuffled{N: shuffles}
			for k := at + 1; k <= at+shuffles; k++ {
				m, err := score(k, xTest, all[k].Take(test), groupTest, quick(c.Intervals))
				if err != nil {
					return nil, err
				}
				cell.Shuffled.add(figure(t.Task, m), cell.Figure)
			}
		}
		out[i] = cell
	}
	for _, more := range []func(context.Context, *batch, inputs, []Cell) error{c.selectivity, c.crossValidate, c.codeLengths} {
		if err := more(ctx, b, in, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// shuffle permutes labels within the training and within the test rows, whole types (words) where each has one label.
func shuffle(t probe.Target, b *batch, seed uint64) probe.Target {
	group := b.group
	if b.types.Values != nil {
		group = b.types.Numbers()
	}
	out := t
	out.Class, out.Value = slices.Clone(t.Class), slices.Clone(t.Value)
	for _, rows := range [][]int{b.split.Train, b.split.Test} {
		s := probe.ShuffledLabels(t.Take(rows), pick(group, rows), seed)
		for i, r := range rows {
			if t.Task == probe.Regression {
				out.Value[r] = s.Value[i]
			} else {
				out.Class[r] = s.Class[i]
			}
		}
	}
	out.Name = t.Name + " (shuffled)"
	return out
}

// add counts one shuffle's figure.
func (s *Shuffled) add(v, real float64) {
	s.Figures = append(s.Figures, v)
	n := float64(len(s.Figures))
	s.Mean += (v - s.Mean) / n
	s.Max = slices.Max(s.Figures)
	atLeast := 1.0
	for _, f := range s.Figures {
		if f >= real {
			atLeast++
		}
	}
	s.P = atLeast / (n + 1)
}

// figure is what cells are compared by.
func figure(task probe.Task, m probe.Metrics) float64 {
	if task == probe.Regression {
		return m.R2.Value
	}
	return m.AUC.Value
}

// quick is for figures whose interval is not shown.
func quick(c probe.IntervalConfig) probe.IntervalConfig {
	c.Resamples = 20
	return c
}

// selectivity fits the targets and their control tasks to rows that leave some rows of every type out.
func (c *Config) selectivity(ctx context.Context, b *batch, in inputs, cells []Cell) error {
	if b.types.Values == nil || len(b.seen.Test) == 0 {
		return nil
	}
	var targets []probe.Target
	for _, t := range b.targets {
		control, err := probe.ControlTask(t, b.types, c.Seed)
		if err != nil {
			return err
		}
		targets = append(targets, t.Take(b.seen.Train), control.Take(b.seen.Train))
		if err := targets[len(targets)-1].Check(len(b.seen.Train), 1); err != nil {
			return fmt.Errorf("%w; set controls.types to another key, or empty", err)
		}
	}
	fits, err := c.fit(ctx, in.take(b.seen.Train), targets, pick(b.group, b.seen.Train))
	if err != nil {
		return err
	}
	test := in.take(b.seen.Test)
	group := pick(b.group, b.seen.Test)
	for i, t := range b.targets {
		control, err := probe.ControlTask(t, b.types, c.Seed)
		if err != nil {
			return err
		}
		var hits [2][]float64
		for k, of := range []probe.Target{t, control} {
			s, err := fits[2*i+k].scores(test)
			if err != nil {
				return err
			}
			hits[k] = probe.Hits(of.Take(b.seen.Test), s)
		}
		gain := make([]float64, len(hits[0]))
		out := &ControlTask{Types: b.types.Name}
		for j := range gain {
			gain[j] = hits[0][j] - hits[1][j]
			out.Real += hits[0][j] / float64(len(gain))
			out.Control += hits[1][j] / float64(len(gain))
		}
		boot := stats.BootstrapConfig{Resamples: c.Intervals.Resamples, Level: c.Intervals.Level, Method: stats.Percentile, Seed: c.Seed}
		r, err := stats.BootstrapClusters(ctx, group, stats.MeanOf(gain), boot)
		if err != nil {
			return fmt.Errorf("probe: selectivity of %s: %w", t.Name, err)
		}
		out.Selectivity = r.Interval
		cells[i].ControlTask = out
	}
	return nil
}

// crossValidate scores the training rows out of fold, and calibrates by these scores.
func (c *Config) crossValidate(ctx context.Context, b *batch, in inputs, cells []Cell) error {
	if c.Folds == 0 {
		return nil
	}
	train := b.split.Train
	targets := make([]probe.Target, len(b.targets))
	for i, t := range b.targets {
		targets[i] = t.Take(train)
	}
	cv, err := probe.CrossValidate(ctx, c.Method, in.rows.Take(train), targets, pick(b.group, train), c.Folds, c.Intervals, c.Seed)
	if err != nil {
		return err
	}
	for i, t := range targets {
		cells[i].CV = &cv[i].Metrics
		if t.Task == probe.Regression {
			continue
		}
		fit, err := probe.Calibrate(t, cv[i].Scores)
		if err != nil {
			return err
		}
		scores, err := cells[i].fitted.scores(in.take(b.split.Test))
		if err != nil {
			return err
		}
		both := &Calibration{}
		test := b.targets[i].Take(b.split.Test)
		for k, s := range [][]float64{scores, fit.Apply(scores)} {
			p, err := probe.Probabilities(test, s)
			if err != nil {
				return err
			}
			r, err := probe.Calibration(test, p, c.Bins)
			if err != nil {
				return err
			}
			*[]*probe.Reliability{&both.Before, &both.After}[k] = r
		}
		cells[i].Calibration, cells[i].calibrator = both, &fit
	}
	return nil
}

// codeLengths measures the real labels beside shuffled ones.
func (c *Config) codeLengths(ctx context.Context, b *batch, in inputs, cells []Cell) error {
	if !c.MDL.On || cells[0].Task == probe.Regression {
		return nil
	}
	train := b.split.Train
	var targets []probe.Target
	for _, t := range b.targets {
		targets = append(targets, t.Take(train), shuffle(t, b, c.Seed).Take(train))
	}
	lengths, err := probe.OnlineCode(ctx, c.Method, in.rows.Take(train), targets, c.MDL.MDLConfig, c.Seed)
	if err != nil {
		return err
	}
	for i := range cells {
		cells[i].MDL = &CodeLengths{Real: lengths[2*i], Shuffled: lengths[2*i+1]}
	}
	return nil
}

func distinct(group []int) int {
	seen := map[int]bool{}
	for _, g := range group {
		seen[g] = true
	}
	return len(seen)
}

// weights counts the columns with weight of a linear probe.
func weights(f fitted) int {
	l, ok := f.function.(probe.Linear)
	if !ok {
		return 0
	}
	n := 0
	for j := range l.D {
		for c := range l.Bias {
			if l.Weights[c*l.D+j] != 0 {
				n++
				break
			}
		}
	}
	return n
}
