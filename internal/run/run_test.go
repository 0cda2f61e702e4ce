package run

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
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
	hashA = "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff0000000011111111"
	hashB = "baaaaaaabbbbbbbbccccccccddddddddeeeeeeeeffffffff0000000011111111"
)

func spec(root string) Spec {
	return Spec{
		Root: root, Name: "toy", Kind: "demo", Command: []string{"loupe", "demo"}, Seed: 3,
		Config: []byte("kind: demo\nlr: 0.1\n"), ConfigHash: hashA, Env: Env{Loupe: "test"},
	}
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustCreate(t testing.TB, s Spec) *Dir {
	t.Helper()
	d, err := Create(s)
	must(t, err)
	return d
}

func status(t testing.TB, path string) Status {
	t.Helper()
	i, err := Read(path)
	must(t, err)
	return i.Status
}

// tree returns the files of a folder, without those that may hold times and hosts.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil || rel == "env.json" || rel == "log.jsonl" || rel == "lock" {
			return err
		}
		data, err := os.ReadFile(p)
		out[rel] = string(data)
		return err
	}))
	return out
}

func sameTree(t testing.TB, got, want map[string]string) {
	t.Helper()
	for name, w := range want {
		if g, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if g != w {
			t.Errorf("%s differs:\n%s\nwant\n%s", name, g, w)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s is extra", name)
		}
	}
}

const (
	trainSteps = 40
	saveEvery  = 5
)

// train is a run with state: x grows by a rule that depends on the step, so that a lost or repeated step shows.
func train(d *Dir, each func(step int64)) error {
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
			err := d.SaveCheckpoint(step, func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "x"), []byte(strconv.FormatFloat(x, 'g', -1, 64)), 0o644)
			})
			if err != nil {
				return err
			}
		}
		each(step)
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

