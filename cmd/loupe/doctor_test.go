package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"loupe/internal/backend"
	"loupe/internal/graphtest"
)

// probeChildEnv makes the test binary act as loupe itself in TestProbeChild.
const probeChildEnv = "LOUPE_TEST_PROBE_CHILD"

// testProber probes in a child process that is this test binary.
func testProber(t *testing.T) prober {
	t.Setenv(probeChildEnv, "1")
	return childProber(os.Args[0], "-test.run=^TestProbeChild$", "--")
}

func TestProbeChild(t *testing.T) {
	if os.Getenv(probeChildEnv) != "1" {
		t.Skip("runs only as the child of the doctor's tests")
	}
	if code := run(context.Background(), flag.Args(), os.Stdout, os.Stderr); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}

func findings(t *testing.T, d *diagnosis, name string) finding {
	t.Helper()
	for _, f := range d.Findings {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no finding about %q in %+v", name, d.Findings)
	return finding{}
}

func TestDoctorOnThisMachine(t *testing.T) {
	if backend.FindPlugin("cpu") == "" {
		graphtest.Skip(t, "no CPU plugin; run `make setup`")
	}
	d, err := diagnose(context.Background(), testProber(t), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"backend go", "backend xla:cpu", "plugin-cpu"} {
		if f := findings(t, d, name); f.Grade != gradeOK {
			t.Errorf("%+v, want ok", f)
		}
	}
	for _, p := range d.Backends[:2] {
		if !p.Working || len(p.Devices) == 0 || p.RunMS <= 0 {
			t.Errorf("probe %+v, want a timed computation on a device", p)
		}
	}
	if d.Backends[1].API == "" || len(d.Backends[1].Attributes) == 0 {
		t.Errorf("probe %+v, want the plugin's API version and attributes", d.Backends[1])
	}
}

func TestDoctorWithoutPluginNamesTheCure(t *testing.T) {
	t.Setenv("LOUPE_HOME", t.TempDir())
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	d, err := diagnose(context.Background(), testProber(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if !d.OK {
		t.Errorf("a missing plugin is a problem: %+v", d.Findings)
	}
	for name, want := range map[string]grade{
		"backend go": gradeOK, "backend xla:cpu": gradeWarning, "plugin-cpu": gradeWarning, "minilm": gradeWarning, "smollm2": gradeWarning,
	} {
		f := findings(t, d, name)
		if f.Grade != want || want != gradeOK && !strings.Contains(f.Cure, "loupe setup") {
			t.Errorf("%+v, want %s with the cure", f, want)
		}
	}
	var out bytes.Buffer
	if err := (&app{out: &out}).printDiagnosis(d); err != nil || !strings.Contains(out.String(), "cure: run `loupe setup`") {
		t.Errorf("printed %q, %v; want the cure", out.String(), err)
	}
}

func TestDoctorSurvivesBrokenPlugins(t *testing.T) {
	home := t.TempDir()
	t.Setenv("LOUPE_HOME", home)
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	plugin := filepath.Join(home, "plugins", backend.CPUPlugin)
	if err := os.MkdirAll(filepath.Dir(plugin), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plugin, []byte("no plugin"), 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := diagnose(context.Background(), testProber(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if d.OK {
		t.Error("a broken plugin is not a problem")
	}
	for name, cure := range map[string]string{"backend xla:cpu": "loupe setup --force", "plugin-cpu": "loupe setup"} {
		if f := findings(t, d, name); f.Grade != gradeProblem || !strings.Contains(f.Cure, cure) {
			t.Errorf("%+v, want a problem with cure %q", f, cure)
		}
	}
	if f := findings(t, d, "backend go"); f.Grade != gradeOK {
		t.Errorf("%+v, want ok beside a broken plugin", f)
	}
}

func TestDoctorJudgesBackends(t *testing.T) {
	noPlugin := backend.ErrUnavailable.Error() + ": no plugin"
	for _, test := range []struct {
		name  string
		probe probe
		gpu   bool
		want  grade
		cure  string
	}{
		{"go broken", probe{Backend: "go", Error: "x"}, false, gradeProblem, "make build"},
		{"cpu absent", probe{Backend: "xla:cpu", Error: noPlugin}, false, gradeWarning, "loupe setup"},
		{"cpu crashed", probe{Backend: "xla:cpu", Plugin: "/p.so", Error: "x"}, false, gradeProblem, "remove or replace"},
		{"cpu without libstdc++", probe{Backend: "xla:cpu", Plugin: "/p.so", Error: "libstdc++.so.6: not found"}, false, gradeProblem, "libstdc++6"},
		{"search crashed", probe{Backend: "xla:cpu", Error: "panic"}, false, gradeProblem, "PJRT_PLUGIN_LIBRARY_PATH"},
		{"no gpu, no plugin", probe{Backend: "xla:cuda", Error: noPlugin}, false, gradeNote, ""},
		{"no gpu, plugin", probe{Backend: "xla:cuda", Plugin: "/p.so", Error: "no devices"}, false, gradeNote, ""},
		{"gpu, no plugin", probe{Backend: "xla:cuda", Error: noPlugin}, true, gradeNote, "loupe setup --cuda"},
		{"gpu, broken plugin", probe{Backend: "xla:cuda", Plugin: "/p.so", Error: "x"}, true, gradeProblem, "nvidia-smi"},
		{"works", probe{Backend: "xla:cuda", Plugin: "/p.so", Working: true}, true, gradeOK, ""},
	} {
		var d diagnosis
		d.checkBackend(test.probe, test.gpu)
		if f := d.Findings[0]; f.Grade != test.want || !strings.Contains(f.Cure, test.cure) || test.cure == "" && f.Cure != "" {
			t.Errorf("%s: %+v, want %s with cure %q", test.name, f, test.want, test.cure)
		}
	}
}

func TestChildProberSurvivesACrash(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the crashing child is a shell script")
	}
	for name, script := range map[string]string{
		"signal":     `echo '{"backend":"xla:cpu","plugin":"/p.so"}'; echo 'fatal error: boom' >&2; kill -SEGV $$`,
		"early exit": `echo '{"backend":"xla:cpu","plugin":"/p.so"}'; echo 'fatal error: boom' >&2; exit 0`,
		"lies first": `echo '{"backend":"xla:cpu","plugin":"/p.so","working":true}'; echo 'fatal error: boom' >&2; exit 3`,
	} {
		t.Run(name, func(t *testing.T) {
			p := childProber("sh", "-c", script)(context.Background(), "xla:cpu")
			if p.Working || p.Plugin != "/p.so" || !strings.Contains(p.Error, "boom") {
				t.Errorf("probe %+v, want a failure that names plugin and cause", p)
			}
		})
	}
}
