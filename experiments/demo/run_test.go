package demo

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/arrowio"
	"loupe/internal/config"
	"loupe/internal/expect"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/run"
	"loupe/probe/model"
)

// tiny is the whole experiment on a few hundred sentences.
func tiny(t *testing.T, set ...string) (*Config, []byte, string) {
	t.Helper()
	graphtest.Model(t, "minilm")
	set = append([]string{
		"text.max_docs=400", "text.held_out=0.4", "text.max_length=16", "text.concepts=[animals, negation]", "text.train_pairs=30", "text.held_out_pairs=8",
		"sae.d_sae=256", "sae.k=8", "sae.tokens=40000", "sae.batch=200", "sae.checkpoint_tokens=10000", "sae.init_rows=500", "splice.documents=10", "splice.neighbours=5",
		"detect.latents=2", "detect.shuffles=20", "ablate.random=2",
	}, set...)
	c, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "config.yaml", Set: set})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := c.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return c.Value.(*Config), c.YAML(), hash
}

// bench is a folder for runs and stores, and what starts a run in it.
type bench struct {
	root   string
	engine *model.Engine
	cfg    *Config
	spec   run.Spec
}

func newBench(t *testing.T, e *model.Engine, set ...string) *bench {
	cfg, yaml, hash := tiny(t, set...)
	root := t.TempDir()
	return &bench{root, e, cfg, run.Spec{
		Root: filepath.Join(root, "runs"), Name: cfg.Name, Kind: "demo", Command: []string{"run", "demo"}, Seed: uint64(cfg.Seed), Config: yaml, ConfigHash: hash,
	}}
}

// options judge against the expectations of the full run, only to see that judging works.
func (b *bench) options(t *testing.T) lab.Options {
	lines, err := expect.Load("expect.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return lab.Options{Stores: filepath.Join(b.root, "stores"), Engine: b.engine, Expect: lines, Command: "loupe run demo", YAML: b.spec.Config}
}

// outputs are the digests of a finished run's files.
func (b *bench) outputs(t *testing.T, dir *run.Dir) []run.Output {
	t.Helper()
	info, err := run.Read(dir.Path())
	if err != nil {
		t.Fatal(err)
	}
	if info.Status != run.Done || len(info.Record.Outputs) == 0 {
		t.Fatalf("status %s with %d outputs", info.Status, len(info.Record.Outputs))
	}
	return info.Record.Outputs
}

// TestRun carries out the whole experiment on MiniLM, sees that its parts fit together, and that another run, and runs
// that are broken off in every step and resumed, give the same bytes.
func TestRun(t *testing.T) {
	b := graphtest.Backend(t)
	if graphtest.IsGo(t) {
		t.Skip("TopK of 256 latents is slow on the Go backend")
	}
	shared := model.NewEngine(b, nil)
	base := newBench(t, shared)
	dir, err := run.Create(base.spec)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), b, base.cfg, dir, base.options(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Finish(); err != nil {
		t.Fatal(err)
	}
	checkResult(t, r, dir)
	want := base.outputs(t, dir)

	t.Run("again", func(t *testing.T) {
		again := newBench(t, shared)
		dir, err := run.Create(again.spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), b, again.cfg, dir, again.options(t)); err != nil {
			t.Fatal(err)
		}
		if err := dir.Finish(); err != nil {
			t.Fatal(err)
		}
		sameOutputs(t, again.outputs(t, dir), want)
		if n := shared.Compiles(); n != r.Compiles {
			t.Errorf("%d programs after two runs, %d after one", n, r.Compiles)
		}
	})
	// Each run is broken off when a file appears: in training, after the splice, after the detection.
	for _, seen := range []string{"checkpoints/000000000100", "steps/splice.json", "steps/detect.json"} {
		t.Run("resumed from "+filepath.Base(seen), func(t *testing.T) {
			broken := newBench(t, shared)
			dir, err := run.Create(broken.spec)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Run(cancelAt(t, dir.File(seen)), b, broken.cfg, dir, broken.options(t)); !errors.Is(err, context.Canceled) {
				t.Fatalf("a run that was broken off: %v", err)
			} else if err := dir.Fail(err); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if dir, err = run.Resume(dir.Path(), broken.spec); err != nil {
				t.Fatal(err)
			}
			if _, err := Run(t.Context(), b, broken.cfg, dir, broken.options(t)); err != nil {
				t.Fatal(err)
			}
			if err := dir.Finish(); err != nil {
				t.Fatal(err)
			}
			sameOutputs(t, broken.outputs(t, dir), want)
		})
	}
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

// checkResult sees that every part of a tiny run is there and within its range.
func checkResult(t *testing.T, r *Result, dir *run.Dir) {
	t.Helper()
	if r.SAE.FVU <= 0 || r.SAE.FVU >= 1 || r.SAE.L0 > 8 || r.SAE.Rows == 0 {
		t.Errorf("autoencoder: %+v", r.SAE)
	}
	if r.Splice.Texts != 2*16+10 {
		t.Errorf("%d texts, want two concepts' 16 held-out sentences and 10 documents", r.Splice.Texts)
	}
	trained, untrained, mean := r.Splice.Rows[0], r.Splice.Rows[1], r.Splice.Rows[2]
	if trained.Cosine.Value <= untrained.Cosine.Value || trained.Cosine.Value <= mean.Cosine.Value || trained.Cosine.Value >= 1 {
		t.Errorf("cosines: trained %v, untrained %v, mean %v", trained.Cosine, untrained.Cosine, mean.Cosine)
	}
	if len(r.Concepts) != 2 || len(r.Ablations) != 2 {
		t.Fatalf("%d concepts, %d ablations", len(r.Concepts), len(r.Ablations))
	}
	for i, d := range r.Concepts {
		if len(d.Latents) != 2 || d.Latents[0].TrainAUC < d.Latents[1].TrainAUC || d.Sentences != 16 || len(d.Controls) != 3 {
			t.Errorf("%s: %+v", d.Concept, d)
		}
		if d.P <= 0 || d.P > 1 || d.Shuffled95 < d.ShuffledMean {
			t.Errorf("%s: shuffles: mean %v, 95 %% %v, p %v", d.Concept, d.ShuffledMean, d.Shuffled95, d.P)
		}
		a := r.Ablations[i]
		if !slices.Equal(a.Latents, d.Chosen()) || len(a.Rows) != 3 {
			t.Errorf("%s: ablated %v, found %v, %d rows", d.Concept, a.Latents, d.Chosen(), len(a.Rows))
		}
		if a.Check > 1e-5 {
			t.Errorf("%s: the graph's edit and the patched residual stream differ by %v", d.Concept, a.Check)
		}
		if c := a.set(SetChosen); c.Concepts.Value <= c.Rest.Value {
			t.Errorf("%s: its sentences shift by %v, the rest by %v", d.Concept, c.Concepts.Value, c.Rest.Value)
		}
	}
	applicable := 0
	for _, j := range r.Expected {
		if j.Verdict != expect.NotApplicable {
			applicable++
		}
	}
	if applicable != len(r.Expected) || applicable == 0 {
		t.Errorf("%d of %d expectations name a computed number", applicable, len(r.Expected))
	}
	var out bytes.Buffer
	if err := r.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"AUTOENCODER", "mean ablation", "negation", "ABLATED", "splice.cosine", "reproduced"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the summary has no %q:\n%s", want, out.String())
		}
	}
	checkTables(t, r, dir)
}

