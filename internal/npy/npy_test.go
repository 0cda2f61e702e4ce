package npy

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// raw builds the bytes of a file of version 1.0.
func raw(dict string, data ...byte) []byte {
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(dict)))
	return append(append(b, dict...), data...)
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

// put writes a file into a new folder.
func put(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(plainDir(t), "t.npy")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
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

// TestPython reads arrays of every type, version and order that NumPy wrote (testdata/make.py) and compares every
// value bit for bit; and it writes each again: in version 1.0 and C order the bytes are NumPy's own.
func TestPython(t *testing.T) {
	arrays, err := ReadArchive("testdata/python.npz", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct {
		Shape []int    `json:"shape"`
		Bits  []uint32 `json:"float32_bits"`
		Int64 []int64  `json:"int64"`
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	members := archiveBytes(t, "testdata/python.npz")
	if len(arrays) != len(want) || len(members) != len(want) || len(want) < 20 {
		t.Fatalf("%d arrays, %d members, %d expected", len(arrays), len(members), len(want))
	}
	for name, w := range want {
		a := arrays[name]
		if a == nil || !slices.Equal(a.Shape, w.Shape) {
			t.Fatalf("%s: %+v, want shape %v", name, a, w.Shape)
		}
		if w.Int64 != nil {
			if got, err := a.Int64s(); err != nil || !slices.Equal(got, w.Int64) {
				t.Errorf("%s: got %v, %v; want %v", name, got, err, w.Int64)
			}
		} else {
			narrow, err := a.Float32s()
			if err != nil {
				t.Fatal(err)
			}
			wide, err := a.Float64s()
			if err != nil || len(wide) != len(w.Bits) || len(narrow) != len(w.Bits) {
				t.Fatalf("%s: %d and %d values, want %d: %v", name, len(narrow), len(wide), len(w.Bits), err)
			}
			for i, bits := range w.Bits {
				if math.Float32bits(narrow[i]) != bits || math.Float32bits(float32(wide[i])) != bits {
					t.Errorf("%s: value %d is %v and %v, want %v", name, i, narrow[i], wide[i], math.Float32frombits(bits))
				}
			}
		}
		path := filepath.Join(plainDir(t), "again.npy")
		if err := Write(path, a); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		original := members[name]
		if same := original[6] == 1 && !bytes.Contains(original, []byte("'fortran_order': True")); same && !bytes.Equal(got, original) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, original)
		}
		if again, err := Read(path); err != nil || !bytes.Equal(again.Data, a.Data) {
			t.Errorf("%s was not read again: %v", name, err)
		}
	}
}

// archiveBytes reads the members of an archive, by name without ".npy".
func archiveBytes(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	members := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		members[strings.TrimSuffix(f.Name, ".npy")] = b
	}
	return members
}

// TestRoundTrip writes arrays of random types and shapes, with zeros and scalars, and reads them back; reading the same
// values in Fortran order gives the transpose.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	path := filepath.Join(plainDir(t), "t.npy")
	types := []string{"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
	for range 300 {
		want := &Array{DType: types[rng.IntN(len(types))], Shape: make([]int, rng.IntN(5))}
		for i := range want.Shape {
			want.Shape[i] = rng.IntN(6)
		}
		want.Data = make([]byte, want.Len()*int(want.DType[1]-'0'))
		for i := range want.Data {
			want.Data[i] = byte(rng.Uint32())
		}
		if err := Write(path, want); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if (len(file)-len(want.Data))%64 != 0 {
			t.Fatalf("the values start at byte %d", len(file)-len(want.Data))
		}
	}
}

// TestFortran compares the reordering with the definition, element by element.
func TestFortran(t *testing.T) {
	shape := []int{2, 3, 4}
	fortran, want := make([]byte, 24), make([]byte, 24)
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				fortran[i+2*j+6*k] = byte(100*i + 10*j + k)
				want[12*i+4*j+k] = byte(100*i + 10*j + k)
			}
		}
	}
	if got := toC(fortran, shape, 1); !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConstructors(t *testing.T) {
	path := filepath.Join(plainDir(t), "t.npy")
	read := func(a *Array) *Array {
		t.Helper()
		if err := Write(path, a); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got, err := read(F32([]int{2, 1}, []float32{1.5, -2})).Float32s(); err != nil || !slices.Equal(got, []float32{1.5, -2}) {
		t.Error(got, err)
	}
	if got, err := read(F64(nil, []float64{1e-300})).Float64s(); err != nil || !slices.Equal(got, []float64{1e-300}) {
		t.Error(got, err)
	}
	if got, err := read(I32([]int{2}, []int32{-1 << 31, 7})).Int64s(); err != nil || !slices.Equal(got, []int64{-1 << 31, 7}) {
		t.Error(got, err)
	}
	if got, err := read(I64([]int{1}, []int64{-1 << 63})).Int64s(); err != nil || !slices.Equal(got, []int64{-1 << 63}) {
		t.Error(got, err)
	}
}

func TestHeaderSpellings(t *testing.T) {
	for _, dict := range []string{
		`{"shape":(2,),"descr":"<i2","fortran_order":True}`,
		"{ 'descr' : '<i2' , 'shape' : ( 2 , ) ,\n 'fortran_order' : False , }  \n",
		"{'descr': '<i2', 'fortran_order': False, 'shape': (2L,), }",
	} {
		a, err := Read(put(t, raw(dict, 1, 0, 2, 0)))
		if err != nil {
			t.Errorf("%s: %v", dict, err)
			continue
		}
		if got, err := a.Int64s(); err != nil || !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("%s: %v, %v", dict, got, err)
		}
	}
}

