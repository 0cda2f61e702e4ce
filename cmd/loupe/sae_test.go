package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loupe/internal/backend"
	"loupe/internal/graphtest"
	"loupe/probe/store"
	"loupe/sae"
	"loupe/sae/evaluate"
	"loupe/sae/training"
)

const testSite = "blocks.1.hook_resid_post"

// plantedStore writes a store of 200 documents of 30 rows, each a sum of three of 24 random directions in 16
// dimensions. Every document's first row is special and far away.
func plantedStore(t *testing.T) string {
	t.Helper()
	const docs, length, d, features = 200, 30, 16, 24
	rng := rand.New(rand.NewPCG(1, 2))
	dictionary := make([][]float32, features)
	for i := range dictionary {
		dictionary[i] = make([]float32, d)
		for j := range d {
			dictionary[i][j] = float32(rng.NormFloat64() / 4)
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{
		Model: store.Source{ID: "tiny", Digest: "m"}, Tokenizer: "t", Corpus: store.Source{ID: "text", Digest: "c"},
		Sites: []store.Site{{Name: testSite, Per: store.Token, Shape: []int{d}, DType: store.Float32}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for doc := range int64(docs) {
		rows := store.Rows{Sites: [][]float32{make([]float32, length*d)}}
		for p := range int32(length) {
			rows.Doc, rows.Pos, rows.Token = append(rows.Doc, doc), append(rows.Pos, p), append(rows.Token, p)
			rows.Special = append(rows.Special, p == 0)
			x := rows.Sites[0][int(p)*d : (int(p)+1)*d]
			for range 3 {
				strength := float32(0.5 + rng.Float64())
				for j, v := range dictionary[rng.IntN(features)] {
					x[j] += strength * v
				}
			}
			if p == 0 {
				x[0] = 1000
			}
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc, Split: []string{"train", "test"}[doc%2]}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// backendName names the backend under test, as graphtest chooses it.
func backendName() string { return cmp.Or(os.Getenv(backend.EnvVar), "xla:cpu") }

// loupeOn runs a command line on the backend under test and returns the exit code and both outputs.
func loupeOn(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errw bytes.Buffer
	code := run(t.Context(), append([]string{"--backend", backendName()}, args...), &out, &errw)
	return code, out.String(), errw.String()
}

func TestSAETrainAndEval(t *testing.T) {
	graphtest.Backend(t)
	dir, runs := plantedStore(t), t.TempDir()
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: planted\nstore: %s\nsite: %s\nsplit: train\neval_split: test\neval_tokens: 1000\nd_sae: 48\nk: 3\n"+
		"tokens: 51200\nbatch: 128\nlr: 3e-3\ndead_tokens: 10000\nengine: hybrid\n", dir, testSite)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := loupeOn(t, "--json", "sae", "train", path, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var trained training.Report
	if err := json.Unmarshal([]byte(out), &trained); err != nil || len(trained.SAEs) != 1 || len(trained.SAEs[0].Result.Sites) != 1 {
		t.Fatalf("%v in %s", err, out)
	}
	got := struct {
		SAE    string
		Result sae.Result
	}{trained.SAEs[0].Path, trained.SAEs[0].Result.Sites[0]}
	if got.Result.Rows != 1000 || got.Result.FVU > 0.25 || got.Result.L0 > 3 {
		t.Errorf("%d rows, FVU %v, L0 %v; want 1000 rows of the test split, FVU below 0.25, L0 up to 3", got.Result.Rows, got.Result.FVU, got.Result.L0)
	}
	folder := filepath.Dir(got.SAE)
	metrics, err := os.ReadFile(filepath.Join(folder, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(metrics, []byte("\n")); n != 400 {
		t.Errorf("metrics.jsonl has %d lines, want one for each of the 400 steps", n)
	}

	// The SAE names its site, and eval on the same split and seed gives the same numbers.
	code, out, errs = loupeOn(t, "--json", "sae", "eval", got.SAE, dir, "--split", "test", "--tokens", "1000")
	if code != 0 {
		t.Fatalf("eval: exit %d: %s", code, errs)
	}
	core := coreScores(t, out)
	if own := core[got.SAE]; own["fvu"] != got.Result.FVU || own["l0"] != got.Result.L0 {
		t.Errorf("eval gives %v; train gave FVU %v, L0 %v", own, got.Result.FVU, got.Result.L0)
	}
	if pca := core["PCA, 3 components"]; pca["fvu"] <= got.Result.FVU || len(core) != 5 {
		t.Errorf("PCA leaves %v, the SAE %v, of %d dictionaries", pca["fvu"], got.Result.FVU, len(core))
	}

	// The special rows lie far away: with them the SAE must look different, so that leaving them out is no accident.
	code, out, errs = loupeOn(t, "sae", "eval", got.SAE, dir, "--special", "--suite", "core")
	if code != 0 || !strings.Contains(out, "6000 rows of "+testSite) || !strings.Contains(out, "rows of special tokens are") {
		t.Errorf("eval --special: exit %d: %s%s", code, out, errs)
	}

	if code, _, errs := loupeOn(t, "sae", "train", path, "--runs", runs, "--resume"); code != 1 || !strings.Contains(errs, "done") {
		t.Errorf("resuming a finished run: exit %d: %s", code, errs)
	}
	again := t.TempDir()
	if code, _, errs := loupeOn(t, "sae", "train", path, "--runs", again); code != 0 {
		t.Fatalf("second run: exit %d: %s", code, errs)
	}
	for _, name := range []string{"weights/sae_weights.safetensors", "weights/cfg.json", "metrics.jsonl", "eval.json", "run.json"} {
		a, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(again, filepath.Base(folder), name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs between two runs of one configuration", name)
		}
	}
}

// coreScores reads the core suite's values of each dictionary out of an evaluation.
func coreScores(t *testing.T, out string) map[string]map[string]float64 {
	t.Helper()
	var r evaluate.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	scores := map[string]map[string]float64{}
	for _, o := range r.Outcomes {
		if o.Suite != "core" {
			continue
		}
		for _, s := range o.Scores {
			scores[s.Dictionary] = map[string]float64{}
			for name, v := range s.Values {
				scores[s.Dictionary][name] = v.Value
			}
		}
	}
	return scores
}

// TestSAEResume interrupts a run, as Ctrl-C does, when it has done some steps, resumes it, and wants the bytes of an
// unbroken run.
func TestSAEResume(t *testing.T) {
	graphtest.Backend(t)
	dir := plantedStore(t)
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: broken\nstore: %s\nsite: %s\nd_sae: 256\nk: 3\neval_tokens: 500\n"+
		"tokens: 256000\nbatch: 128\ndead_tokens: 5000\nengine: hybrid\ncheckpoint_tokens: 12800\n", dir, testSite)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	whole, broken := t.TempDir(), t.TempDir()
	if code, _, errs := loupeOn(t, "sae", "train", path, "--runs", whole); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			files, _ := filepath.Glob(filepath.Join(broken, "*", "metrics.jsonl"))
			if len(files) == 1 {
				if raw, _ := os.ReadFile(files[0]); bytes.Count(raw, []byte("\n")) > 130 {
					cancel()
				}
			}
			time.Sleep(time.Millisecond)
		}
	}()
	var out, errw bytes.Buffer
	if code := run(ctx, []string{"--backend", backendName(), "sae", "train", path, "--runs", broken}, &out, &errw); code != 1 {
		t.Fatalf("the interrupted run ended with exit %d: %s", code, errw.String())
	}
	if code, _, errs := loupeOn(t, "sae", "train", path, "--runs", broken, "--resume"); code != 0 {
		t.Fatalf("resume: exit %d: %s", code, errs)
	}
	folders, err := filepath.Glob(filepath.Join(whole, "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("folders %v, %v", folders, err)
	}
	for _, name := range []string{"weights/sae_weights.safetensors", "weights/sparsity.safetensors", "metrics.jsonl", "eval.json", "run.json"} {
		a, err := os.ReadFile(filepath.Join(folders[0], name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(broken, filepath.Base(folders[0]), name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s differs from the unbroken run's", name)
		}
	}
}

func TestSAEErrors(t *testing.T) {
	graphtest.Backend(t)
	dir := plantedStore(t)
	path := filepath.Join(t.TempDir(), "sae.yaml")
	if err := os.WriteFile(path, []byte("kind: sae\nd_sae: 48\nk: 3\nbatch: 128\ntokens: 1280\nengine: hybrid\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	train := func(set ...string) []string {
		args := []string{"sae", "train", path, "--runs", t.TempDir()}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		return args
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{train(), "store is not set"},
		{train("store=" + dir), "site is not set"},
		{train("store="+dir, "site=blocks.1.hook_mlp_out"), testSite},
		{train("store="+dir, "site="+testSite, "k=49"), "k is 49"},
		{train("store="+dir, "site="+testSite, "d_in=8"), "16 dimensions"},
		{train("store="+dir, "site="+testSite, "split=dev"), "dev"},
		{train("store="+dir, "site="+testSite, "arch=topq"), "topk"},
		{train("store="+dir, "site="+testSite, "learning_rate=1"), "learning_rate"},
		{[]string{"sae", "train", path, "--runs", t.TempDir(), "--resume", "--set", "store=" + dir, "--set", "site=" + testSite}, "--resume"},
		{[]string{"sae", "eval", dir, dir}, "cfg.json"},
		{[]string{"sae", "eval", filepath.Join(dir, "no*"), dir}, "run folder"},
		{[]string{"sae", "eval", dir, dir, "--suite", "cores"}, "geometry"},
		{[]string{"sae", "eval", dir}, "usage"},
	} {
		code, _, errs := loupeOn(t, c.args...)
		if code == 0 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d, %q; want an error with %q", c.args[1:], code, errs, c.want)
		}
	}
}