// checkTables reads the Arrow tables back.
func checkTables(t *testing.T, r *Result, dir *run.Dir) {
	t.Helper()
	for name, rows := range map[string]int{"splice": 3, "concepts": 2, "latents": 4, "ablations": 6, "latent_density": 256, "metrics": len(r.Metrics), "splice_texts": r.Splice.Texts} {
		table, err := arrowio.ReadTable(dir.File("tables", name+".arrow"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := table.Rows(); err != nil || n != rows {
			t.Errorf("table %s: %d rows (%v), want %d", name, n, err, rows)
		}
		if name != "splice_texts" {
			continue
		}
		cosine, err := arrowio.ColumnOf[float64](table, "cosine_sae")
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(cosine) / float64(len(cosine)); math.Abs(got-r.Splice.Rows[0].Cosine.Value) > 1e-12 {
			t.Errorf("mean of the table's cosines %v, result %v", got, r.Splice.Rows[0].Cosine.Value)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for name, c := range map[string]struct{ set, want string }{
		"other site":        {"site=blocks.3.hook_mlp_out", "hook_resid_pre"},
		"first block":       {"site=blocks.0.hook_resid_pre", "after the first"},
		"unknown site":      {"site=blocks.3.hook_resid_per", "hook_resid_pre"},
		"no held-out text":  {"text.held_out=0", "between 0 and 1"},
		"no shuffles":       {"detect.shuffles=0", "without its control"},
		"no random latents": {"ablate.random=0", "without its control"},
		"measured engine":   {"sae.engine=auto", "name hybrid"},
		"no concepts":       {"text.concepts=[]", "concepts is empty"},
		"unknown key":       {"text.max_doc=3", "max_docs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Load([]config.Kind{Kind()}, config.Input{Path: "config.yaml", Set: []string{c.set}})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
