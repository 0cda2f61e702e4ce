package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"loupe/internal/graphtest"
	"loupe/sae"
	"loupe/sae/training"
)

// runTree returns the contents of a run folder's files, by their paths, without those that hold times and hosts.
func runTree(t *testing.T, runs string) map[string]string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(runs, "*"))
	if err != nil || len(folders) != 1 {
		t.Fatalf("run folders %v, %v; want one", folders, err)
	}
	out := map[string]string{}
	err = filepath.WalkDir(folders[0], func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || slices.Contains([]string{"env.json", "log.jsonl", "lock"}, e.Name()) {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(folders[0], path)
		out[filepath.ToSlash(rel)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sameRun compares two run folders file by file.
func sameRun(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		} else if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s should not be there", name)
		}
	}
}

// TestSAEGroupRun trains a grid of SAEs from one configuration: each in its folder, named in metrics and measures, in a
// table; and a run that was told to stop, as by Ctrl-C, and resumed has the same files.
func TestSAEGroupRun(t *testing.T) {
	graphtest.Backend(t)
	dir := plantedStore(t)
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: grid\nstore: %s\nsites: [%s]\nseeds: [1, 2]\nwidths: [32, 48]\nk: 3\neval_tokens: 500\nmetrics_every: 10\nlr: 3e-3\n"+
		"tokens: 76800\nbatch: 128\ndead_tokens: 5000\nengine: hybrid\ncheckpoint_tokens: 12800\narchs: [topk, batchtopk]\n", dir, testSite)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	whole, broken := t.TempDir(), t.TempDir()
	code, table, errs := loupeOn(t, "sae", "train", path, "--runs", whole)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	want := runTree(t, whole)
	var names []string
	for _, arch := range []string{"topk", "batchtopk"} {
		for _, f := range []int{32, 48} {
			for _, seed := range []int{1, 2} {
				names = append(names, fmt.Sprintf("%s-f%d-s%d-%s", arch, f, seed, testSite))
			}
		}
	}
	var measured []struct {
		SAE    string
		Result sae.CoderResult
	}
	if err := json.Unmarshal([]byte(want["eval.json"]), &measured); err != nil || len(measured) != 8 {
		t.Fatalf("eval.json has %d SAEs, %v", len(measured), err)
	}
	weights := map[string]bool{}
	for i, name := range names {
		if measured[i].SAE != name || measured[i].Result.Rows != 500 || measured[i].Result.FVU > 0.7 || !strings.Contains(table, name) {
			t.Errorf("SAE %d: %s with %d rows and FVU %v; want %s with 500 rows, FVU below 0.7, in the table", i, measured[i].SAE, measured[i].Result.Rows, measured[i].Result.FVU, name)
		}
		s, err := sae.Load(filepath.Join(glob(t, filepath.Join(whole, "*", "weights")), name))
		if err != nil {
			t.Fatal(err)
		}
		if s.Metadata["hook_name"] != testSite {
			t.Errorf("%s is for %v", name, s.Metadata["hook_name"])
		}
		weights[want["weights/"+name+"/sae_weights.safetensors"]] = true
		if n := strings.Count(want["metrics.jsonl"], `"sae":"`+name+`"`); n != 61 { // steps 1, 10, 20 ... 600
			t.Errorf("metrics.jsonl has %d lines of %s, want 61", n, name)
		}
	}
	if len(weights) != 8 {
		t.Errorf("%d different weights, want 8", len(weights))
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			files, _ := filepath.Glob(filepath.Join(broken, "*", "metrics.jsonl"))
			if len(files) == 1 {
				if raw, _ := os.ReadFile(files[0]); bytes.Count(raw, []byte("\n")) > 170 {
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
	if n := len(runTree(t, broken)); n == len(want) {
		t.Error("the run was not interrupted")
	}
	if code, _, errs := loupeOn(t, "sae", "train", path, "--runs", broken, "--resume"); code != 0 {
		t.Fatalf("resume: exit %d: %s", code, errs)
	}
	sameRun(t, runTree(t, broken), want)
}

// TestSAEDryRun wants a plan that counts what a run would take, from a store and from a model, and no file written.
func TestSAEDryRun(t *testing.T) {
	graphtest.Backend(t)
	dir, runs := plantedStore(t), filepath.Join(t.TempDir(), "runs")
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: dry\nstore: %s\nsites: [%s]\nseeds: [1, 2]\nd_sae: 48\nk: 3\ntokens: 58000\nbatch: 128\ninit_rows: 500\nengine: host\n", dir, testSite)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := loupeOn(t, "--json", "sae", "train", path, "--runs", runs, "--dry-run")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var plan training.Plan
	if err := json.Unmarshal([]byte(out), &plan); err != nil {
		t.Fatal(err)
	}
	const params = 2*16*48 + 48 + 16
	if len(plan.SAEs) != 2 || plan.Steps != 454 || plan.Tokens != 454*128 || plan.Epoch != 5800 || plan.All.Params != 2*params || plan.SAEs[1].Params != params {
		t.Errorf("the plan is %+v", plan)
	}
	if plan.DataBytes != 4*16*(128+500) || plan.DiskBytes != 2*params*(4+24) || plan.All.DenseFLOPs != 2*10*16*48 || plan.All.SparseFLOPs != 2*(2*16*48+8*3*16) {
		t.Errorf("%d bytes of data, %d on disk, %v and %v FLOPs", plan.DataBytes, plan.DiskBytes, plan.All.DenseFLOPs, plan.All.SparseFLOPs)
	}
	if s := plan.SAEs[0]; s.StepTime <= 0 || s.Engine != "host" || plan.Seconds <= plan.ReadTime || plan.ReadTime <= 0 || plan.PerSecond <= 0 {
		t.Errorf("times %+v, in all %v and %v", s, plan.ReadTime, plan.Seconds)
	}
	code, out, errs = loupeOn(t, "sae", "train", path, "--runs", runs, "--dry-run")
	for _, want := range []string{"of 5800 there are", "454 steps of 128", "topk-f48-s1-" + testSite, "all 2"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d %s: the plan lacks %q:\n%s", code, errs, want, out)
		}
	}
	if _, err := os.Stat(runs); !os.IsNotExist(err) {
		t.Errorf("a dry run wrote %s: %v", runs, err)
	}
}

// TestSAEFromModel trains without a store: the plan, the run, and the SAE's measures.
func TestSAEFromModel(t *testing.T) {
	graphtest.Backend(t)
	graphtest.Model(t, "minilm")
	runs := filepath.Join(t.TempDir(), "runs")
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := "kind: sae\nname: stream\nmodel: minilm\noffline: true\ncorpus: {kind: neutral, neutral_number: 300, held_out: 0.2}\nbuckets: [32]\nmax_length: 32\nbatch_tokens: 512\n" +
		"buffer: 1000\nsplit: train\neval_split: held-out\neval_tokens: 400\nsite: blocks.0.hook_resid_post\nd_sae: 512\nk: 16\ntokens: 6400\nbatch: 128\ninit_rows: 1000\nlr: 3e-3\nengine: host\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := loupeOn(t, "sae", "train", path, "--runs", runs, "--dry-run")
	if code != 0 || !strings.Contains(out, "1 site of minilm over") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = loupeOn(t, "--json", "sae", "train", path, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var got training.Report
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if r := got.SAEs[0].Result; r.Rows != 400 || r.FVU > 0.5 || r.L0 > 16 {
		t.Errorf("%d rows, FVU %v, L0 %v; want 400, below 0.5, up to 16", r.Rows, r.FVU, r.L0)
	}
	record := runTree(t, runs)["run.json"]
	if !strings.Contains(record, `"kind": "model"`) || !strings.Contains(record, `"kind": "corpus"`) {
		t.Errorf("run.json names neither model nor corpus: %s", record)
	}
}

// glob returns the one path that matches.
func glob(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) != 1 {
		t.Fatalf("%s matches %v, %v; want one", pattern, paths, err)
	}
	return paths[0]
}
