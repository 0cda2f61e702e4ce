// Package graphtest gives tests the backend under test and the golden data.
package graphtest

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/gomlx/compute"

	"loupe/internal/backend"
)

var (
	open   = sync.OnceValues(func() (compute.Backend, error) { return backend.Open(named("xla:cpu")) })
	openGo = sync.OnceValues(func() (compute.Backend, error) { return backend.Open(named("go")) })
)

// named is LOUPE_BACKEND, else name.
func named(name string) string {
	if given := os.Getenv(backend.EnvVar); given != "" {
		return given
	}
	return name
}

// Backend returns the process's backend under test: LOUPE_BACKEND, else xla:cpu. When it cannot be opened the test
// is skipped, or fails if LOUPE_REQUIRE is 1.
func Backend(t testing.TB) compute.Backend {
	t.Helper()
	b, err := open()
	if err != nil {
		Skip(t, "%v", err)
	}
	return b
}

// Interpreted returns the backend of tests that compare many small programs with each other: LOUPE_BACKEND, else the pure Go one, which
// compiles nothing. The reference data is compared on Backend.
func Interpreted(t testing.TB) compute.Backend {
	t.Helper()
	b, err := openGo()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// IsGo tells whether the backend under test is the pure Go one.
func IsGo(t testing.TB) bool { return Backend(t).String() == "go" }

// Skip skips the test, or fails it when LOUPE_REQUIRE is 1: under `make test` nothing may be left out.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("LOUPE_REQUIRE") == "1" {
		t.Fatalf("LOUPE_REQUIRE=1 and the test cannot run: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Golden returns the root of the golden data: LOUPE_GOLDEN, else ../shared/golden beside the module, else testdata/golden.
func Golden(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("LOUPE_GOLDEN"); dir != "" {
		return dir
	}
	root := ModuleRoot(t)
	shared := filepath.Join(root, "..", "shared", "golden")
	if info, err := os.Stat(shared); err == nil && info.IsDir() {
		return shared
	}
	return filepath.Join(root, "testdata", "golden")
}

// ModuleRoot returns the folder that holds go.mod: above the working folder, else above this file.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for up := dir; ; up = filepath.Dir(up) {
		if _, err := os.Stat(filepath.Join(up, "go.mod")); err == nil {
			return up
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		t.Fatalf("graphtest: no go.mod above %s, and the binary does not know where it was built", dir)
	}
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Model returns the cached folder of a default model ("minilm" or "smollm2"); without it the test skips (see Skip).
func Model(t testing.TB, name string) string {
	t.Helper()
	home, err := backend.Home()
	if err != nil {
		Skip(t, "%v", err)
	}
	dir := filepath.Join(home, "models", name)
	if _, err := os.Stat(dir); err != nil {
		Skip(t, "model %s is not in the cache: %v; run `make setup`", name, err)
	}
	return dir
}