func TestRefused(t *testing.T) {
	dict := func(descr, order, shape string) string {
		return fmt.Sprintf("{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n", descr, order, shape)
	}
	long := append([]byte(magic), 2, 0, 255, 255, 255, 255)
	cases := map[string]struct {
		file []byte
		want []string
	}{
		"empty":                {nil, []string{"does not start"}},
		"other format":         {[]byte("GGUF and more"), []string{"does not start"}},
		"version":              {append([]byte(magic), 4, 0, 0, 0), []string{"version is 4.0"}},
		"minor version":        {append([]byte(magic), 1, 1, 0, 0), []string{"version is 1.1"}},
		"length of version 2":  {append([]byte(magic), 2, 0, 1, 0), []string{"within the header's length"}},
		"length beyond limit":  {long, []string{"claims 4294967295 bytes, more than the limit"}},
		"length beyond file":   {raw("{}")[:11], []string{"claims 2 bytes, but only 1"}},
		"no dict":              {raw("[]"), []string{`should begin with "{"`}},
		"empty dict":           {raw("{}"), []string{"must have descr"}},
		"no end":               {raw("{'descr': '<f4'"), []string{`should begin with "}"`}},
		"unknown key":          {raw("{'x': 1}"), []string{`"x"`, "none of"}},
		"key twice":            {raw("{'shape': (), 'shape': ()}"), []string{`"shape" appears twice`}},
		"code":                 {raw("{'descr': f(), }"), []string{`"descr"`, "quoted text"}},
		"escape":               {raw(`{'descr': '<f\x34', }`), []string{`"descr"`, "plain text"}},
		"more text":            {raw("{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", 0, 0, 0, 0), []string{"follows the dict"}},
		"big-endian":           {raw(dict("'>f4'", "False", "(1,)"), 0, 0, 0, 0), []string{`">f4" is not little-endian`, `"<f4"`}},
		"no order":             {raw(dict("'f4'", "False", "(1,)"), 0, 0, 0, 0), []string{"not little-endian"}},
		"objects":              {raw(dict("'|O'", "False", "(1,)"), 0), []string{`"|O" cannot be read`, "save the array as"}},
		"complex":              {raw(dict("'<c8'", "False", "()"), make([]byte, 8)...), []string{`"<c8"`}},
		"text":                 {raw(dict("'<U3'", "False", "()"), make([]byte, 12)...), []string{`"<U3"`}},
		"structure":            {raw(dict("[('a', '<f4')]", "False", "()"), 0, 0, 0, 0), []string{`"descr"`}},
		"order":                {raw(dict("'<f4'", "Maybe", "()"), 0, 0, 0, 0), []string{`"fortran_order"`}},
		"negative dimension":   {raw(dict("'<f4'", "False", "(-1,)")), []string{`"shape"`, "at least 0"}},
		"dimension overflows":  {raw(dict("'<f4'", "False", "(99999999999999999999,)")), []string{"too large"}},
		"product overflows":    {raw(dict("'<f4'", "False", "(4294967296, 4294967296)")), []string{"address space"}},
		"overflow, then zero":  {raw(dict("'<f4'", "False", "(4294967296, 4294967296, 0)")), []string{"address space"}},
		"bytes overflow":       {raw(dict("'<f8'", "False", "(2305843009213693952,)")), []string{"address space"}},
		"no tuple":             {raw(dict("'<f4'", "False", "(1)"), 0, 0, 0, 0), []string{"no tuple"}},
		"comma alone":          {raw(dict("'<f4'", "False", "(,)"), 0, 0, 0, 0), []string{`"shape"`}},
		"too many dimensions":  {raw(dict("'<f4'", "False", "("+strings.Repeat("1,", 65)+")"), 0, 0, 0, 0), []string{"65 dimensions"}},
		"too few values":       {raw(dict("'<f4'", "False", "(2,)"), 0, 0, 0, 0), []string{"f4 of shape [2] needs 8 bytes, but 4 follow"}},
		"too many values":      {raw(dict("'|b1'", "False", "()"), 0, 0), []string{"needs 1 bytes, but 2 follow"}},
		"shape of many digits": {raw(dict("'<f4'", "False", "("+strings.Repeat("0", 60000)+"9,)")), []string{"needs 36 bytes", "0 follow"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Read(put(t, c.file))
			wantError(t, err, append(c.want, "t.npy", "save the array again")...)
		})
	}
	_, err := Read(filepath.Join(plainDir(t), "none.npy"))
	wantError(t, err, "none.npy", "no such file")
}

