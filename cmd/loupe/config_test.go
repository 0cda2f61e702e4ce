package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/config"
)

type toyConfig struct {
	LR    float64  `json:"lr" doc:"learning rate"`
	Sites []string `json:"sites" doc:"sites"`
}

func toyKinds() []config.Kind {
	return []config.Kind{{Name: "toy", Doc: "a toy", New: func() any { return &toyConfig{LR: 0.5, Sites: []string{"a", "b"}} }}}
}

// runConfig runs `loupe config ARGS` with the toy kind and returns standard output.
func runConfig(t *testing.T, asJSON bool, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	a := &app{out: &out, err: io.Discard, log: slog.New(slog.DiscardHandler), json: asJSON}
	cmd := newConfigCmd(a, toyKinds())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	err := cmd.Execute()
	return out.String(), err
}

func TestConfigCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "toy.yaml")
	if err := os.WriteFile(file, []byte("kind: toy\nlr: 0.25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runConfig(t, false, "show", file, "--set", "sites=c,d")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"lr     0.25    toy.yaml:2", "sites  [c, d]  --set"} {
		if !strings.Contains(out, want) {
			t.Errorf("show does not print %q:\n%s", want, out)
		}
	}
	out, err = runConfig(t, true, "show", file)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		Kind, Hash string
		Values     []config.Value
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.Kind != "toy" || len(shown.Hash) != 64 || len(shown.Values) != 2 || shown.Values[0].Value != 0.25 {
		t.Errorf("show --json gave %+v", shown)
	}
	if out, err = runConfig(t, false, "schema"); err != nil || out != "toy  a toy\n" {
		t.Errorf("schema: %q, %v", out, err)
	}
	if out, err = runConfig(t, false, "schema", "toy"); err != nil || !json.Valid([]byte(out)) {
		t.Errorf("schema toy: %q, %v", out, err)
	}
	if _, err = runConfig(t, false, "schema", "toi"); err == nil || !strings.Contains(err.Error(), `"toy"`) {
		t.Errorf("schema toi: %v", err)
	}
	if _, err = runConfig(t, false, "validate", file); err != nil {
		t.Errorf("validate: %v", err)
	}
	if _, err = runConfig(t, false, "validate", file, "--set", "rl=1"); err == nil {
		t.Error("validate accepts an unknown key")
	}
}

// TestConfigKinds checks the schema of every kind.
func TestConfigKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range configKinds() {
		if seen[k.Name] || k.Doc == "" {
			t.Errorf("kind %q is there twice or has no doc", k.Name)
		}
		seen[k.Name] = true
		if _, err := k.JSONSchema(); err != nil {
			t.Error(err)
		}
	}
}
