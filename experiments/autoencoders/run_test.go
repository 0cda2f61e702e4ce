package autoencoders

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"loupe/internal/backend"
	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/probe/model"
)

// bench is a folder for runs and stores, and what starts a run in it.
type bench struct {
	root string
	cfg  *Config
	spec run.Spec
	opt  lab.Options
}

// newBench reads quick.yaml with other settings laid over it.
func newBench(t testing.TB, root string, e *model.Engine, set ...string) *bench {
	t.Helper()
	c, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "quick.yaml", Set: set})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.Value.(*Config)
	return &bench{root, cfg, run.Spec{
		Root: filepath.Join(root, "runs"), Name: cfg.Name, Kind: "autoencoders", Command: []string{"run", "quick.yaml"}, Seed: uint64(cfg.Seed), Config: c.YAML(), ConfigHash: hash,
	}, lab.Options{Stores: filepath.Join(root, "stores"), Engine: e, Command: "loupe run quick.yaml", YAML: c.YAML(), Expect: []expect.Line{
		{Metric: "topk.fvu", Use: expect.Estimate, Op: "<=", Value: 1, From: "a test"}, {Metric: "topk.l0", Use: expect.Estimate, Op: ">=", Value: 9, From: "a test"},
	}}}
}

// finish runs in dir, finishes it and returns the result and the digests of the files.
func (b *bench) finish(t *testing.T, dir *run.Dir) (*Result, []run.Output) {
	t.Helper()
	r, err := Run(t.Context(), graphtest.Backend(t), b.cfg, dir, b.opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	info, err := run.Read(dir.Path())
	if err != nil || info.Status != run.Done || len(info.Record.Outputs) == 0 {
		t.Fatalf("%+v, %v", info, err)
	}
	return r, info.Record.Outputs
}

func (b *bench) create(t testing.TB) *run.Dir {
	t.Helper()
	dir, err := run.Create(b.spec)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const childFolder = "LOUPE_TEST_AUTOENCODERS"

// TestChild is the run that TestRun kills.
func TestChild(t *testing.T) {
	root := os.Getenv(childFolder)
	if root == "" {
		t.Skip("started by TestRun alone to be killed")
	}
	b := newBench(t, root, nil)
	compute, err := backend.Open("auto")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Run(context.Background(), compute, b.cfg, b.create(t), b.opt)
	t.Fatalf("the run ended before it was killed: %v", err)
}

// TestRun carries out the whole comparison on MiniLM, sees that its parts fit together, and that another run, a run that is
// broken off between two splices, and one that is killed in training give the same bytes.
func TestRun(t *testing.T) {
	b := graphtest.Backend(t)
	graphtest.Model(t, "minilm")
	if graphtest.IsGo(t) {
		t.Skip("TopK is slow on the Go backend")
	}
	shared := model.NewEngine(b, nil)
	first := newBench(t, t.TempDir(), shared)
	dir := first.create(t)
	r, want := first.finish(t, dir)
	checkResult(t, r, dir)

	t.Run("again", func(t *testing.T) {
		again := newBench(t, t.TempDir(), shared)
		_, got := again.finish(t, again.create(t))
		sameOutputs(t, got, want)
		if n := shared.Compiles(); n != r.Compiles {
			t.Errorf("%d programs after two runs, %d after one", n, r.Compiles)
		}
	})
	t.Run("broken off", func(t *testing.T) {
		broken := newBench(t, t.TempDir(), shared)
		dir := broken.create(t)
		if _, err := Run(cancelAt(t, dir.File("steps/splice-topk-1.json")), b, broken.cfg, dir, broken.opt); !errors.Is(err, context.Canceled) {
			t.Fatalf("a run that was broken off: %v", err)
		} else if err := dir.Fail(err); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir.File("steps/explain.json")); err == nil {
			t.Fatal("it was broken off too late to tell")
		}
		dir, err := run.Resume(dir.Path(), broken.spec)
		if err != nil {
			t.Fatal(err)
		}
		_, got := broken.finish(t, dir)
		sameOutputs(t, got, want)
	})
	t.Run("killed", func(t *testing.T) {
		killed := newBench(t, t.TempDir(), shared)
		at := kill(t, killed)
		dir, err := run.Resume(at, killed.spec)
		if err != nil {
			t.Fatal(err)
		}
		_, got := killed.finish(t, dir)
		sameOutputs(t, got, want)
	})
}

// kill starts the run in a process of its own, ends that with SIGKILL after the first checkpoint of the training, and
// returns the run folder.
func kill(t *testing.T, b *bench) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), exe, "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childFolder+"="+b.root)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	var folder string
	for folder == "" {
		select {
		case <-ended:
			t.Fatalf("the run ended by itself:\n%s", out.String())
		case <-time.After(time.Millisecond):
		}
		if found, _ := filepath.Glob(filepath.Join(b.spec.Root, "*", "checkpoints", "000000000020")); len(found) > 0 {
			folder = filepath.Dir(filepath.Dir(found[0]))
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if _, err := os.Stat(filepath.Join(folder, "steps", "train.json")); err == nil {
		t.Fatal("it was killed too late to tell")
	}
	return folder
}

// cancelAt returns a context that ends when a file appears.
func cancelAt(t *testing.T, path string) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(path); err == nil {
				cancel()
			}
			time.Sleep(200 * time.Microsecond)
		}
	}()
	return ctx
}

func sameOutputs(t *testing.T, got, want []run.Output) {
	t.Helper()
	for _, w := range want {
		i := slices.IndexFunc(got, func(o run.Output) bool { return o.Path == w.Path })
		switch {
		case i < 0:
			t.Errorf("%s is missing", w.Path)
		case got[i].Digest != w.Digest:
			t.Errorf("%s has other bytes", w.Path)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}
