package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// TestEraseCommands: an edit is fitted and saved, methods are compared in one table, and wrong uses say what to do.
func TestEraseCommands(t *testing.T) {
	graphtest.Model(t, "minilm")
	dir := t.TempDir()
	file := filepath.Join(dir, "erase.yaml")
	body := `kind: erase
name: small
kv_rows: 64
seeds: 1
grid: 1
probe: false
generated: 0
together: []
task: {domain: objects, cross: styles, erase: [dog], benign: 16, held_out: 8}
methods:
- {name: nothing}
- {name: uce}
- {name: uce, label: bare, settings: [keep.preserve=false]}
`
	if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	runs, out := filepath.Join(dir, "runs"), filepath.Join(dir, "edit")
	if code, got, errs := runCLI(t, "erase", "eval", file, "--dry-run", "--runs", runs); code != 0 || !strings.Contains(got, "bare (uce)") {
		t.Fatalf("exit code %d: %s%s", code, got, errs)
	}
	code, got, errs := runCLI(t, "erase", "eval", file, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"beats nothing and a random subspace of rank 8", "bare warns: [nothing is preserved", "Acc_g", "report.html"} {
		if !strings.Contains(got, want) {
			t.Errorf("the summary lacks %q:\n%s", want, got)
		}
	}
	if code, got, errs := runCLI(t, "erase", "fit", file, "--method", "uce", "--out", out); code != 0 || !strings.Contains(got, "uce erased dog") {
		t.Fatalf("exit code %d: %s%s", code, got, errs)
	}
	card, err := os.ReadFile(filepath.Join(out, "edit.json"))
	if err != nil || !strings.Contains(string(card), `"kind": "map"`) {
		t.Errorf("%v: %s", err, card)
	}
	if code, got, errs := runCLI(t, "erase", "fit", file, "--method", "uce", "--out", out, "--resume"); code != 0 || !strings.Contains(got, "has already erased") {
		t.Errorf("exit code %d: %s%s", code, got, errs)
	}
	for _, wrong := range []struct {
		args []string
		want string
	}{
		{[]string{"fit", file, "--out", filepath.Join(dir, "a")}, "choose one by --method: nothing, uce, bare"},
		{[]string{"fit", file, "--method", "uce"}, "--out is empty"},
		{[]string{"fit", file, "--method", "uce", "--out", out}, "leave what is there with --resume"},
		{[]string{"fit", file, "--method", "uce", "--out", filepath.Join(dir, "b"), "--set", "task.erase=[unicorn]"}, "unicorn"},
		{[]string{"eval", file, "--runs", runs, "--set", "kv_rows=0", "--set", "kv=" + filepath.Join(dir, "none.safetensors")}, "none.safetensors"},
		{[]string{"eval", file, "--set", "methods=[{name: use}]"}, `did you mean "uce"`},
		{[]string{"eval", file, "--set", "methods=[{name: uce, settings: [lamda=1]}]"}, "lambda"},
	} {
		if code, got, errs := runCLI(t, append([]string{"erase"}, wrong.args...)...); code == 0 || !strings.Contains(errs, wrong.want) {
			t.Errorf("%v: exit code %d, wanted %q: %s%s", wrong.args, code, wrong.want, got, errs)
		}
	}
}
