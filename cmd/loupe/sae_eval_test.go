package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/arrowio"
	"loupe/internal/graphtest"
	"loupe/sae"
	"loupe/sae/evaluate"
)

// TestSAEEvalFiles: SAEs of any format, seeds by pattern and by a run folder's names, results in each folder or in --out, and what
// needs a model left out with the cure.
func TestSAEEvalFiles(t *testing.T) {
	graphtest.Backend(t)
	dir, at := plantedStore(t), t.TempDir()
	weights := filepath.Join(at, "sweep", "weights")
	for _, name := range []string{"topk-f64-s1-" + testSite, "topk-f64-s2-" + testSite, "other-f64-s1-" + testSite} {
		if err := randomTopK(16, 64).Save(filepath.Join(weights, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(at, "foreign")
	if _, err := randomTopK(16, 64).Write(foreign, sae.FormatSparsify); err != nil {
		t.Fatal(err)
	}
	if err := randomTopK(16, 64).Save(filepath.Join(at, "again"), nil); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(at, "all.json")
	eval := func(args ...string) string {
		t.Helper()
		code, out, errs := loupeOn(t, append([]string{"sae", "eval"}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return out
	}
	out := eval(filepath.Join(at, "sweep"), foreign, "same="+filepath.Join(at, "agai?"), dir, "--tokens", "500", "--suite", "core,probing,splice", "--random-seeds", "2",
		"--site", testSite, "--out", whole)
	for _, want := range []string{"CORE: 500 rows of " + testSite, filepath.Join(weights, "topk-f64-"+testSite), "same", "control: random directions, 64 latents, k 4", "give --model"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	raw, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	var r evaluate.Report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	seeds := map[string]int{}
	for _, m := range r.Outcomes[0].Methods {
		seeds[m.Method] = m.Seeds
	}
	if seeds[filepath.Join(weights, "topk-f64-"+testSite)] != 2 || seeds["same"] != 1 || seeds[foreign] != 1 || len(r.Identities) != 5 || r.Dictionaries[3].Format != sae.FormatSparsify {
		t.Errorf("seeds %v, %d identities", seeds, len(r.Identities))
	}
	if _, err := os.Stat(filepath.Join(foreign, "eval.json")); err == nil {
		t.Error("with --out the folder has a result too")
	}

	eval(foreign, dir, "--tokens", "500", "--suite", "core", "--site", testSite)
	if raw, err = os.ReadFile(filepath.Join(foreign, "eval.json")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &r); err != nil || r.Dictionaries[0].Name != foreign {
		t.Errorf("%v, %+v", err, r.Dictionaries)
	}
	for want, args := range map[string][]string{
		"give --site":     {foreign, dir},
		"no suite":        {foreign, dir, "--suite", "cores"},
		"d_in 16":         {foreign, dir, "--site", testSite, "--tokens", "1"},
		"belong together": {foreign, dir, "--site", testSite, "--suite", "core", "--forget", "x"},
		"--probing":       {foreign, dir, "--site", testSite, "--suite", "core,probing", "--probing", "x.doc"},
	} {
		code, _, errs := loupeOn(t, append([]string{"sae", "eval"}, args...)...)
		if want == "d_in 16" {
			want = "rows is 1"
		}
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d, %q; want %q", args, code, errs, want)
		}
	}
}

// TestSAEFeatures writes the table of an SAE on a store without its model, prints a few latents by the numbers of their tokens, and
// refuses what it cannot do.
func TestSAEFeatures(t *testing.T) {
	graphtest.Backend(t)
	dir, at := plantedStore(t), t.TempDir()
	path := filepath.Join(at, "sae")
	if err := randomTopK(16, 64).Save(path, nil); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(at, "features.arrow")
	code, out, errs := loupeOn(t, "sae", "features", path, dir, "--out", file, "--split", "train", "--show", "3")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if strings.Count(out, "\nlatent ") != 3 || !strings.Contains(out, "[") || !strings.Contains(out, "consistent_activation") {
		t.Errorf("printed\n%s", out)
	}
	table, err := arrowio.ReadTable(file)
	if err != nil {
		t.Fatal(err)
	}
	density, err := arrowio.ColumnOf[float64](table, "density")
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, d := range density {
		sum += d
	}
	if len(density) != 64 || sum < 3 || sum > 4 { // L0, as at most four of 64 latents are on
		t.Errorf("%d latents with densities that add up to %v", len(density), sum)
	}
	doc, err := arrowio.ColumnOf[int64](table, "example_doc")
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(doc, func(d int64) bool { return d%2 == 1 }) {
		t.Error("an example is of a document of another split")
	}
	for want, args := range map[string][]string{
		"--out is not set": {path, dir},
		"no such file":     {filepath.Join(at, "none"), dir, "--out", file},
		"other":            {path, dir, "--out", file, "--split", "other"},
	} {
		if code, _, errs := loupeOn(t, append([]string{"sae", "features"}, args...)...); code == 0 || !strings.Contains(errs, want) && !strings.Contains(errs, "does not exist") {
			t.Errorf("%v: exit %d, %q; want %q", args, code, errs, want)
		}
	}
}
