package safetensors

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder writes weights and an index into a new folder.
func folder(t *testing.T, index string, shards map[string][]Tensor) string {
	t.Helper()
	dir := plainDir(t)
	for name, tensors := range shards {
		if err := Write(filepath.Join(dir, name), tensors, map[string]string{"format": "pt", "shard": name}); err != nil {
			t.Fatal(err)
		}
	}
	if index != "" {
		if err := os.WriteFile(filepath.Join(dir, indexName), []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func two() map[string][]Tensor {
	return map[string][]Tensor{
		"a.safetensors": {F32("x", []int{2}, []float32{1, 2}), I64("n", nil, []int64{3})},
		"b.safetensors": {F64("w", []int{1}, []float64{4})},
	}
}

func TestOpenDirShards(t *testing.T) {
	dir := folder(t, `{"metadata":{"total_size":1},"weight_map":{"x":"a.safetensors","w":"b.safetensors","n":"a.safetensors"}}`, two())
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Names(); !slices.Equal(got, []string{"n", "w", "x"}) {
		t.Errorf("names %v", got)
	}
	if got, err := s.Float32("x"); err != nil || !slices.Equal(got, []float32{1, 2}) {
		t.Error(got, err)
	}
	if got, err := s.Float64("w"); err != nil || !slices.Equal(got, []float64{4}) {
		t.Error(got, err)
	}
	if got, err := s.Int64("n"); err != nil || !slices.Equal(got, []int64{3}) {
		t.Error(got, err)
	}
	if got, err := s.Bytes("n"); err != nil || len(got) != 8 {
		t.Error(got, err)
	}
	if info, ok := s.Info("w"); !ok || info.DType != "F64" {
		t.Error(info, ok)
	}
	if _, ok := s.Info("nothing"); ok {
		t.Error("a tensor that is not there was found")
	}
	if got := s.Metadata(); got["format"] != "pt" || got["shard"] != "a.safetensors" {
		t.Errorf("metadata %v", got)
	}
	if got := s.Files(); !slices.Equal(got, []string{filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.safetensors")}) {
		t.Errorf("files %v", got)
	}
	_, err = s.Float32("nothing")
	wantError(t, err, dir, `"nothing"`, `["n" "w" "x"]`)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_, err = s.Float32("x")
	wantError(t, err, "after Close")
}

// TestOpenDirSingle: one file wins over an index, as in the transformers library, and may be a link, as in its cache.
func TestOpenDirSingle(t *testing.T) {
	dir := folder(t, `{"weight_map":{"gone":"gone.safetensors"}}`, two())
	if err := os.Symlink(filepath.Join(dir, "b.safetensors"), filepath.Join(dir, singleName)); err != nil {
		t.Fatal(err)
	}
	s, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Names(); !slices.Equal(got, []string{"w"}) {
		t.Errorf("names %v", got)
	}
}

func TestOpenDirRefuses(t *testing.T) {
	cases := map[string]struct {
		index string
		want  []string
	}{
		"missing tensor": {`{"weight_map":{"x":"a.safetensors","n":"a.safetensors","w":"b.safetensors","v":"b.safetensors"}}`,
			[]string{`"v" is missing from`, "b.safetensors", indexName}},
		"extra tensor": {`{"weight_map":{"x":"a.safetensors","w":"b.safetensors"}}`,
			[]string{`"n" of`, "a.safetensors", "not placed there", indexName}},
		"wrong shard": {`{"weight_map":{"x":"b.safetensors","n":"a.safetensors","w":"b.safetensors"}}`,
			[]string{`"x"`, "a.safetensors", "not placed there"}},
		"missing shard":    {`{"weight_map":{"x":"c.safetensors"}}`, []string{"c.safetensors", "no such file"}},
		"parent folder":    {`{"weight_map":{"x":"../a.safetensors"}}`, []string{indexName, `"x"`, "leaves the folder"}},
		"hidden parent":    {`{"weight_map":{"x":"b/../../a.safetensors"}}`, []string{"leaves the folder"}},
		"absolute path":    {`{"weight_map":{"x":"/a.safetensors"}}`, []string{"leaves the folder"}},
		"empty name":       {`{"weight_map":{"x":""}}`, []string{"leaves the folder"}},
		"the folder":       {`{"weight_map":{"x":"."}}`, []string{"not a regular file"}},
		"tensor twice":     {`{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}`, []string{`"x" appears twice`}},
		"no weight map":    {`{"metadata":{}}`, []string{"no weight_map"}},
		"number":           {`{"weight_map":{"x":1}}`, []string{`"x"`, "a string should be"}},
		"cut short":        {`{"weight_map":{"x":"a.safetensors"`, []string{indexName, "JSON"}},
		"more text":        {`{"weight_map":{"x":"a.safetensors"}}]`, []string{indexName, "more follows"}},
		"neither file":     {``, []string{singleName, indexName, "give a Hugging Face folder"}},
		"an index of null": {`null`, []string{indexName}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, c.index, two())
			_, err := OpenDir(dir)
			wantError(t, err, append(c.want, dir)...)
			if c.index == "" && !errors.Is(err, fs.ErrNotExist) {
				t.Error("the error is not fs.ErrNotExist")
			}
		})
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(`{"metadata":{"total_size":1},"weight_map":{"x":"a.safetensors","w":"sub/b.safetensors"}}`)
	f.Add(`{"weight_map":{"x":"../a"}}`)
	f.Fuzz(func(t *testing.T, index string) {
		shards, err := parseIndex(strings.NewReader(index))
		if err != nil {
			return
		}
		for shard := range shards {
			if !filepath.IsLocal(shard) {
				t.Fatalf("shard %q leaves the folder", shard)
			}
		}
	})
}
