package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/vectors"
)

// TestVectorsFitCommand: vectors are fitted to a store, exported to every format, read back, and compared; wrong uses say what to do.
func TestVectorsFitCommand(t *testing.T) {
	store, runs, dir := labelledStore(t), t.TempDir(), t.TempDir()
	file := filepath.Join(dir, "fit.yaml")
	text := fmt.Sprintf("kind: vectors\nname: kinds\ndata:\n  store: %s\n  sites: [blocks.0.hook_resid_post]\n  positions: [first]\n  target: {label: kind, positive: sea, by: \"\"}\nmethods: [diff-means, logistic, leace]\n", store)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runCLI(t, "--backend", "go", "vectors", "fit", file, "--dry-run", "--runs", runs); code != 0 || !strings.Contains(out, "fit diff-means, logistic, leace to label kind") {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	if list, err := os.ReadDir(runs); err != nil || len(list) != 0 {
		t.Errorf("--dry-run made %v, %v", list, err)
	}
	code, out, errs := runCLI(t, "--backend", "go", "vectors", "fit", file, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"Directions: what the projection reads", "Erasers: what a linear probe reads", "weights/kind-blocks.0.hook_resid_post-first-logistic.json", "report.html"} {
		if !strings.Contains(out, want) {
			t.Errorf("the summary lacks %q:\n%s", want, out)
		}
	}
	found, err := filepath.Glob(filepath.Join(runs, "*", "weights"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	card := func(method string) string {
		return filepath.Join(found[0], "kind-blocks.0.hook_resid_post-first-"+method+".json")
	}
	for _, name := range []string{"v.gguf", "v.svec", "v.npy", "v.safetensors"} {
		to := filepath.Join(dir, name)
		if code, out, errs := runCLI(t, "vectors", "export", card("diff-means"), to); code != 0 || !strings.Contains(out, name) {
			t.Errorf("export to %s: exit code %d: %s%s", name, code, out, errs)
		}
	}
	saved, err := vectors.Load(card("diff-means"), vectors.Use{})
	if err != nil {
		t.Fatal(err)
	}
	cv, err := vectors.ReadControlVectorGGUF(filepath.Join(dir, "v.gguf"))
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := vectors.ReadSvec(filepath.Join(dir, "v.svec"))
	if err != nil {
		t.Fatal(err)
	}
	row, err := readVector(filepath.Join(dir, "v.npy"))
	if err != nil {
		t.Fatal(err)
	}
	for j, want := range saved.Directions.RawRowView(0) {
		if w := float32(want); cv.Directions[0][j] != w || again.Directions[0][j] != w || row[j] != w {
			t.Fatalf("entry %d is %v, exported as %v, %v, %v", j, w, cv.Directions[0][j], again.Directions[0][j], row[j])
		}
	}
	if code, out, errs = runCLI(t, "vectors", "compare", card("diff-means"), card("logistic")); code != 0 || !strings.Contains(out, "first direction") {
		t.Errorf("compare: exit code %d: %s%s", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"fit"}, 2, "--model, --site and --concept"},
		{[]string{"fit", file, "--set", "methods=[leech]"}, 1, "did you mean"},
		{[]string{"export", card("diff-means"), filepath.Join(dir, "v.txt")}, 2, "the ending says the format"},
		{[]string{"export", card("leace"), filepath.Join(dir, "v.gguf")}, 1, "without a direction"},
		{[]string{"export", card("diff-means"), card("logistic"), filepath.Join(dir, "v.gguf")}, 1, "second vector of layer 0"},
		{[]string{"export", card("diff-means")}, 2, "usage"},
		{[]string{"compare", card("diff-means"), card("leace")}, 1, "without a direction"},
		{[]string{"compare", card("diff-means"), card("logistic"), "--top", "0"}, 2, "--top"},
		{[]string{"ablate", file}, 1, `"ablate" is wanted`},
	} {
		code, _, errs := runCLI(t, append([]string{"--backend", "go", "vectors"}, c.args...)...)
		if code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d; %s", c.args, code, c.code, errs)
		}
	}
}

// TestVectorsAblateCommand: the experiment that comes with loupe is a valid configuration; its plan writes nothing.
func TestVectorsAblateCommand(t *testing.T) {
	t.Chdir(graphtest.ModuleRoot(t))
	code, out, errs := runCLI(t, "--backend", "go", "vectors", "ablate", "experiments/ablate.yaml", "--dry-run", "--runs", filepath.Join(t.TempDir(), "no"))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"minilm: capture blocks.3.hook_resid_post", "smollm2: remove [animals]", "smollm2.leace.perplexity_ratio"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q:\n%s", want, out)
		}
	}
	if code, _, errs = runCLI(t, "vectors", "ablate"); code != 2 || !strings.Contains(errs, "usage") {
		t.Errorf("without a configuration: exit code %d, %s", code, errs)
	}
}

// TestVectorsCompareModels: a model compared with itself has changed nothing.
func TestVectorsCompareModels(t *testing.T) {
	folder := tinyFolder(t, "llama-tied")
	code, out, errs := runCLI(t, "--backend", "go", "vectors", "compare", folder, folder, "--top", "5", "--layers", "0")
	if code != 0 || !strings.Contains(out, "1.000 [1.000, 1.000]") || !strings.Contains(out, "Jaccard@5") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}
