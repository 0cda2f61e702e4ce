package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Downloader fetches wheel w into the empty folder dir and returns the path of the file.
type Downloader func(ctx context.Context, w Wheel, dir string) (string, error)

// ErrNoPython says that python3 or its pip is missing.
var ErrNoPython = errors.New("python3 with pip is missing")

// CheckPython returns the path of python3 and the version line of its pip.
func CheckPython(ctx context.Context) (path, pip string, err error) {
	const cure = "install them (Debian and Ubuntu: apt-get install python3-pip; Fedora: dnf install python3-pip; macOS: xcode-select --install)"
	path, err = exec.LookPath("python3")
	if err != nil {
		return "", "", fmt.Errorf("%w: no python3 in PATH; %s", ErrNoPython, cure)
	}
	out, err := exec.CommandContext(ctx, path, "-m", "pip", "--version").CombinedOutput()
	if ctx.Err() != nil {
		return path, "", ctx.Err()
	}
	if err != nil {
		return path, "", fmt.Errorf("%w: %s -m pip: %s; %s", ErrNoPython, path, lastLine(out), cure)
	}
	return path, strings.TrimSpace(string(out)), nil
}

// pipDownload is the Downloader by `python3 -m pip download`. It keeps pip's temporary files in dir, so that a kill leaves nothing
// outside the cache folder.
func pipDownload(ctx context.Context, w Wheel, dir string) (string, error) {
	python, _, err := CheckPython(ctx)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--no-cache-dir",
		"--progress-bar", "off", "--no-deps", "--only-binary=:all:", "-d", dir, w.String())
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("pip download %s: %w: %s; check the network and pip's index (python3 -m pip config list), then run it again", w, err, lastLine(out.Bytes()))
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".whl") {
			return filepath.Join(dir, f.Name()), nil
		}
	}
	return "", fmt.Errorf("pip download %s: it left no wheel in %s; run it again", w, dir)
}

// lastLine is the last line of out that says something: for pip, the error.
func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		if strings.HasPrefix(line, "ERROR:") && !strings.Contains(line, "No matching distribution") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}

// pythonPlugin finds the CUDA plugin and the NVIDIA libraries of an installed Python package jax-cuda13-pjrt; both are "" without one.
func pythonPlugin(ctx context.Context) (plugin, libraries string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", ""
	}
	const script = `
import importlib.util as u
for name in ("jax_plugins.xla_cuda13", "nvidia"):
    try:
        print(next(iter(u.find_spec(name).submodule_search_locations)))
    except Exception:
        print()
`
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-c", script).Output()
	if err != nil {
		return "", ""
	}
	lines := strings.Split(string(out), "\n")
	if len(lines) < 2 || lines[0] == "" {
		return "", ""
	}
	plugin = filepath.Join(strings.TrimSpace(lines[0]), "xla_cuda_plugin.so")
	if info, err := os.Stat(plugin); err != nil || !info.Mode().IsRegular() {
		return "", ""
	}
	return plugin, strings.TrimSpace(lines[1])
}