// TestTruncated cuts a good file at every length.
func TestTruncated(t *testing.T) {
	for name, whole := range archiveBytes(t, "testdata/python.npz") {
		for n := range whole {
			if _, err := parseHeader(whole[:n]); err == nil {
				t.Fatalf("%s cut at byte %d of %d passed", name, n, len(whole))
			}
		}
	}
}

func TestAskedWrongly(t *testing.T) {
	a, err := Read(put(t, raw("{'descr': '<u8', 'fortran_order': False, 'shape': ()}", 255, 255, 255, 255, 255, 255, 255, 255)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Int64s()
	wantError(t, err, "t.npy", "18446744073709551615")
	_, err = a.Float64s()
	wantError(t, err, "t.npy", "u8", "read it with Int64s")
	_, err = F32(nil, []float32{1}).Int64s()
	wantError(t, err, "an array in memory", "f4", "read it with Float64s")
}

func TestWriteRefuses(t *testing.T) {
	path := filepath.Join(plainDir(t), "t.npy")
	for want, a := range map[string]*Array{
		"needs 8 bytes, but there are 4":  F32([]int{2}, []float32{1}),
		"negative dimension":              F32([]int{-1}, nil),
		`the type "<c8"`:                  {DType: "c8", Data: make([]byte, 8)},
		"more bytes than the address spa": F32([]int{1 << 62, 4}, nil),
	} {
		wantError(t, Write(path, a), "t.npy", want)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a refused array was written")
	}
	wantError(t, Write(filepath.Join(path, "no", "t.npy"), F32(nil, []float32{1})), "no/t.npy", "check that the folder exists")
}

func TestArchiveRefuses(t *testing.T) {
	good := raw("{'descr': '|u1', 'fortran_order': False, 'shape': (1000,)}", make([]byte, 1000)...)
	archive := func(names ...string) string {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for _, name := range names {
			w, err := z.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(good); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return put(t, b.Bytes())
	}
	if got, err := ReadArchive(archive("../a.npy", "b/c.npy"), math.MaxInt64); err != nil || len(got) != 2 || got["../a"] == nil {
		t.Errorf("names are only keys: %v, %v", got, err)
	}
	_, err := ReadArchive(archive("a.npy", "a.npy"), 1<<20)
	wantError(t, err, `"a.npy" appears twice`)
	_, err = ReadArchive(archive("a.txt"), 1<<20)
	wantError(t, err, `"a.txt" is no .npy file`)
	_, err = ReadArchive(archive("a.npy", "b.npy"), int64(len(good))+500)
	wantError(t, err, `"b.npy"`, "above the limit", "500 were left")
	_, err = ReadArchive(put(t, []byte("no zip")), 1<<20)
	wantError(t, err, "t.npy", "zip")
	cut := archive("a.npy")
	whole, err := os.ReadFile(cut)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := ReadArchive(put(t, whole[:n]), 1<<20); err == nil {
			t.Fatalf("an archive cut at byte %d of %d passed", n, len(whole))
		}
	}
}

// TestPythonReads opens a written file with NumPy, where python3 has it.
func TestPythonReads(t *testing.T) {
	python := os.Getenv("LOUPE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import numpy").Run(); err != nil {
		t.Skipf("%s has no numpy module", python)
	}
	path := filepath.Join(plainDir(t), "t.npy")
	if err := Write(path, F32([]int{2, 2}, []float32{1, 2, 3, 4.5})); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", "import sys, numpy; a = numpy.load(sys.argv[1]); print(a.dtype, a.tolist())", path).CombinedOutput()
	if want := "float32 [[1.0, 2.0], [3.0, 4.5]]\n"; err != nil || string(out) != want {
		t.Errorf("got %s(%v), want %s", out, err, want)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(raw("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 1), }\n", 1, 0, 2, 0))
	f.Add(raw("{'descr': '|b1', 'fortran_order': False, 'shape': (), }\n", 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		a := array("fuzz", h, bytes.Clone(b[h.data:]))
		if a.Len()*h.size != len(a.Data) {
			t.Fatalf("%d values of %d bytes in %d bytes", a.Len(), h.size, len(a.Data))
		}
		floats, err := a.Float64s()
		if err != nil {
			ints, err := a.Int64s()
			if err == nil && len(ints) != a.Len() {
				t.Fatalf("%d values, want %d", len(ints), a.Len())
			}
		} else if len(floats) != a.Len() {
			t.Fatalf("%d values, want %d", len(floats), a.Len())
		}
		if _, err := encodeHeader(a); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
