package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	trainSteps = 40
	saveEvery  = 5
)

// train is a run with state: x grows by a rule that depends on the step, so that a lost or repeated step shows.
func train(d *Dir, each func(step int64)) error {
	return trainUntil(d, func(step int64, _ float64) error {
		each(step)
		return nil
	})
}

// saveX writes x as train's checkpoints hold it.
func saveX(x float64) func(dir string) error {
	return func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "x"), []byte(strconv.FormatFloat(x, 'g', -1, 64)), 0o644)
	}
}

// trainUntil is train with an end when each returns an error.
func trainUntil(d *Dir, each func(step int64, x float64) error) error {
	var step int64
	x := 1.0
	if c, ok, err := d.LastCheckpoint(); err != nil {
		return err
	} else if ok {
		data, err := os.ReadFile(filepath.Join(c.Path, "x"))
		if err != nil {
			return err
		}
		if x, err = strconv.ParseFloat(string(data), 64); err != nil {
			return err
		}
		step = c.Step
	}
	if err := d.AddParent(Ref{Kind: "store", Name: "s", Digest: hashB}); err != nil {
		return err
	}
	for step < trainSteps {
		step++
		x = x*1.01 + float64(step)/7
		if err := d.Metrics(step, map[string]float64{"x": x, "loss": 1 / x}); err != nil {
			return err
		}
		if step%saveEvery == 0 {
			if err := d.SaveCheckpoint(step, saveX(x)); err != nil {
				return err
			}
		}
		if err := each(step, x); err != nil {
			return err
		}
	}
	return d.Write("tables/x.txt", func(w io.Writer) error { _, err := fmt.Fprintf(w, "%v\n", x); return err })
}

// unbroken runs the training in one go and returns its files.
func unbroken(t testing.TB) map[string]string {
	t.Helper()
	d := mustCreate(t, spec(t.TempDir()))
	must(t, train(d, func(int64) {}))
	must(t, d.Finish())
	return tree(t, d.Path())
}

