package graphtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/backend"
)

// Python returns a python3 that has all of the modules: LOUPE_PYTHON, else the one that `make peers` installs, else that of the
// system. Where none has them the test is skipped, always: no test of the peers is part of `make test`.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	candidates := []string{os.Getenv("LOUPE_PYTHON")}
	if candidates[0] == "" {
		candidates = nil
		if home, err := backend.Home(); err == nil {
			candidates = append(candidates, filepath.Join(home, "peers", "bin", "python3"))
		}
		candidates = append(candidates, "python3")
	}
	script := "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"
	for _, python := range candidates {
		if exec.Command(python, append([]string{"-c", script}, modules...)...).Run() == nil {
			return python
		}
	}
	t.Skipf("no python3 of %s has %s; run `make peers`, or set LOUPE_PYTHON", strings.Join(candidates, ", "), strings.Join(modules, ", "))
	return ""
}
