package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var (
	// ErrDone is returned when there is nothing left to resume.
	ErrDone = errors.New("the run is done")
	// ErrConfig is returned when the folder belongs to another configuration.
	ErrConfig = errors.New("the run has another configuration")
)

// Find returns the newest folder of this name and configuration. Without one the error is [ErrConfig] when runs of
// the name exist with other configurations, else [fs.ErrNotExist].
func Find(s Spec) (string, error) {
	if err := s.validate(); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(s.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("run: %w", err)
	}
	folder := regexp.MustCompile(`^` + regexp.QuoteMeta(s.Name) + `-[0-9a-f]{8}(?:-([0-9]+))?$`)
	best, bestN, other := "", 0, ""
	for _, e := range entries {
		m := folder.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		path := filepath.Join(s.Root, e.Name())
		var rec Record
		if readJSON(filepath.Join(path, "run.json"), &rec) != nil {
			continue // killed before it was made
		}
		n, _ := strconv.Atoi(m[1]) // "" is 0, the first
		switch {
		case rec.ConfigHash != s.ConfigHash:
			other = path
		case best == "" || n > bestN:
			best, bestN = path, n
		}
	}
	switch {
	case best != "":
		return best, nil
	case other != "":
		return "", differs(other, s)
	}
	return "", fmt.Errorf("run: no run %s in %s to resume: %w; start without --resume", s.Name, s.Root, fs.ErrNotExist)
}

// differs is the error for a folder of another configuration; it shows the first line that differs.
func differs(path string, s Spec) error {
	hint := ""
	if old, err := os.ReadFile(filepath.Join(path, "config.yaml")); err == nil {
		was, is := strings.Split(string(old), "\n"), strings.Split(string(s.Config), "\n")
		for i := range min(len(was), len(is)) {
			if was[i] != is[i] {
				hint = fmt.Sprintf(" (it had %q, now %q)", strings.TrimSpace(was[i]), strings.TrimSpace(is[i]))
				break
			}
		}
	}
	return fmt.Errorf("run: %s: %w%s; give it the old configuration, or start a new run without --resume", path, ErrConfig, hint)
}

// Resume takes over a folder whose run was killed or has failed. Metrics after the last good checkpoint are cut off,
// as are corrupt checkpoints after it; the caller continues from [Dir.LastCheckpoint], or from the start. The errors
// are [ErrAlive], [ErrDone] and [ErrConfig].
func Resume(path string, s Spec) (*Dir, error) { return resume(path, s, osDisk{}) }

func resume(path string, s Spec, dk disk) (*Dir, error) {
	if err := s.validate(); err != nil {
		return nil, err
	}
	info, err := Read(path)
	switch {
	case err != nil:
		return nil, err
	case info.Record.ConfigHash != s.ConfigHash || info.Record.Kind != s.Kind:
		return nil, differs(path, s)
	case info.Status == Done:
		return nil, fmt.Errorf("run: %s: %w; start a new run without --resume", path, ErrDone)
	}
	d := &Dir{path: path, disk: dk, record: info.Record}
	if d.lock, err = acquire(path); err != nil {
		return nil, err
	}
	// The state may have changed between Read and the lock.
	if info, err = Read(path); err == nil && info.Status == Done {
		err = fmt.Errorf("run: %s: %w; start a new run without --resume", path, ErrDone)
	}
	if err != nil {
		return nil, errors.Join(err, d.lock.release(false))
	}
	d.record = info.Record
	d.record.Outputs = []Output{}
	if err := d.takeOver(s); err != nil {
		return nil, d.Fail(err)
	}
	return d, nil
}

func (d *Dir) takeOver(s Spec) error {
	if err := d.setStatus(Running); err != nil {
		return err
	}
	if err := removeTemporary(d.path); err != nil {
		return err
	}
	if err := readJSON(d.File("env.json"), &d.env); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	last, rec, corrupt, err := lastGood(d.path)
	if err != nil {
		return err
	}
	var size int64
	if rec != nil {
		size = rec.MetricsBytes
	}
	if err := cut(d.File("metrics.jsonl"), size); err != nil {
		return err
	}
	if err := errors.Join(d.dropAfter(last, rec != nil), d.prune()); err != nil {
		return err
	}
	if err := d.begin(s); err != nil {
		return err
	}
	d.metrics.step, d.metrics.begun = last.Step, rec != nil
	for _, c := range corrupt {
		d.log.Warn("corrupt checkpoint left out", "error", c.Error())
	}
	d.log.Info("resumed", "checkpoint", last.Path, "step", last.Step)
	return nil
}

// cut shortens the metrics to what the checkpoint has seen.
func cut(path string, size int64) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && size == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if info.Size() < size {
		return fmt.Errorf("run: %s has %d bytes, the checkpoint saw %d; the folder was changed: start a new run", path, info.Size(), size)
	}
	if err := os.Truncate(path, size); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}

// dropAfter removes the checkpoints after the last good one, all of them if there is none.
func (d *Dir) dropAfter(last Checkpoint, ok bool) error {
	names, err := checkpointNames(d.path)
	if err != nil {
		return err
	}
	for _, n := range names {
		if !ok || n > filepath.Base(last.Path) {
			if err := os.RemoveAll(d.File("checkpoints", n)); err != nil {
				return fmt.Errorf("run: %w", err)
			}
		}
	}
	return nil
}

// removeTemporary deletes what a kill has left half-written.
func removeTemporary(dir string) error {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasPrefix(e.Name(), tmpPrefix) {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if e.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}
