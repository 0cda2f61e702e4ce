package capture

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loupe/probe/store"
)

// TestKill kills a real capture 20 times with SIGKILL at random moments from its start to past its end, resumes it
// each time, and compares every file of every finished store with those of an unbroken run. A store that is finished
// before the last kill is removed and begun again.
func TestKill(t *testing.T) {
	cfg := childConfig(t, 800, 40)
	start := time.Now()
	unbroken := runChild(t, childTask{Config: cfg})
	whole := time.Since(start)
	want := digests(t, cfg.Store)
	if unbroken.Shards < 15 {
		t.Fatalf("%d shards; the test needs many", unbroken.Shards)
	}
	t.Logf("unbroken: %v, %d shards, %d rows", whole.Round(time.Millisecond), unbroken.Shards, unbroken.Rows)

	cfg.Store = filepath.Join(t.TempDir(), "killed")
	r := rand.New(rand.NewPCG(20, 20))
	var kills, landed, finished, early int
	for kills < 20 {
		delay := time.Duration(r.Float64() * 1.05 * float64(whole))
		killed, output := killAfter(t, childTask{Config: cfg, Resume: true}, delay)
		switch n := shardsOf(cfg.Store); {
		case killed && n < 0:
			kills, early = kills+1, early+1
		case killed && n > 0:
			kills, landed = kills+1, landed+1
		case killed:
			kills++
		default:
			finished++
			compareFiles(t, want, digests(t, cfg.Store), output)
			if err := os.RemoveAll(cfg.Store); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("%d kills: %d before there was a store, %d with finished shards; %d stores finished in between", kills, early, landed, finished)
	if landed < 5 {
		t.Errorf("only %d kills came when there was something to resume", landed)
	}
	last := runChild(t, childTask{Config: cfg, Resume: true})
	compareFiles(t, want, digests(t, cfg.Store), "")
	if last.Counts != unbroken.Counts || last.RowDigest != unbroken.RowDigest {
		t.Errorf("summary %+v, of the unbroken run %+v", last.Summary, unbroken.Summary)
	}
	again := runChild(t, childTask{Config: cfg, Resume: true})
	if !again.AlreadyComplete {
		t.Errorf("resuming a finished store: %+v", again.Summary)
	}
	compareFiles(t, want, digests(t, cfg.Store), "")
}

// killAfter starts a child and kills it after delay. killed is false when it had ended by itself, which must be well.
func killAfter(t *testing.T, task childTask, delay time.Duration) (killed bool, output string) {
	t.Helper()
	cmd := childCommand(t, task)
	var buf bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &buf
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("child failed: %v\n%s", err, buf.String())
		}
		return false, buf.String()
	case <-time.After(delay):
	}
	if err := cmd.Process.Kill(); err != nil && !strings.Contains(err.Error(), "already finished") {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		return false, buf.String()
	}
	return true, buf.String()
}

// shardsOf is the number of finished shards of an unfinished store, or -1 when there is none.
func shardsOf(dir string) int {
	s, err := store.Open(dir, store.OpenOptions{Partial: true})
	if err != nil {
		return -1
	}
	defer s.Close()
	return len(s.Manifest().Shards)
}

func compareFiles(t *testing.T, want, got map[string]string, output string) {
	t.Helper()
	if maps.Equal(want, got) {
		return
	}
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("file %s has digest %q, want %q", name, got[name], sum)
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("file %s should not be there", name)
		}
	}
	t.Fatalf("the store differs from the unbroken one\n%s", output)
}
