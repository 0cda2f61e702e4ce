package run

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// fullDisk fails writes once its budget of bytes is spent, as a full disk does.
type fullDisk struct {
	mu   sync.Mutex
	left int
}

type fullFile struct {
	file
	d *fullDisk
}

func (d *fullDisk) create(path string) (file, error) {
	f, err := osDisk{}.create(path)
	return fullFile{f, d}, err
}

func (d *fullDisk) appendTo(path string) (file, error) {
	f, err := osDisk{}.appendTo(path)
	return fullFile{f, d}, err
}

func (f fullFile) Write(p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := min(len(p), f.d.left)
	f.d.left -= n
	if wrote, err := f.file.Write(p[:n]); err != nil || n == len(p) {
		return wrote, err
	}
	return n, syscall.ENOSPC
}

// TestFullDisk lets the disk fill up at every possible moment: the error surfaces, STATUS says failed, what stands
// under a final name is whole, and with space again the run resumes to the result of an unbroken one.
func TestFullDisk(t *testing.T) {
	want := unbroken(t)
	discard := slog.DiscardHandler
	met := map[string]int{}
	for budget := 8; budget < 14000; budget = budget*3/2 + 1 {
		root := t.TempDir()
		disk := &fullDisk{left: budget}
		s := spec(root)
		s.Log = discard
		d, err := create(s, disk)
		if err == nil {
			d.Log().Info("started")
			if err = train(d, func(int64) {}); err == nil {
				err = d.Finish()
			} else {
				err = d.Fail(err)
			}
		}
		path := filepath.Join(root, "toy-aaaaaaaa")
		if err == nil {
			met["done"]++
			sameTree(t, tree(t, path), want)
			continue
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("budget %d: %v", budget, err)
		}
		if text, err := os.ReadFile(filepath.Join(path, "STATUS")); err != nil || string(text) != "failed\n" {
			t.Fatalf("budget %d: STATUS %q, %v", budget, text, err)
		}
		if _, err := os.Stat(filepath.Join(path, "run.json")); err != nil {
			met["early"]++
			continue // nothing to resume yet: a new run takes the next number
		}
		met["resumed"]++
		d, err = Resume(path, s)
		if err != nil {
			t.Fatalf("budget %d: %v", budget, err)
		}
		must(t, train(d, func(int64) {}))
		must(t, d.Finish())
		sameTree(t, tree(t, path), want)
	}
	for _, outcome := range []string{"early", "resumed", "done"} {
		if met[outcome] == 0 {
			t.Errorf("no budget led to %q: %v", outcome, met)
		}
	}
	t.Log(met)
}
