package setup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fakePython puts a python3 with the given shell body first and alone in PATH.
func fakePython(t *testing.T, body string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake python3 is a shell script")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
}

var testWheel = Wheel{Package: "pkg", Version: "1.2"}

func TestPipDownloadAsksForExactlyTheWheel(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	t.Setenv("LOG", log)
	fakePython(t, `echo "$@" >>"$LOG"; for a; do [ "$d" = -d ] && echo wheel >"$a/pkg-1.2-any.whl"; d=$a; done; :`)
	dir := t.TempDir()
	got, err := pipDownload(context.Background(), testWheel, dir)
	if err != nil || got != filepath.Join(dir, "pkg-1.2-any.whl") {
		t.Fatalf("got %q, %v", got, err)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"-m pip --version", "-m pip download", "--no-deps", "--only-binary=:all:", "pkg==1.2\n"} {
		if !strings.Contains(string(calls), want) {
			t.Errorf("python3 was called with %q, without %q", calls, want)
		}
	}
}

func TestPipDownloadErrorsNameTheCure(t *testing.T) {
	for _, test := range []struct {
		name, python string
		want         []string
		is           error
	}{
		{"no pip", `echo "/usr/bin/python3: No module named pip" >&2; exit 1`, []string{"No module named pip", "python3-pip"}, ErrNoPython},
		{"no network", `[ "$3" = --version ] || { echo "ERROR: Could not find a version (from versions: none)"; echo "ERROR: No matching distribution found for pkg==1.2"; exit 1; }`,
			[]string{"pkg==1.2", "Could not find a version", "network"}, nil},
		{"nothing came", `:`, []string{"no wheel"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			fakePython(t, test.python)
			_, err := pipDownload(context.Background(), testWheel, t.TempDir())
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error %v, want %v", err, test.is)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := pipDownload(context.Background(), testWheel, t.TempDir()); !errors.Is(err, ErrNoPython) || !strings.Contains(err.Error(), "python3-pip") {
		t.Errorf("without python3: %v", err)
	}
}

func TestPipDownloadStopsWhenCancelled(t *testing.T) {
	fakePython(t, `[ "$3" = --version ] || exec /bin/sleep 60`)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := pipDownload(ctx, testWheel, t.TempDir())
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 20*time.Second {
		t.Errorf("error %v after %s, want the context's at once", err, time.Since(start))
	}
}

func TestPythonPluginIsLinked(t *testing.T) {
	w := newWorld(t)
	site := t.TempDir()
	write(t, filepath.Join(site, "jax_plugins/xla_cuda13/xla_cuda_plugin.so"), "cuda plugin")
	write(t, filepath.Join(site, "nvidia/cu13/lib/libcublas.so"), "cublas")
	fakePython(t, `printf '%s\n' '`+site+`/jax_plugins/xla_cuda13' '`+site+`/nvidia'`)
	w.components = Components()[3:] // the plugin and the libraries
	results, err := w.run(func(o *Options) { o.CUDA, o.Offline = true, true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionLink, ActionLink)
	for name, want := range map[string]string{"plugins/xla_cuda_plugin.so": "cuda plugin", "nvidia/cu13/lib/libcublas.so": "cublas"} {
		if got, err := os.ReadFile(filepath.Join(w.home, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q (%v), want %q", name, got, err, want)
		}
	}
	results, err = w.run(func(o *Options) { o.CUDA, o.Offline = true, true })
	if err != nil {
		t.Fatal(err)
	}
	wantActions(t, results, ActionNone, ActionNone)
}
