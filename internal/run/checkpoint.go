package run

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// keep is the number of checkpoints that stay: the last, and one more should it turn out to be corrupt.
	keep           = 2
	checkpointFile = "checkpoint.json"
)

// Checkpoint is a saved state of a run.
type Checkpoint struct {
	Step int64
	Path string // folder
}

// checkpointRecord is checkpoint.json.
type checkpointRecord struct {
	Step         int64    `json:"step"`
	Interrupted  bool     `json:"interrupted,omitempty"` // written by SaveInterrupted
	MetricsBytes int64    `json:"metrics_bytes"`         // length of metrics.jsonl at this step
	Files        []Output `json:"files"`
}

// SaveCheckpoint makes checkpoints/<step>: write puts its files into the given folder, which appears under its name
// only when all of them, and the metrics up to this step, are on the disk. Older checkpoints but one are removed.
func (d *Dir) SaveCheckpoint(step int64, write func(dir string) error) error {
	return d.saveCheckpoint(step, false, write)
}

// SaveInterrupted is SaveCheckpoint for a run that is about to end because it was told to, at a step where an unbroken
// run has no checkpoint. The next checkpoint removes it, so that both end with the same files.
func (d *Dir) SaveInterrupted(step int64, write func(dir string) error) error {
	return d.saveCheckpoint(step, true, write)
}

func (d *Dir) saveCheckpoint(step int64, interrupted bool, write func(dir string) error) error {
	if step < 0 {
		return fmt.Errorf("run: checkpoint at step %d", step)
	}
	name := fmt.Sprintf("%012d", step)
	final, tmp := d.File("checkpoints", name), d.File("checkpoints", tmpPrefix+name)
	if _, err := os.Stat(final); err == nil {
		return fmt.Errorf("run: there is a checkpoint at step %d already", step)
	}
	err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755))
	if err == nil {
		err = write(tmp)
	}
	if err != nil {
		return d.fault(fmt.Errorf("run: checkpoint at step %d: %w", step, err))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.seal(checkpointRecord{Step: step, Interrupted: interrupted}, tmp, final); err != nil {
		return d.faultLocked(fmt.Errorf("run: checkpoint at step %d: %w", step, err))
	}
	return d.faultLocked(d.prune())
}

// seal makes the metrics and the checkpoint's files durable, in this order, and gives the folder its name.
func (d *Dir) seal(rec checkpointRecord, tmp, final string) error {
	if err := d.metrics.f.Sync(); err != nil {
		return err
	}
	files, err := digestTree(tmp, nil)
	if err != nil {
		return err
	}
	rec.MetricsBytes, rec.Files = d.metrics.bytes, files
	if err := writeFile(d.disk, filepath.Join(tmp, checkpointFile), jsonWriter(rec)); err != nil {
		return err
	}
	if err := syncTree(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	return syncDir(filepath.Dir(final))
}

// prune removes interrupted checkpoints but the newest checkpoint, and of the others, newest first, all but keep.
func (d *Dir) prune() error {
	names, err := checkpointNames(d.path)
	if err != nil {
		return err
	}
	kept := 0
	for i, n := range slices.Backward(names) {
		var rec checkpointRecord
		// One that cannot be read counts as regular: it will be left out, and named, when it is needed.
		interrupted := readJSON(d.File("checkpoints", n, checkpointFile), &rec) == nil && rec.Interrupted
		last := i == len(names)-1
		if !interrupted {
			kept++
		}
		if last || !interrupted && kept <= keep {
			continue
		}
		if err := os.RemoveAll(d.File("checkpoints", n)); err != nil {
			return fmt.Errorf("run: %w", err)
		}
	}
	return nil
}

// checkpointNames lists the complete checkpoints, oldest first.
func checkpointNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "checkpoints"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("run: %w", err)
	}
	var names []string
	for _, e := range entries { // sorted by name, and so by step
		if e.IsDir() && !strings.HasPrefix(e.Name(), tmpPrefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// LastCheckpoint returns the newest checkpoint whose files are as they were written, and whether there is one.
func (d *Dir) LastCheckpoint() (Checkpoint, bool, error) {
	c, rec, _, err := lastGood(d.path)
	return c, rec != nil, err
}

// lastGood also returns what is wrong with newer checkpoints.
func lastGood(dir string) (c Checkpoint, rec *checkpointRecord, corrupt []error, err error) {
	names, err := checkpointNames(dir)
	if err != nil {
		return c, nil, nil, err
	}
	for _, n := range slices.Backward(names) {
		path := filepath.Join(dir, "checkpoints", n)
		r, err := verifyCheckpoint(path)
		if err != nil {
			corrupt = append(corrupt, err)
			continue
		}
		return Checkpoint{Step: r.Step, Path: path}, r, corrupt, nil
	}
	return c, nil, corrupt, nil
}

func verifyCheckpoint(path string) (*checkpointRecord, error) {
	var r checkpointRecord
	if err := readJSON(filepath.Join(path, checkpointFile), &r); err != nil {
		return nil, err
	}
	files, err := digestTree(path, func(rel string) bool { return rel == checkpointFile })
	if err != nil {
		return nil, err
	}
	if !slices.Equal(files, r.Files) {
		return nil, fmt.Errorf("run: checkpoint %s: its files are not those that were written", path)
	}
	return &r, nil
}
