package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// link points the place of a CUDA component at an installed Python package, if there is one, and returns what it points at.
func (r *runner) link(ctx context.Context, c Component) string {
	plugin, libraries := pythonPlugin(ctx)
	target := libraries
	if c.Device == "cuda" {
		target = plugin
	}
	if target == "" {
		return ""
	}
	place := filepath.Join(r.Home, filepath.FromSlash(c.To))
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
		return ""
	}
	fresh := filepath.Join(r.tmp(), "link-"+c.Name)
	if err := os.Symlink(target, fresh); err != nil {
		return ""
	}
	if err := os.Rename(fresh, place); err != nil {
		r.Log.Warn("cannot link to the Python package", "component", c.Name, "error", err)
		return ""
	}
	delete(r.manifest.Items, c.Name)
	return target
}

// installGoXLA runs go-xla's installer in a folder of its own and moves the plugin that it brought into its place.
func (r *runner) installGoXLA(ctx context.Context, c Component) (map[string]record, error) {
	dir, err := os.MkdirTemp(r.tmp(), "goxla-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := r.GoXLA(ctx, dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.HasPrefix(f.Name(), "pjrt_c_api_cpu") {
			continue
		}
		stage := filepath.Join(dir, "stage")
		if err := os.Mkdir(stage, 0o755); err != nil {
			return nil, err
		}
		if err := os.Rename(filepath.Join(dir, f.Name()), filepath.Join(stage, filepath.Base(c.To))); err != nil {
			return nil, err
		}
		if err := r.place(c, stage); err != nil {
			return nil, err
		}
		got, err := digest(ctx, filepath.Join(r.Home, filepath.FromSlash(c.To)))
		if err != nil {
			return nil, err
		}
		return r.stamp(map[string]File{c.To: got})
	}
	return nil, fmt.Errorf("go-xla's installer left no plugin in %s", dir)
}
