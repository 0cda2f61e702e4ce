package autoencoders

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/arrowio"
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

// checkResult sees that every part of a small run is there and within its range.
func checkResult(t *testing.T, r *Result, dir *run.Dir) {
	t.Helper()
	if len(r.Trained) != 3 || r.Trained[0].Name != "topk-1" || r.Spliced != 16 || r.Epochs < 2 {
		t.Errorf("%+v", r)
	}
	if r.Check > 1e-5 {
		t.Errorf("keeping the error changes the embeddings by %v", r.Check)
	}
	if l0 := r.find("topk", "l0").Seeds.Value; l0 != 8 {
		t.Errorf("L0 of topk is %v, want 8", l0)
	}
	if l0 := r.find(random, "l0").Seeds.Value; l0 != 8 {
		t.Errorf("L0 of the random control is %v, want 8", l0)
	}
	fvu := func(method string) float64 { return r.find(method, "fvu").Texts.Value }
	if !(fvu("topk") < fvu(pca) && fvu(pca) < fvu(random) && fvu(random) < 1) {
		t.Errorf("FVU: topk %v, PCA %v, random %v", fvu("topk"), fvu(pca), fvu(random))
	}
	if m := r.find("topk", "cosine"); m.OverAblated.Low < 0.1 || m.OverRandom.Low < 0 {
		t.Errorf("cosine of topk: %+v", m)
	}
	e := r.Explained
	if len(e.Latents) != 3 || e.Eligible < 3 || len(e.Latents[0].Examples) != 2 || e.Latents[0].Description == "" {
		t.Errorf("explained: %+v", e)
	}
	if reproduced, missed := lab.Verdicts(r.Expected); reproduced != 1 || missed != 1 {
		t.Errorf("expected one reproduced and one missed: %+v", r.Expected)
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FVU", "random", "pca", "mean ablation", "(tie)", "LATENT", "missed", "train "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary has no %q:\n%s", want, out.String())
		}
	}
	for name, rows := range map[string]int{
		"training": 3, "measures": len(r.Measures), "seeds": len(r.Measures), "rankings": 9, "explanations": 3, "latents": 256, "metrics": len(r.Metrics),
	} {
		table, err := arrowio.ReadTable(dir.File("tables", name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := table.Rows(); err != nil || n != rows {
			t.Errorf("table %s: %d rows (%v), want %d", name, n, err, rows)
		}
	}
}

// TestRunLanguageModel is the comparison in a language model, where losses are compared.
func TestRunLanguageModel(t *testing.T) {
	b := graphtest.Backend(t)
	graphtest.Model(t, "smollm2")
	if graphtest.IsGo(t) {
		t.Skip("TopK is slow on the Go backend")
	}
	x := newBench(t, t.TempDir(), model.NewEngine(b, nil),
		"model=smollm2", "site=blocks.2.hook_resid_pre", "text.bos=prepend", "text.special=false", "text.from_pos=2", "text.corpus.max_docs=200",
		"splice.texts=4", "splice.batch=4", "explain.latents=2", "explain.texts=1",
	)
	dir := x.create(t)
	r, _ := x.finish(t, dir)
	if r.Check > 1e-5 {
		t.Errorf("keeping the error changes the predictions by %v nats", r.Check)
	}
	ce, kl := r.find("topk", "ce_recovered"), r.find("topk", "kl_recovered")
	if ce == nil || kl == nil || ce.Texts.N != 4 || !(ce.Texts.Value > 0 && ce.Texts.Value <= 1.2) || !(kl.Texts.Value > 0 && kl.Texts.Value <= 1) {
		t.Errorf("recovered: CE %+v, KL %+v", ce, kl)
	}
	var zero, mean float64
	for _, a := range r.Ablated {
		if a.Metric == "kl" && a.Ablated == "zero" {
			zero = a.Texts.Value
		}
		if a.Metric == "kl" && a.Ablated == "mean" {
			mean = a.Texts.Value
		}
	}
	if own := r.find("topk", "kl").Texts.Value; !(own > 0 && own < mean && own < zero) {
		t.Errorf("KL %v, of mean ablation %v, of zero ablation %v", own, mean, zero)
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"other shape":        {"site=blocks.3.attn.hook_pattern", "[b,t,d]"},
		"unknown site":       {"site=blocks.3.hook_resid_per", "hook_resid_pre"},
		"no held-out text":   {"text.corpus.held_out=0", "between 0 and 1"},
		"no seeds":           {"seeds=[]", "seeds is empty"},
		"no controls":        {"controls.rows=0", "without its control"},
		"texts of a batch":   {"splice.texts=15", "multiple of the batch"},
		"neighbours":         {"splice.neighbours=16", "splice.neighbours"},
		"one latent":         {"explain.latents=1", "at least 2"},
		"unknown key":        {"token=3", "tokens"},
		"no share":           {"explain.cover=0", "share"},
		"too far":            {"text.from_pos=8", "below splice.min_tokens"},
		"tokens of a splice": {"splice.min_tokens=100", "max_length"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "quick.yaml", Set: []string{c.set}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	for name, c := range map[string]struct{ yaml, want string }{
		"no architecture": {"", "architectures is empty"},
		"a control":       {"architectures: [{label: pca, engine: dense}]", "controls"},
		"twice":           {"architectures: [{label: a, engine: dense}, {label: a, engine: dense}]", "called a"},
		"engine auto":     {"architectures: [{label: a}]", "name hybrid"},
		"own size":        {"architectures: [{label: a, engine: dense, d_sae: 12}]", "set once"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(path, []byte("kind: autoencoders\n"+c.yaml+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load([]config.Kind{Kind()}, config.Input{Path: path}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