// TestMain turns the test binary into a training process when the variable is set: the one that gets killed.
func TestMain(m *testing.M) {
	root := os.Getenv("RUN_TEST_CHILD")
	if root == "" {
		os.Exit(m.Run())
	}
	s := spec(root)
	var d *Dir
	var err error
	if os.Getenv("RUN_TEST_RESUME") == "" {
		d, err = Create(s)
	} else {
		var path string
		if path, err = Find(s); err == nil {
			d, err = Resume(path, s)
		}
	}
	if err == nil {
		err = train(d, func(step int64) {
			fmt.Println(step)
			if os.Getenv("RUN_TEST_CHILD_STOP") == strconv.FormatInt(step, 10) {
				time.Sleep(time.Hour) // until it is killed
			}
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := d.Finish(); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// child starts the training in a process of its own; it stops after a step (0 for never).
func child(t *testing.T, root string, step int, resume bool) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RUN_TEST_CHILD="+root, "RUN_TEST_CHILD_STOP="+strconv.Itoa(step))
	if resume {
		cmd.Env = append(cmd.Env, "RUN_TEST_RESUME=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	return cmd, out
}

// killAt kills a child with SIGKILL after a step, and returns when it is dead.
func killAt(t *testing.T, root string, step int, resume bool) {
	t.Helper()
	cmd, out := child(t, root, step, resume)
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != strconv.Itoa(step) {
	}
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait() // it was killed
}

// TestKillAnywhere kills at random moments, also in the middle of writes, until one child gets through.
func TestKillAnywhere(t *testing.T) {
	want := unbroken(t)
	rng := rand.New(rand.NewPCG(1, 2))
	kills := 0
	for range 4 {
		root := t.TempDir()
		for try := 0; ; try++ {
			path, err := Find(spec(root))
			if err == nil && status(t, path) == Done {
				sameTree(t, tree(t, path), want)
				break
			}
			cmd, out := child(t, root, 0, err == nil)
			lines := bufio.NewScanner(out)
			for n := rng.IntN(10 + 2*try); n > 0 && lines.Scan(); n-- {
			}
			time.Sleep(time.Duration(rng.IntN(4000)) * time.Microsecond)
			_ = cmd.Process.Kill() // it may have ended
			if cmd.Wait() != nil {
				kills++
			}
		}
	}
	if kills == 0 {
		t.Error("no child was killed")
	}
	t.Logf("%d kills", kills)
}

func TestKillAndResume(t *testing.T) {
	want := unbroken(t)
	for _, kills := range [][]int{{3}, {7}, {10}, {38}, {12, 21, 33}} {
		t.Run(fmt.Sprint(kills), func(t *testing.T) {
			root := t.TempDir()
			for i, step := range kills {
				killAt(t, root, step, i > 0)
			}
			path, err := Find(spec(root))
			must(t, err)
			if s := status(t, path); s != Killed {
				t.Fatalf("after a kill the run is %s", s)
			}
			d, err := Resume(path, spec(root))
			must(t, err)
			if s := status(t, path); s != Running {
				t.Errorf("a resumed run is %s", s)
			}
			if c, ok, err := d.LastCheckpoint(); err != nil || ok != (kills[len(kills)-1] >= saveEvery) || (ok && c.Step%saveEvery != 0) {
				t.Errorf("resumes from %+v, %v, %v", c, ok, err)
			}
			must(t, train(d, func(int64) {}))
			must(t, d.Finish())
			sameTree(t, tree(t, path), want)
			var env environment
			must(t, readJSON(filepath.Join(path, "env.json"), &env))
			if n := len(env.Sessions); n != len(kills)+1 || env.Sessions[0].Ended != nil || env.Sessions[n-1].Ended == nil {
				t.Errorf("env.json has the sessions %+v", env.Sessions)
			}
		})
	}
}

func TestConcurrentResume(t *testing.T) {
	root := t.TempDir()
	killAt(t, root, 6, false)
	path, err := Find(spec(root))
	must(t, err)
	var wg sync.WaitGroup
	dirs := make([]*Dir, 4)
	errs := make([]error, len(dirs))
	for i := range dirs {
		wg.Go(func() { dirs[i], errs[i] = Resume(path, spec(root)) })
	}
	wg.Wait()
	won := 0
	for i, d := range dirs {
		switch {
		case errs[i] == nil:
			won++
			must(t, d.Finish())
		case !errors.Is(errs[i], ErrAlive):
			t.Errorf("loser's error: %v", errs[i])
		}
	}
	if won != 1 {
		t.Errorf("%d processes resumed one run", won)
	}
}

// TestHeartbeat covers what the file lock cannot see: a holder on another host.
func TestHeartbeat(t *testing.T) {
	for _, tc := range []struct {
		age  time.Duration
		want Status
	}{{time.Second, Running}, {2 * staleAfter, Killed}} {
		root := t.TempDir()
		killAt(t, root, 6, false)
		path, err := Find(spec(root))
		must(t, err)
		h, err := json.Marshal(Holder{PID: 1, Host: "elsewhere.invalid", Heartbeat: time.Now().Add(-tc.age)})
		must(t, err)
		must(t, os.WriteFile(filepath.Join(path, "lock"), h, 0o644))
		if s := status(t, path); s != tc.want {
			t.Errorf("heartbeat %v ago: %s, want %s", tc.age, s, tc.want)
		}
		d, err := Resume(path, spec(root))
		if (err == nil) != (tc.want == Killed) || (err != nil && !errors.Is(err, ErrAlive)) {
			t.Errorf("heartbeat %v ago: resume: %v", tc.age, err)
		}
		if err == nil {
			must(t, d.Finish())
		}
	}
	d := mustCreate(t, spec(t.TempDir()))
	before, _ := readHolder(d.File("lock"))
	must(t, d.lock.beat())
	if after, ok := readHolder(d.File("lock")); !ok || after.Heartbeat.Before(before.Heartbeat) || after.PID != os.Getpid() {
		t.Errorf("holder %+v became %+v", before, after)
	}
	must(t, d.Finish())
}

func TestCorruptCheckpoint(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"flipped": func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), []byte("9"), 0o644) },
		"missing": func(dir string) error { return os.Remove(filepath.Join(dir, "x")) },
		"extra":   func(dir string) error { return os.WriteFile(filepath.Join(dir, "y"), nil, 0o644) },
		"record":  func(dir string) error { return os.Truncate(filepath.Join(dir, checkpointFile), 10) },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			killAt(t, root, 22, false)
			path, err := Find(spec(root))
			must(t, err)
			names, err := checkpointNames(path)
			must(t, err)
			newest := names[len(names)-1]
			must(t, harm(filepath.Join(path, "checkpoints", newest)))
			d, err := Resume(path, spec(root))
			must(t, err)
			c, ok, err := d.LastCheckpoint()
			must(t, err)
			if !ok || filepath.Base(c.Path) != names[len(names)-2] {
				t.Errorf("resumes from %+v, want %s", c, names[len(names)-2])
			}
			log, err := os.ReadFile(d.File("log.jsonl"))
			must(t, err)
			if !strings.Contains(string(log), "corrupt checkpoint") || !strings.Contains(string(log), newest) {
				t.Errorf("the log does not name the corrupt checkpoint:\n%s", log)
			}
			must(t, train(d, func(int64) {}))
			must(t, d.Finish())
			got := tree(t, path)
			if want := unbroken(t); got["tables/x.txt"] != want["tables/x.txt"] || got["metrics.jsonl"] != want["metrics.jsonl"] {
				t.Error("the resumed run differs from an unbroken one")
			}
		})
	}
}

// TestInterruptedCheckpoint ends a run at steps without a checkpoint of its own, twice within one interval, with
// SaveInterrupted: it resumes there, and ends with the files of an unbroken run.
func TestInterruptedCheckpoint(t *testing.T) {
	want := unbroken(t)
	root := t.TempDir()
	stop := errors.New("interrupted")
	path := ""
	for i, at := range []int64{12, 13, 28} {
		d := (*Dir)(nil)
		if i == 0 {
			d = mustCreate(t, spec(root))
			path = d.Path()
		} else {
			var err error
			d, err = Resume(path, spec(root))
			must(t, err)
		}
		err := trainUntil(d, func(step int64, x float64) error {
			if step < at {
				return nil
			}
			must(t, d.SaveInterrupted(step, saveX(x)))
			return stop
		})
		if err := d.Fail(err); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		names, err := checkpointNames(path)
		must(t, err)
		if last := names[len(names)-1]; last != fmt.Sprintf("%012d", at) || len(names) != 3 {
			t.Errorf("interrupted at step %d: checkpoints %v, want it and the last two regular ones", at, names)
		}
	}
	d, err := Resume(path, spec(root))
	must(t, err)
	if c, ok, err := d.LastCheckpoint(); err != nil || !ok || c.Step != 28 {
		t.Errorf("resumes from %+v, %v, %v; want step 28", c, ok, err)
	}
	must(t, train(d, func(int64) {}))
	must(t, d.Finish())
	sameTree(t, tree(t, path), want)
}
