package model

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// testFolder is a copy of a golden model that a test may damage.
type testFolder struct {
	t      testing.TB
	dir    string
	config map[string]any
}

// copyFolder copies a golden model without its golden data.
func copyFolder(t testing.TB, name string) *testFolder {
	t.Helper()
	from := filepath.Join(graphtest.Golden(t), "models", "tiny", name)
	f := &testFolder{t: t, dir: t.TempDir()}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "golden.safetensors" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		f.write(e.Name(), string(b))
	}
	b, err := os.ReadFile(f.path("config.json"))
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&f.config); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *testFolder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *testFolder) write(name, content string) {
	f.t.Helper()
	if err := os.MkdirAll(filepath.Dir(f.path(name)), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), []byte(content), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// set changes keys of config.json; a nil value is null.
func (f *testFolder) set(values map[string]any) {
	f.t.Helper()
	maps.Copy(f.config, values)
	f.save()
}

// drop removes keys of config.json.
func (f *testFolder) drop(keys ...string) {
	f.t.Helper()
	for _, k := range keys {
		delete(f.config, k)
	}
	f.save()
}

func (f *testFolder) save() {
	f.t.Helper()
	b, err := json.Marshal(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write("config.json", string(b))
}

// tensors rewrites model.safetensors with what change makes of its tensors.
func (f *testFolder) tensors(change func(map[string]safetensors.Tensor)) {
	f.t.Helper()
	file, err := safetensors.Open(f.path("model.safetensors"))
	if err != nil {
		f.t.Fatal(err)
	}
	all := map[string]safetensors.Tensor{}
	for _, name := range file.Names() {
		info, _ := file.Info(name)
		data, err := file.Bytes(name)
		if err != nil {
			f.t.Fatal(err)
		}
		all[name] = safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: bytes.Clone(data)}
	}
	if err := file.Close(); err != nil {
		f.t.Fatal(err)
	}
	change(all)
	if err := safetensors.Write(f.path("model.safetensors"), slices.Collect(maps.Values(all)), nil); err != nil {
		f.t.Fatal(err)
	}
}

// cut keeps the first part of a file.
func (f *testFolder) cut(name string, keep float64) {
	f.t.Helper()
	b, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name, string(b[:int(float64(len(b))*keep)]))
}
