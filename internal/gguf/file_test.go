package gguf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

func mustOpen(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// plainDir is a temporary folder whose name, unlike t.TempDir's, does not hold the name of the test: messages hold
// paths, and a test for a word in a message must not find it there.
func plainDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "d")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// wantError demands an error whose text has all the parts.
func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

// sameFloats compares bit for bit on amd64; elsewhere the compiler may fuse scale*q+min, which changes the last bit.
func sameFloats(got, want []float32) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	for i := range want {
		tolerance := 0.0
		if runtime.GOARCH != "amd64" {
			tolerance = 1e-6 * math.Abs(float64(want[i]))
		}
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) && !(math.Abs(float64(got[i])-float64(want[i])) <= tolerance) {
			return fmt.Errorf("value %d is %v, want %v", i, got[i], want[i])
		}
	}
	return nil
}

// TestTypes compares every value of every readable storage type with the reference package (testdata/make.py).
func TestTypes(t *testing.T) {
	f := mustOpen(t, "testdata/types.gguf")
	want, err := safetensors.Open("testdata/types.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	var unread []string
	for _, tensor := range f.Tensors() {
		if kind, ok := strings.CutPrefix(tensor.Name, "unread."); ok {
			unread = append(unread, kind)
			_, err := f.Float32(tensor.Name)
			wantError(t, err, tensor.Name, "types.gguf", kind, "use a file in F32")
			continue
		}
		values, err := want.Float32(tensor.Name)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := want.Info(tensor.Name)
		if tensor.Type != tensor.Name || !slices.Equal(tensor.Shape, info.Shape) {
			t.Errorf("%+v, want type %s and shape %v", tensor, tensor.Name, info.Shape)
		}
		got, err := f.Float32(tensor.Name)
		if err == nil {
			err = sameFloats(got, values)
		}
		if err != nil {
			t.Errorf("%s: %v", tensor.Name, err)
		}
	}
	if len(want.Names()) != 14 || len(f.Tensors()) != 14+len(unread) || len(unread) != 2 {
		t.Errorf("%d tensors, %d expected, %d unread", len(f.Tensors()), len(want.Names()), len(unread))
	}
}

func TestMetadata(t *testing.T) {
	f := mustOpen(t, "testdata/types.gguf")
	ints := map[string]int64{
		"k.uint8": 255, "k.int8": -128, "k.uint16": 65535, "k.int16": -32768, "k.uint32": 1<<32 - 1, "k.int32": -1 << 31,
		"k.uint64": 1<<63 - 1, "k.int64": -1 << 63,
	}
	for key, want := range ints {
		if got, ok := f.Int(key); !ok || got != want {
			t.Errorf("%s: got %d, %v; want %d", key, got, ok, want)
		}
	}
	if got, ok := f.Int("k.uint64.big"); ok {
		t.Errorf("2^63 came back as %d", got)
	}
	if got, ok := f.Float("k.float32"); !ok || got != float64(float32(0.1)) {
		t.Error(got, ok)
	}
	if got, ok := f.Float("k.float64"); !ok || got != 0.1 {
		t.Error(got, ok)
	}
	if got, ok := f.Bool("k.bool"); !ok || !got {
		t.Error(got, ok)
	}
	if got, ok := f.String("k.string"); !ok || got != "naïve\n" {
		t.Errorf("%q %v", got, ok)
	}
	if got, ok := f.Strings("k.strings"); !ok || !slices.Equal(got, []string{"a", "", "ü"}) {
		t.Errorf("%q %v", got, ok)
	}
	if got, ok := f.Ints("k.int32s"); !ok || !slices.Equal(got, []int64{1, -2, 3}) {
		t.Error(got, ok)
	}
	if got, ok := f.Ints("k.bytes"); !ok || !slices.Equal(got, []int64{1, 2, 255}) {
		t.Error(got, ok)
	}
	if got, ok := f.Floats("k.float32s"); !ok || !slices.Equal(got, []float64{0.5, -1.25}) {
		t.Error(got, ok)
	}
	keys := f.Keys()
	if len(keys) != 19 || keys[0] != "general.architecture" || !slices.Contains(keys, "k.bools") {
		t.Errorf("keys %q", keys)
	}
	// No accessor answers for an absent key or a value of another type.
	for _, key := range []string{"absent", "k.bools"} {
		_, s := f.String(key)
		_, i := f.Int(key)
		_, x := f.Float(key)
		_, b := f.Bool(key)
		_, ss := f.Strings(key)
		_, is := f.Ints(key)
		_, xs := f.Floats(key)
		if s || i || x || b || ss || is || xs {
			t.Errorf("%s: %v", key, []bool{s, i, x, b, ss, is, xs})
		}
	}
}

// TestSmolLM2 compares every value of the published model with the reference package, by digest.
func TestSmolLM2(t *testing.T) {
	f := mustOpen(t, filepath.Join(graphtest.Model(t, "smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf"))
	text, err := os.ReadFile("testdata/smollm2.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Type   string    `json:"type"`
		Shape  []int     `json:"shape"`
		First  []float32 `json:"first"`
		SHA256 string    `json:"sha256"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	types := map[string]int{}
	for _, tensor := range f.Tensors() {
		types[tensor.Type]++
		w, ok := want[tensor.Name]
		if !ok || tensor.Type != w.Type || !slices.Equal(tensor.Shape, w.Shape) {
			t.Fatalf("%+v, want %+v", tensor, w)
		}
		got, err := f.Float32(tensor.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := sameFloats(got[:len(w.First)], w.First); err != nil {
			t.Errorf("%s: %v", tensor.Name, err)
		}
		if sum := digest(got); runtime.GOARCH == "amd64" && sum != w.SHA256 {
			t.Errorf("%s: digest %s, want %s", tensor.Name, sum, w.SHA256)
		}
	}
	if len(want) != 272 || types["Q4_1"] != 210 || types["F32"] != 61 || types["Q8_0"] != 1 || len(types) != 3 {
		t.Errorf("types %v, %d expected tensors", types, len(want))
	}
	if got, ok := f.String("tokenizer.ggml.pre"); !ok || got != "smollm" {
		t.Error(got, ok)
	}
	if got, ok := f.Int("llama.attention.head_count_kv"); !ok || got != 3 {
		t.Error(got, ok)
	}
	if got, ok := f.Float("llama.rope.freq_base"); !ok || got != 100000 {
		t.Error(got, ok)
	}
	if got, ok := f.Bool("tokenizer.ggml.add_bos_token"); !ok || got {
		t.Error(got, ok)
	}
	tokens, ok := f.Strings("tokenizer.ggml.tokens")
	if !ok || len(tokens) != 49152 || tokens[1] != "<|im_start|>" {
		t.Error(len(tokens), ok)
	}
	if got, ok := f.Ints("tokenizer.ggml.token_type"); !ok || len(got) != 49152 || got[0] != 3 {
		t.Error(len(got), ok)
	}
}

// TestGoldenFiles opens every golden GGUF file; they are control vectors: F32 directions, one for each layer.
func TestGoldenFiles(t *testing.T) {
	count := 0
	err := filepath.WalkDir(graphtest.Golden(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".gguf" {
			return err
		}
		count++
		f := mustOpen(t, path)
		if got, ok := f.String("general.architecture"); !ok || got != "controlvector" {
			t.Errorf("%s: architecture %q", path, got)
		}
		if len(f.Tensors()) == 0 {
			t.Errorf("%s has no tensors", path)
		}
		for _, tensor := range f.Tensors() {
			values, err := f.Float32(tensor.Name)
			if err != nil || len(tensor.Shape) != 1 || len(values) != tensor.Shape[0] {
				t.Errorf("%s: %+v gives %d values, %v", path, tensor, len(values), err)
			}
			if i := slices.IndexFunc(values, func(v float32) bool { return v != 0 && math.Abs(float64(v)) < 1e3 }); i < 0 {
				t.Errorf("%s: %s holds no plausible value", path, tensor.Name)
			}
		}
		return nil
	})
	if err != nil {
		graphtest.Skip(t, "no golden data: %v", err)
	}
	if count == 0 {
		graphtest.Skip(t, "the golden data has no GGUF file")
	}
}

func digest(values []float32) string {
	hash := sha256.New()
	var buffer [4 << 10]byte
	for chunk := range slices.Chunk(values, len(buffer)/4) {
		b := buffer[:0]
		for _, v := range chunk {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		hash.Write(b)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// TestConcurrent reads all tensors from several goroutines; run it under -race.
func TestConcurrent(t *testing.T) {
	f := mustOpen(t, "testdata/types.gguf")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, tensor := range f.Tensors() {
				if strings.HasPrefix(tensor.Name, "unread.") {
					continue
				}
				if values, err := f.Float32(tensor.Name); err != nil || len(values) == 0 {
					t.Errorf("%s: %d values, %v", tensor.Name, len(values), err)
				}
			}
		})
	}
	group.Wait()
}

func TestAskedWrongly(t *testing.T) {
	f := mustOpen(t, "testdata/types.gguf")
	_, err := f.Float32("nothing")
	wantError(t, err, "types.gguf", `no tensor "nothing"`, `"F32"`)
	if _, ok := f.Tensor("nothing"); ok {
		t.Error("a tensor that is not there was found")
	}
	info, ok := f.Tensor("Q4_1")
	if !ok {
		t.Fatal("Q4_1 was not found")
	}
	info.Shape[0] = 99
	if again, _ := f.Tensor("Q4_1"); again.Shape[0] == 99 {
		t.Error("a caller can change the file's header")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = f.Float32("Q4_1")
	wantError(t, err, `"Q4_1"`, "types.gguf", "closed")
	if got, ok := f.Int("k.int8"); !ok || got != -128 {
		t.Error("metadata is gone after Close")
	}
	_, err = Open(filepath.Join(plainDir(t), "none.gguf"))
	wantError(t, err, "none.gguf", "no such file")
}

// FuzzOpen demands that whatever passes the check can be opened by the library, and that every tensor is then read
// whole or refused by an error.
func FuzzOpen(f *testing.F) {
	whole, err := os.ReadFile("testdata/types.gguf")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(simple().bytes())
	f.Add(empty().bytes())
	path := filepath.Join(f.TempDir(), "fuzz.gguf")
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := scan(b); err != nil {
			return
		}
		path := fmt.Sprintf("%s.%d", path, os.Getpid())
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		file, err := Open(path)
		if err != nil {
			t.Fatalf("the check passed, but: %v", err)
		}
		defer file.Close()
		for _, tensor := range file.Tensors() {
			n := 1
			for _, d := range tensor.Shape {
				n *= d
			}
			values, err := file.Float32(tensor.Name)
			if err == nil && len(values) != n {
				t.Fatalf("%+v gives %d values", tensor, len(values))
			}
			if err != nil && !bytes.Contains([]byte(err.Error()), []byte("cannot be read")) {
				t.Fatal(err)
			}
		}
	})
}
