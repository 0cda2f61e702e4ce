package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
)

// metrics is the open metrics.jsonl.
type metrics struct {
	f     file
	bytes int64 // written so far
	step  int64 // last step
	begun bool  // step is set
}

// NonFiniteError says that a metric was NaN or infinite.
type NonFiniteError struct {
	Step       int64
	Metric     string
	Value      float64
	Checkpoint string // the last good one, "" if there is none
}

func (e *NonFiniteError) Error() string {
	from := "there is no checkpoint to go back to"
	if e.Checkpoint != "" {
		from = "the last good checkpoint is " + e.Checkpoint
	}
	return fmt.Sprintf("run: step %d: metric %s is %v; %s; lower the learning rate or look at the data of this step", e.Step, e.Metric, e.Value, from)
}

// Metrics appends one line to metrics.jsonl. Steps may not decrease. NaN or infinity is a *[NonFiniteError], and the
// line is not written.
func (d *Dir) Metrics(step int64, values map[string]float64) error {
	return d.writeMetrics(step, "", "", values)
}

// MetricsOf is Metrics for one of several things that a step trains: the line has the key with that thing's name.
func (d *Dir) MetricsOf(step int64, key, name string, values map[string]float64) error {
	if key == "" || key == "step" {
		return fmt.Errorf("run: step %d: %q is no key for a name", step, key)
	}
	return d.writeMetrics(step, key, name, values)
}

func (d *Dir) writeMetrics(step int64, key, name string, values map[string]float64) error {
	names := slices.Sorted(maps.Keys(values))
	for _, n := range names {
		if v := values[n]; math.IsNaN(v) || math.IsInf(v, 0) {
			last, _, err := d.LastCheckpoint()
			if key != "" {
				n = fmt.Sprintf("%s of %s %s", n, key, name)
			}
			return errors.Join(&NonFiniteError{Step: step, Metric: n, Value: v, Checkpoint: last.Path}, err)
		}
	}
	line := append([]byte(`{"step":`), strconv.FormatInt(step, 10)...)
	if key != "" {
		pair, err := json.Marshal(map[string]string{key: name})
		if err != nil {
			return fmt.Errorf("run: step %d: %s %q: %w", step, key, name, err)
		}
		line = append(append(line, ','), pair[1:len(pair)-1]...)
	}
	for _, n := range names {
		if n == "step" || n == "" || n == key {
			return fmt.Errorf("run: step %d: %q is no name for a metric", step, n)
		}
		pair, err := json.Marshal(map[string]float64{n: values[n]})
		if err != nil {
			return fmt.Errorf("run: step %d: metric %s: %w", step, n, err)
		}
		line = append(append(line, ','), pair[1:len(pair)-1]...)
	}
	line = append(line, "}\n"...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("run: step %d: metrics after the end of the run", step)
	}
	if d.metrics.begun && step < d.metrics.step {
		return fmt.Errorf("run: metrics of step %d after those of step %d", step, d.metrics.step)
	}
	n, err := d.metrics.f.Write(line)
	d.metrics.bytes += int64(n)
	if err != nil {
		return d.faultLocked(fmt.Errorf("run: step %d: write metrics.jsonl: %w", step, err))
	}
	d.metrics.step, d.metrics.begun = step, true
	return nil
}

func (m *metrics) open(d disk, path string) error {
	f, err := d.appendTo(path)
	if err != nil {
		return fmt.Errorf("run: open the metrics: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return errors.Join(fmt.Errorf("run: open the metrics: %w", err), f.Close())
	}
	*m = metrics{f: f, bytes: info.Size()}
	return nil
}

func (m *metrics) close() error {
	if m.f == nil {
		return nil
	}
	return errors.Join(m.f.Sync(), m.f.Close())
}
