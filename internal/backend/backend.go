// Package backend opens the one compute backend of a process.
//
// It is the only place that opens a backend: everything else receives a compute.Backend.
package backend

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend" // backend "go"
	"github.com/gomlx/go-xla/compute/xla"
	"github.com/gomlx/go-xla/pjrt"
	"github.com/gomlx/gomlx/support/exceptions"
)

// EnvVar names the environment variable that chooses the backend when no flag does.
const EnvVar = "LOUPE_BACKEND"

// CPUPlugin is the file name of the PJRT plugin that `loupe setup` installs for xla:cpu.
const CPUPlugin = "pjrt_c_api_cpu_plugin.so"

// ErrUnavailable says that the backend asked for cannot be opened on this machine.
var ErrUnavailable = errors.New("backend unavailable")

// Home is loupe's cache folder: LOUPE_HOME, else ~/.cache/loupe (the user's cache folder).
func Home() (string, error) {
	if dir := os.Getenv("LOUPE_HOME"); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("backend: no cache folder: %w; set LOUPE_HOME to a folder that you can write", err)
	}
	return filepath.Join(cache, "loupe"), nil
}

// FindPlugin returns the absolute path of the PJRT plugin for device "cpu" or "cuda", or "" when there is none.
// It looks in PJRT_PLUGIN_LIBRARY_PATH and go-xla's own folders first, then in loupe's cache folder.
func FindPlugin(device string) string {
	var installed map[string]string
	// a broken plugin makes the search panic; loupe's own folder may still hold a good one
	if exceptions.TryCatch[error](func() { installed = pjrt.AvailablePlugins() }) == nil {
		for _, name := range slices.Sorted(maps.Keys(installed)) {
			if name == device || strings.HasPrefix(name, device+"_") {
				return installed[name]
			}
		}
	}
	home, err := Home()
	if err != nil {
		return ""
	}
	file := CPUPlugin
	if device == "cuda" {
		file = "xla_cuda_plugin.so"
	}
	path := filepath.Join(home, "plugins", file)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return path
	}
	return ""
}

// Open opens the backend called name: "auto" (or ""), "xla:cuda", "xla:cpu", "xla:/path/to/plugin.so" or "go".
// An empty name reads LOUPE_BACKEND. The error wraps ErrUnavailable and ends with the cure.
func Open(name string) (compute.Backend, error) {
	if name == "" {
		name = os.Getenv(EnvVar)
	}
	xla.EnableAutoInstall(false)
	switch {
	case name == "" || name == "auto":
		return openAuto()
	case name == "go":
		return open("go", goConfig)
	case name == "xla:cpu" || name == "xla:cuda" || name == "xla":
		device := strings.TrimPrefix(strings.TrimPrefix(name, "xla"), ":")
		if device == "" {
			device = "cpu"
		}
		path := FindPlugin(device)
		if path == "" {
			cure := "run `loupe setup`"
			if device == "cuda" {
				cure = "run `loupe setup --cuda`"
			}
			return nil, fmt.Errorf("%w: no %s plugin for %q found; %s, or use --backend go", ErrUnavailable, device, name, cure)
		}
		return openPlugin(path)
	case strings.HasPrefix(name, "xla:"):
		path := strings.TrimPrefix(name, "xla:")
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: plugin %s: %w; give the path of a PJRT plugin (.so)", ErrUnavailable, path, err)
		}
		return openPlugin(path)
	}
	return nil, fmt.Errorf("%w: unknown backend %q; use auto, go, xla:cpu, xla:cuda or xla:/path/to/plugin.so", ErrUnavailable, name)
}

func openAuto() (compute.Backend, error) {
	if path := FindPlugin("cuda"); path != "" {
		if b, err := openPlugin(path); err == nil && b.NumDevices() > 0 {
			return b, nil
		}
	}
	if path := FindPlugin("cpu"); path != "" {
		if b, err := openPlugin(path); err == nil {
			return b, nil
		}
	}
	return open("go", goConfig)
}

// openPlugin opens a PJRT plugin by absolute path. TF32 is off: numbers are float32 on every device.
func openPlugin(path string) (compute.Backend, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("backend: %w", err)
	}
	return open("xla", abs+",tf32=false")
}

// goConfig runs one operation after the other, each in parallel by itself: with operations side by side, the worker pool of compute
// v0.1.2 can stop for ever, all workers waiting for a free one.
const goConfig = "ops_sequential"

// open turns the panic of an unlinked or failing backend into an error.
func open(kind, config string) (compute.Backend, error) {
	var b compute.Backend
	var err error
	caught := exceptions.TryCatch[error](func() { b, err = compute.NewWithConfig(kind + ":" + config) })
	if err = errors.Join(caught, err); err != nil {
		return nil, fmt.Errorf("%w: %s: %w; run `loupe doctor` to see which backends work here", ErrUnavailable, kind, err)
	}
	return b, nil
}
