package safetensors

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// reread returns what a file holds, in the form that Write takes.
func reread(t *testing.T, path string) ([]Tensor, map[string]string) {
	t.Helper()
	f := mustOpen(t, path)
	var tensors []Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		data, err := f.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, Tensor{name, info.DType, info.Shape, bytes.Clone(data)})
	}
	return tensors, f.Metadata()
}

// TestWriteEqualsPython writes the tensors of a file of the reference implementation again: the bytes are equal.
func TestWriteEqualsPython(t *testing.T) {
	want, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	tensors, metadata := reread(t, "testdata/python.safetensors")
	path := filepath.Join(plainDir(t), "again.safetensors")
	for range 3 {
		rand.Shuffle(len(tensors), func(i, j int) { tensors[i], tensors[j] = tensors[j], tensors[i] })
		if err := Write(path, tensors, metadata); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
	}
}

// TestRoundTrip writes random sets of tensors of every type and of shapes with zeros and scalars, and reads them back.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	dir := plainDir(t)
	for round := range 200 {
		var want []Tensor
		for i := range rng.IntN(12) {
			kind := dtypes()[rng.IntN(len(dtypes()))]
			shape := make([]int, rng.IntN(4))
			for j := range shape {
				shape[j] = rng.IntN(5)
			}
			size, err := byteSize(kind.name, shape)
			if err != nil {
				t.Fatal(err)
			}
			data := make([]byte, size)
			for j := range data {
				data[j] = byte(rng.Uint32())
			}
			want = append(want, Tensor{fmt.Sprintf("layer.%d.\"é\"\u2028", i), kind.name, shape, data})
		}
		metadata := map[string]string{}
		for i := range rng.IntN(3) {
			metadata[fmt.Sprint("<key> ", i)] = "a\nb & c"
		}
		path := filepath.Join(dir, "t.safetensors")
		if err := Write(path, want, metadata); err != nil {
			t.Fatal(err)
		}
		f := mustOpen(t, path)
		if f.data%8 != 0 {
			t.Fatalf("the data starts at byte %d", f.data)
		}
		got, gotMetadata := reread(t, path)
		if len(got) != len(want) || !maps.Equal(gotMetadata, metadata) {
			t.Fatalf("round %d: %d tensors, want %d; metadata %v, want %v", round, len(got), len(want), gotMetadata, metadata)
		}
		for i, w := range want {
			k := slices.IndexFunc(got, func(g Tensor) bool { return g.Name == w.Name })
			if k < 0 || got[k].DType != w.DType || !slices.Equal(got[k].Shape, w.Shape) || !bytes.Equal(got[k].Data, w.Data) {
				t.Fatalf("round %d: tensor %d %+v came back differently", round, i, w)
			}
			if info, _ := f.Info(w.Name); info.Len() > 0 && info.start%(info.Size()/info.Len()) != 0 {
				t.Fatalf("round %d: %s tensor starts at byte %d of the data", round, w.DType, info.start)
			}
		}
	}
}

func TestConstructors(t *testing.T) {
	path := filepath.Join(plainDir(t), "t.safetensors")
	err := Write(path, []Tensor{
		F32("f32", []int{2, 1}, []float32{1.5, -0.25}),
		F64("f64", []int{1}, []float64{1e-300}),
		I32("i32", []int{2}, []int32{-1 << 31, 1<<31 - 1}),
		I64("i64", nil, []int64{-1 << 63}),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	if got, err := f.Float32("f32"); err != nil || !slices.Equal(got, []float32{1.5, -0.25}) {
		t.Error(got, err)
	}
	if got, err := f.Float64("f64"); err != nil || !slices.Equal(got, []float64{1e-300}) {
		t.Error(got, err)
	}
	if got, err := f.Int64("i32"); err != nil || !slices.Equal(got, []int64{-1 << 31, 1<<31 - 1}) {
		t.Error(got, err)
	}
	if got, err := f.Int64("i64"); err != nil || !slices.Equal(got, []int64{-1 << 63}) {
		t.Error(got, err)
	}
	if info, _ := f.Info("i64"); len(info.Shape) != 0 {
		t.Errorf("the scalar has shape %v", info.Shape)
	}
	if len(f.Metadata()) != 0 {
		t.Errorf("metadata %v", f.Metadata())
	}
}

// TestWriteRefuses also checks that a refused write leaves the old file.
func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(plainDir(t), "t.safetensors")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	x := F32("x", []int{1}, []float32{1})
	cases := map[string]struct {
		tensors  []Tensor
		metadata map[string]string
		want     string
	}{
		"name twice":         {[]Tensor{x, I64("x", []int{1}, []int64{1})}, nil, "appears twice"},
		"reserved name":      {[]Tensor{F32(metadataKey, []int{1}, []float32{1})}, nil, "reserves"},
		"name not UTF-8":     {[]Tensor{F32("\xff", []int{1}, []float32{1})}, nil, "UTF-8"},
		"too few values":     {[]Tensor{F32("x", []int{2}, []float32{1})}, nil, "needs 8 bytes, but there are 4"},
		"negative dimension": {[]Tensor{F32("x", []int{-1}, nil)}, nil, "negative"},
		"unknown type":       {[]Tensor{{"x", "F7", []int{1}, []byte{1}}}, nil, "unknown dtype"},
		"metadata not UTF-8": {[]Tensor{x}, map[string]string{"k": "\xff"}, `metadata "k"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(t, Write(path, c.tensors, c.metadata), "t.safetensors", c.want)
			if b, err := os.ReadFile(path); err != nil || string(b) != "old" {
				t.Errorf("the old file is %q, %v", b, err)
			}
		})
	}
	wantError(t, Write(filepath.Join(plainDir(t), "no", "t.safetensors"), []Tensor{x}, nil), "no/t.safetensors", "check that the folder exists")
}

// TestPythonReads opens a written file with the reference implementation, where python3 has it.
func TestPythonReads(t *testing.T) {
	path := filepath.Join(plainDir(t), "t.safetensors")
	if err := Write(path, []Tensor{
		F32("a", []int{2, 2}, []float32{1, 2, 3, 4.5}), {"b", "BOOL", []int{3}, []byte{1, 0, 1}}, I64("c", nil, []int64{-7}),
	}, map[string]string{"k": "v", "a": "é"}); err != nil {
		t.Fatal(err)
	}
	python := os.Getenv("LOUPE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import safetensors.numpy").Run(); err != nil {
		t.Skipf("%s has no safetensors module", python)
	}
	script := `
import sys, safetensors
with safetensors.safe_open(sys.argv[1], framework="np") as f:
    print(sorted(f.metadata().items()), [(k, f.get_tensor(k).tolist()) for k in sorted(f.keys())])`
	out, err := exec.Command(python, "-c", script, path).CombinedOutput()
	want := "[('a', 'é'), ('k', 'v')] [('a', [[1.0, 2.0], [3.0, 4.5]]), ('b', [True, False, True]), ('c', -7)]\n"
	if err != nil || string(out) != want {
		t.Errorf("got  %s(%v)\nwant %s", out, err, want)
	}
}

func TestDigest(t *testing.T) {
	path := filepath.Join(plainDir(t), "abc")
	if err := os.WriteFile(path, []byte("abc"), 0o644); err != nil {
		t.Fatal(err)
	}
	// FIPS 180-2, appendix B.1.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got, err := Digest(path); err != nil || got != want {
		t.Errorf("got %s, %v", got, err)
	}
	_, err := Digest(path + "d")
	wantError(t, err, "abcd")
}
