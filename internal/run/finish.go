package run

import (
	"errors"
	"fmt"
)

// Finish writes the digests of the outputs, marks the run as done and lets go of the folder. After a failed write it
// marks the run as failed and returns that error.
func (d *Dir) Finish() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.New("run: the run has ended already")
	}
	if d.broken != nil {
		return errors.Join(fmt.Errorf("run: %s cannot be finished after a failed write: %w", d.path, d.broken), d.end(false))
	}
	if err := d.complete(); err != nil {
		return errors.Join(d.faultLocked(err), d.end(false))
	}
	if err := d.setStatus(Done); err != nil {
		return errors.Join(err, d.end(false))
	}
	return d.end(true)
}

// complete makes everything but STATUS final.
func (d *Dir) complete() error {
	if err := d.metrics.f.Sync(); err != nil {
		return fmt.Errorf("run: sync metrics.jsonl: %w", err)
	}
	// config.yaml and metrics.jsonl are results too; the others change, or hold times and hosts.
	outputs, err := digestTree(d.path, func(rel string) bool {
		return rel == "run.json" || rel == "env.json" || rel == "log.jsonl" || rel == "STATUS" || rel == "lock"
	})
	if err != nil {
		return err
	}
	d.record.Outputs = outputs
	return writeFile(d.disk, d.File("run.json"), jsonWriter(d.record))
}

// Fail logs why the run ends, marks it as failed, lets go of the folder and returns cause, joined with whatever goes
// wrong on the way. A failed run can be resumed.
func (d *Dir) Fail(cause error) error {
	if d.log != nil && cause != nil {
		d.log.Error("run failed", "error", cause.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return cause
	}
	return errors.Join(cause, d.setStatus(Failed), d.end(false))
}