func TestFolder(t *testing.T) {
	root := t.TempDir()
	d := mustCreate(t, spec(root))
	if got, want := filepath.Base(d.Path()), "toy-aaaaaaaa"; got != want {
		t.Errorf("folder %s, want %s", got, want)
	}
	d.Log().Info("hello", "n", 1)
	must(t, d.Metrics(1, map[string]float64{"b": 2.5, "a": 1e-9}))
	must(t, d.Metrics(1, map[string]float64{"c \"q\"": -3}))
	must(t, d.Write("tables/t.txt", func(w io.Writer) error { _, err := io.WriteString(w, "hi"); return err }))
	must(t, d.Finish())
	files := tree(t, d.Path())
	if got, want := files["metrics.jsonl"], "{\"step\":1,\"a\":1e-9,\"b\":2.5}\n{\"step\":1,\"c \\\"q\\\"\":-3}\n"; got != want {
		t.Errorf("metrics %q, want %q", got, want)
	}
	if files["STATUS"] != "done\n" || files["config.yaml"] != "kind: demo\nlr: 0.1\n" {
		t.Errorf("STATUS %q, config %q", files["STATUS"], files["config.yaml"])
	}
	if _, err := os.Stat(d.File("lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock is still there: %v", err)
	}
	info, err := Read(d.Path())
	must(t, err)
	r := info.Record
	if r.Format != 1 || r.Name != "toy" || r.Kind != "demo" || r.Seed != 3 || r.ConfigHash != hashA || len(r.Outputs) != 3 {
		t.Errorf("record %+v", r)
	}
	// printf hi | sha256sum
	want := Output{Path: "tables/t.txt", Bytes: 2, Digest: "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}
	if r.Outputs[2] != want {
		t.Errorf("output %+v, want %+v", r.Outputs[2], want)
	}
	log, err := os.ReadFile(d.File("log.jsonl"))
	must(t, err)
	var line map[string]any
	must(t, json.Unmarshal([]byte(strings.SplitN(string(log), "\n", 2)[0]), &line))
	if line["msg"] != "hello" || line["n"] != 1.0 {
		t.Errorf("log line %v", line)
	}
	if err := d.Metrics(2, nil); err == nil {
		t.Error("metrics after the end are accepted")
	}
}

func TestSameBytesElsewhere(t *testing.T) { sameTree(t, unbroken(t), unbroken(t)) }

func TestConcurrentCreate(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	dirs := make([]*Dir, 8)
	errs := make([]error, len(dirs))
	for i := range dirs {
		wg.Go(func() { dirs[i], errs[i] = Create(spec(root)) })
	}
	wg.Wait()
	seen := map[string]bool{}
	for i, d := range dirs {
		must(t, errs[i])
		if seen[d.Path()] {
			t.Errorf("two runs share %s", d.Path())
		}
		seen[d.Path()] = true
		must(t, d.Finish())
	}
	for _, want := range []string{"toy-aaaaaaaa", "toy-aaaaaaaa-2", "toy-aaaaaaaa-8"} {
		if !seen[filepath.Join(root, want)] {
			t.Errorf("no folder %s in %v", want, seen)
		}
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

func TestResumeRefuses(t *testing.T) {
	root := t.TempDir()
	if _, err := Find(spec(root)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no run: %v", err)
	}
	d := mustCreate(t, spec(root))
	if _, err := Resume(d.Path(), spec(root)); !errors.Is(err, ErrAlive) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("alive: %v", err)
	}
	other := spec(root)
	other.ConfigHash, other.Config = hashB, []byte("kind: demo\nlr: 0.2\n")
	_, err := Find(other)
	if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), `"lr: 0.1", now "lr: 0.2"`) {
		t.Errorf("other configuration: %v", err)
	}
	must(t, d.Finish())
	if _, err := Resume(d.Path(), other); !errors.Is(err, ErrConfig) {
		t.Errorf("other configuration: %v", err)
	}
	if _, err := Resume(d.Path(), spec(root)); !errors.Is(err, ErrDone) {
		t.Errorf("done: %v", err)
	}
	for name, s := range map[string]Spec{
		"slash": {Root: root, Name: "../x", Kind: "demo", ConfigHash: hashA},
		"hash":  {Root: root, Name: "x", Kind: "demo", ConfigHash: "abc"},
		"kind":  {Root: root, Name: "x", ConfigHash: hashA},
	} {
		if _, err := Create(s); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestFailedRunResumes(t *testing.T) {
	root := t.TempDir()
	d := mustCreate(t, spec(root))
	boom := errors.New("boom")
	if err := d.Fail(boom); !errors.Is(err, boom) {
		t.Errorf("Fail returned %v", err)
	}
	if s := status(t, d.Path()); s != Failed {
		t.Errorf("status %s", s)
	}
	d, err := Resume(d.Path(), spec(root))
	must(t, err)
	must(t, train(d, func(int64) {}))
	must(t, d.Finish())
	sameTree(t, tree(t, d.Path()), unbroken(t))
	if s := status(t, d.Path()); s != Done {
		t.Errorf("status %s", s)
	}
	log, err := os.ReadFile(d.File("log.jsonl"))
	must(t, err)
	if !strings.Contains(string(log), "boom") {
		t.Error("log.jsonl does not say why the run failed")
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

func TestNonFinite(t *testing.T) {
	d := mustCreate(t, spec(t.TempDir()))
	must(t, d.Metrics(1, map[string]float64{"loss": 1}))
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		var bad *NonFiniteError
		err := d.Metrics(2, map[string]float64{"l0": 3, "loss": v})
		if !errors.As(err, &bad) || bad.Step != 2 || bad.Metric != "loss" || bad.Checkpoint != "" {
			t.Errorf("%v: %v", v, err)
		}
	}
	must(t, d.SaveCheckpoint(2, func(string) error { return nil }))
	var bad *NonFiniteError
	if err := d.Metrics(3, map[string]float64{"loss": math.NaN()}); !errors.As(err, &bad) || filepath.Base(bad.Checkpoint) != "000000000002" {
		t.Errorf("with a checkpoint: %v", err)
	}
	if err := d.Metrics(0, map[string]float64{"loss": 1}); err == nil {
		t.Error("a step back is accepted")
	}
	if err := d.Metrics(3, map[string]float64{"step": 1}); err == nil {
		t.Error("a metric called step is accepted")
	}
	must(t, d.Finish())
	if got := tree(t, d.Path())["metrics.jsonl"]; got != "{\"step\":1,\"loss\":1}\n" {
		t.Errorf("metrics %q", got)
	}
}

func TestWriteRefuses(t *testing.T) {
	d := mustCreate(t, spec(t.TempDir()))
	for _, rel := range []string{"../x", "/x", "run.json", "./STATUS", "tables/../lock", "", "tables/" + tmpPrefix + "x"} {
		if err := d.Write(rel, text("x")); err == nil {
			t.Errorf("%q is accepted", rel)
		}
	}
	must(t, d.Finish())
}

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
