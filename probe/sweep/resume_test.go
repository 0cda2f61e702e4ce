package sweep

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/progress"
	"loupe/internal/run"
)

// stopper cancels after some steps.
type stopper struct {
	progress.Progress
	left   int
	cancel func()
}

func (s *stopper) Add(n int64) {
	if s.left--; s.left == 0 {
		s.cancel()
	}
}

// TestResume: a run that was stopped goes on with what it had done and ends in the tables and probes of an unbroken one.
func TestResume(t *testing.T) {
	dir, root := toyStore(t, toyOptions{}), t.TempDir()
	c := toyConfig(t, dir, "controls.shuffles=1")
	whole, err := toyRun(t, c, root, true)
	if err != nil {
		t.Fatal(err)
	}
	j, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	spec := run.Spec{Root: root, Name: "stopped", Kind: Kind, Command: []string{"probe"}, Config: []byte("a: 1\n"), ConfigHash: strings.Repeat("0", 64)}
	d, err := run.Create(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = j.Run(ctx, d, RunOptions{Save: true, Progress: func(int64) progress.Progress {
		return &stopper{progress.New(progress.Options{Quiet: true}), 3, cancel}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: %v", err)
	}
	if err := d.Fail(err); err == nil {
		t.Fatal("no error")
	}
	before := modified(t, d.File("weights"))
	if len(before) != 3*2 {
		t.Fatalf("%d files of probes before the stop, want those of 3 places", len(before))
	}
	if d, err = run.Resume(d.Path(), spec); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Run(t.Context(), d, RunOptions{Save: true}); err != nil {
		t.Fatal(err)
	}
	if err := d.Finish(); err != nil {
		t.Fatal(err)
	}
	after := modified(t, d.File("weights"))
	for name, at := range before {
		if after[name] != at {
			t.Errorf("%s was written again", name)
		}
	}
	for _, pattern := range []string{"tables/*.arrow", "weights/*"} {
		names, err := filepath.Glob(filepath.Join(whole.Run, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			rel, _ := filepath.Rel(whole.Run, name)
			a, errA := os.ReadFile(name)
			b, errB := os.ReadFile(d.File(rel))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs from that of the unbroken run, %v, %v", rel, errA, errB)
			}
		}
	}
}

// modified lists the files of a folder with their times.
func modified(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = info.ModTime().UnixNano()
	}
	return out
}
