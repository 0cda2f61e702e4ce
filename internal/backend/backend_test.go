package backend_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"

	"loupe/internal/backend"
	"loupe/internal/graphtest"
)

func TestOpenComputes(t *testing.T) {
	b := graphtest.Backend(t)
	got, err := CallOnce(b, func(x *Node) *Node { return ReduceAllSum(Mul(x, x)) }, []float32{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if v := got.Value().(float32); v != 14 {
		t.Fatalf("sum of squares is %v, want 14", v)
	}
}

func TestOpenErrorsNameTheCure(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"tpu", "use auto, go, xla:cpu"},
		{"xla:/nowhere/plugin.so", "/nowhere/plugin.so"},
	} {
		_, err := backend.Open(test.name)
		if !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Open(%q) = %v, want ErrUnavailable naming %q", test.name, err, test.want)
		}
	}
}

func TestOpenWithoutPlugin(t *testing.T) {
	t.Setenv("LOUPE_HOME", t.TempDir())
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	if _, err := backend.Open("xla:cpu"); !errors.Is(err, backend.ErrUnavailable) || !strings.Contains(err.Error(), "loupe setup") {
		t.Errorf("xla:cpu without a plugin: %v", err)
	}
	b, err := backend.Open("auto")
	if err != nil || b.String() != "go" {
		t.Errorf("auto without a plugin: %v, %v; want the go backend", b, err)
	}
}

func TestOpenWithBrokenPlugin(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, backend.CPUPlugin), []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", dir)
	t.Setenv("LOUPE_HOME", t.TempDir())
	if _, err := backend.Open("xla:cpu"); !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("xla:cpu with a broken plugin: %v, want ErrUnavailable", err)
	}
	if b, err := backend.Open("auto"); err != nil || b.String() != "go" {
		t.Errorf("auto with a broken plugin: %v, %v; want the go backend", b, err)
	}
}
