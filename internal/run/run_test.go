package run

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
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
