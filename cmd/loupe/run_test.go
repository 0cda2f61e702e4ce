package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/experiments/demo"
	"loupe/internal/config"
	"loupe/internal/graphtest"
	"loupe/internal/lab"
)

// smallDemo makes the demonstration small enough for a test.
var smallDemo = []string{
	"--set", "text.max_docs=300", "--set", "text.held_out=0.4", "--set", "text.max_length=16", "--set", "text.concepts=[negation]",
	"--set", "text.train_pairs=10", "--set", "text.held_out_pairs=6", "--set", "sae.d_sae=64", "--set", "sae.k=4", "--set", "sae.tokens=4000",
	"--set", "sae.batch=200", "--set", "splice.documents=8", "--set", "splice.neighbours=3", "--set", "detect.latents=2",
	"--set", "detect.shuffles=5", "--set", "ablate.random=1",
}

func TestRunCommandRefuses(t *testing.T) {
	t.Chdir(graphtest.ModuleRoot(t))
	other := filepath.Join(t.TempDir(), "sae.yaml")
	if err := os.WriteFile(other, []byte("kind: sae\nstore: s\nsite: blocks.1.hook_resid_post\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no name", []string{"run"}, 2, "usage: loupe run"},
		{"misspelt", []string{"run", "demoo"}, 2, `did you mean "demo"?`},
		{"unknown", []string{"run", "somethingelse"}, 2, "there are: demo"},
		{"one of several", []string{"run", "autoencoders"}, 2, "experiments/autoencoders/minilm.yaml, experiments/autoencoders/quick.yaml, experiments/autoencoders/smollm2.yaml"},
		{"absent file", []string{"run", "absent/config.yaml"}, 1, "absent/config.yaml"},
		{"no experiment", []string{"run", other}, 2, "which is no experiment"},
		{"unknown key", []string{"run", "demo", "--set", "text.max_doc=1"}, 1, "max_docs"},
		{"nothing to resume", []string{"--backend", "go", "run", "demo", "--resume", "--runs", t.TempDir()}, 1, "leave out --resume"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, errw, code := command(t, c.args...)
			if code != c.code || !strings.Contains(errw, c.want) {
				t.Errorf("exit code %d, want %d; %q has no %q", code, c.code, errw, c.want)
			}
		})
	}
}

// TestRunCommand runs a small demonstration: a plan that writes nothing, then a run whose settings are not those that the
// expectations are for.
func TestRunCommand(t *testing.T) {
	graphtest.Backend(t)
	graphtest.Model(t, "minilm")
	if graphtest.IsGo(t) {
		t.Skip("TopK is slow on the Go backend")
	}
	t.Chdir(graphtest.ModuleRoot(t))
	dir := t.TempDir()
	args := append([]string{"run", "demo", "--json", "--runs", filepath.Join(dir, "runs"), "--stores", filepath.Join(dir, "stores")}, smallDemo...)
	code, out, errw := loupeOn(t, append(args, "--dry-run")...)
	var plan lab.Plan
	if err := json.Unmarshal([]byte(out), &plan); code != 0 || err != nil {
		t.Fatalf("dry run: exit code %d, %v\n%s", code, err, errw)
	}
	if len(plan.Steps) != 6 || plan.Seconds <= 0 || plan.Steps[0].Bytes <= 0 {
		t.Errorf("plan %+v", plan)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("a dry run wrote %v (%v)", entries, err)
	}
	code, out, errw = loupeOn(t, args...)
	var r demo.Result
	if err := json.Unmarshal([]byte(out), &r); code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s", code, err, errw)
	}
	if len(r.Concepts) != 1 || r.Other == "" || len(r.Expected) == 0 || len(r.Metrics) == 0 {
		t.Errorf("result %+v", r)
	}
	for _, name := range []string{"report.html", "run.json", "tables/metrics.arrow", "weights/sae/cfg.json"} {
		if _, err := os.Stat(filepath.Join(r.Folder, name)); err != nil {
			t.Error(err)
		}
	}
	if code, _, errw = loupeOn(t, append(args, "--resume")...); code != 1 || !strings.Contains(errw, "the run is done") {
		t.Errorf("resuming a finished run: exit code %d, %q", code, errw)
	}
}

// TestExpectations: a configuration has the expectations that are called after it, else those of the folder's config.yaml,
// and other settings are not judged.
func TestExpectations(t *testing.T) {
	t.Chdir(graphtest.ModuleRoot(t))
	for _, c := range []struct {
		path, set, other string
		lines            bool
	}{
		{"experiments/autoencoders/minilm.yaml", "", "", true},
		{"experiments/autoencoders/minilm.yaml", "tokens=500000", "for experiments/autoencoders/minilm.yaml as it stands", true},
		{"experiments/autoencoders/smollm2.yaml", "", "", true},
		{"experiments/autoencoders/quick.yaml", "", "", false},
		{"experiments/demo/config.yaml", "", "", true},
		{"experiments/demo/quick.yaml", "", "for experiments/demo/config.yaml as it stands", true},
	} {
		in := config.Input{Path: c.path}
		if c.set != "" {
			in.Set = []string{c.set}
		}
		conf, err := config.Load(configKinds(), in)
		if err != nil {
			t.Fatal(err)
		}
		lines, other, err := (&app{}).expectations(c.path, conf)
		if err != nil || len(lines) > 0 != c.lines || !strings.Contains(other, c.other) || (c.other == "") != (other == "") {
			t.Errorf("%s %s: %d lines, other %q, %v", c.path, c.set, len(lines), other, err)
		}
	}
}
