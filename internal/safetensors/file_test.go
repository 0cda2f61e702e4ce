package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// raw builds the bytes of a file from its JSON header and its data.
func raw(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
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
	path := filepath.Join(plainDir(t), "t.safetensors")
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
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

// TestPython reads a file that the reference implementation wrote, every type and odd shape in it, and compares
// every value bit for bit; testdata/make.py made both files.
func TestPython(t *testing.T) {
	f := mustOpen(t, "testdata/python.safetensors")
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
	if len(f.Names()) != len(want) || len(want) < 16 {
		t.Fatalf("%d tensors, want %d, at least 16", len(f.Names()), len(want))
	}
	for name, w := range want {
		info, ok := f.Info(name)
		if !ok || !slices.Equal(info.Shape, w.Shape) {
			t.Fatalf("%q: found %v, shape %v, want %v", name, ok, info.Shape, w.Shape)
		}
		if w.Int64 != nil {
			got, err := f.Int64(name)
			if err != nil || !slices.Equal(got, w.Int64) {
				t.Errorf("%q: got %v, %v; want %v", name, got, err, w.Int64)
			}
			continue
		}
		got, err := f.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		bits := make([]uint32, len(got))
		for i, v := range got {
			bits[i] = math.Float32bits(v)
		}
		if !slices.Equal(bits, w.Bits) {
			t.Errorf("%q: got bits %x, want %x", name, bits, w.Bits)
		}
		wide, err := f.Float64(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range wide {
			if math.Float32bits(float32(v)) != w.Bits[i] {
				t.Errorf("%q[%d]: Float64 gives %v, Float32 %v", name, i, v, got[i])
			}
		}
	}
	if got := f.Metadata(); len(got) != 1 || got["format"] != "pt" {
		t.Errorf("metadata %v", got)
	}
}

func TestFloat64KeepsF64(t *testing.T) {
	want := []float64{1 + 0x1p-52, math.Pi, -0x1p-1074, math.MaxFloat64}
	path := filepath.Join(plainDir(t), "t")
	if err := Write(path, []Tensor{F64("x", []int{4}, want)}, nil); err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path)
	if got, err := f.Float64("x"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// TestHalf checks all 65,536 halves against the definition (IEEE 754-2008, 3.4): s * 2^(e-15) * 1.m, or s * 2^-14 * 0.m.
func TestHalf(t *testing.T) {
	all := make([]byte, 0, 2<<16)
	for h := range 1 << 16 {
		all = binary.LittleEndian.AppendUint16(all, uint16(h))
	}
	got, err := float32s("F16", all)
	if err != nil {
		t.Fatal(err)
	}
	brain, err := float32s("BF16", all)
	if err != nil {
		t.Fatal(err)
	}
	for h := range 1 << 16 {
		e, m := h>>10&31, float64(h&1023)/1024
		want := math.Ldexp(1+m, e-15)
		switch {
		case e == 0:
			want = math.Ldexp(m, -14)
		case e == 31 && m == 0:
			want = math.Inf(1)
		case e == 31:
			want = math.NaN()
		}
		if h>>15 == 1 {
			want = -want
		}
		if w := float32(want); got[h] != w && (got[h] == got[h] || w == w) || math.Signbit(float64(got[h])) != (h>>15 == 1) {
			t.Fatalf("F16 %04x is %v, want %v", h, got[h], want)
		}
		if math.Float32bits(brain[h]) != uint32(h)<<16 {
			t.Fatalf("BF16 %04x is %x", h, math.Float32bits(brain[h]))
		}
	}
}

// TestUnaligned reads tensors that start at every address modulo 8.
func TestUnaligned(t *testing.T) {
	want := []float32{1.5, -2}
	data := F32("x", []int{2}, want).Data
	for pad := range 8 {
		header := `{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}` + strings.Repeat(" ", pad)
		f := mustOpen(t, put(t, raw(header, data...)))
		if got, err := f.Float32("x"); err != nil || !slices.Equal(got, want) {
			t.Errorf("padding %d: got %v, %v", pad, got, err)
		}
	}
}

// TestTruncated cuts a good file at every length: always an error, and one that names the file.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		_, err := parse("cut.safetensors", func() []byte { return whole[:n] })
		wantError(t, err, "cut.safetensors", "get the file again")
	}
	_, err = parse("long.safetensors", func() []byte { return append(whole, 0) })
	wantError(t, err, "long.safetensors", "1 bytes of data belong to no tensor")
	_, err = Open(put(t, whole[:len(whole)/2]))
	wantError(t, err, "t.safetensors")
	_, err = Open(put(t, nil))
	wantError(t, err, "t.safetensors", "0 bytes")
}

func TestRefused(t *testing.T) {
	one := func(entry string) string { return `{"x":` + entry + `}` }
	const good = `{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`
	cases := map[string]struct {
		file []byte
		want []string
	}{
		"length beyond the limit":   {binary.LittleEndian.AppendUint64(nil, 1<<63), []string{"claims 9223372036854775808 bytes"}},
		"length beyond the file":    {append(raw(`{}`)[:8], '{'), []string{"claims 2 bytes, but only 1"}},
		"length zero":               {raw(``), []string{"does not start with '{'"}},
		"leading space":             {raw(` {}`), []string{"does not start with '{'"}},
		"an array":                  {raw(`[]`), []string{"does not start with '{'"}},
		"broken JSON":               {raw(`{"x"`), []string{"byte 4 of the JSON"}},
		"trailing comma":            {raw(one(good)[:len(one(good))-1]+`,}`, 1, 2), []string{"JSON"}},
		"trailing text":             {raw(`{}{}`), []string{"more follows"}},
		"bad UTF-8":                 {raw("{\"\xff\":1}"), []string{"UTF-8"}},
		"entry is a number":         {raw(one(`1`)), []string{`"x"`, "byte 6"}},
		"entry is null":             {raw(one(`null`)), []string{`"x"`}},
		"unknown dtype":             {raw(one(`{"dtype":"F31","shape":[2],"data_offsets":[0,2]}`), 1, 2), []string{`tensor "x"`, `unknown dtype "F31"`, "BF16"}},
		"dtype is a number":         {raw(one(`{"dtype":1,"shape":[2],"data_offsets":[0,2]}`), 1, 2), []string{`"x"`, `"dtype"`}},
		"no dtype":                  {raw(one(`{"shape":[2],"data_offsets":[0,2]}`), 1, 2), []string{`"x"`, "must have dtype"}},
		"no offsets":                {raw(one(`{"dtype":"U8","shape":[2]}`), 1, 2), []string{`"x"`, "must have"}},
		"unknown key":               {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2],"k":1}`), 1, 2), []string{`"k"`}},
		"key twice":                 {raw(one(`{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}`), 1, 2), []string{`"dtype" appears twice`}},
		"tensor twice":              {raw(`{"x":`+good+`,"x":`+good+`}`, 1, 2), []string{`"x" appears twice`}},
		"metadata twice":            {raw(`{"__metadata__":{},"__metadata__":{}}`), []string{"appears twice"}},
		"metadata key twice":        {raw(`{"__metadata__":{"a":"b","a":"c"}}`), []string{`"a" appears twice`}},
		"metadata value":            {raw(`{"__metadata__":{"a":1}}`), []string{`"a"`, "string"}},
		"negative dimension":        {raw(one(`{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}`), 1, 2), []string{`"x"`, "negative"}},
		"fraction":                  {raw(one(`{"dtype":"U8","shape":[2.0],"data_offsets":[0,2]}`), 1, 2), []string{`"shape"`, "2.0 is not an integer"}},
		"dimension beyond int64":    {raw(one(`{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,2]}`), 1, 2), []string{"not an integer in range"}},
		"product overflows":         {raw(one(`{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}`)), []string{`"x"`, "address space"}},
		"product overflows, then 0": {raw(one(`{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}`)), []string{"address space"}},
		"bytes overflow":            {raw(one(`{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}`)), []string{"address space"}},
		"size and shape":            {raw(one(`{"dtype":"F32","shape":[1],"data_offsets":[0,2]}`), 1, 2), []string{`"x"`, "needs 4 bytes", "hold 2"}},
		"negative offset":           {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[-2,0]}`), 1, 2), []string{"not a range"}},
		"offsets reversed":          {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[2,0]}`), 1, 2), []string{"not a range"}},
		"three offsets":             {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[0,2,2]}`), 1, 2), []string{"not a range"}},
		"beyond the end":            {raw(one(good), 1), []string{`"x" ends at byte 2`, "only 1"}},
		"gap at the start":          {raw(one(`{"dtype":"U8","shape":[2],"data_offsets":[1,3]}`), 1, 2, 3), []string{"gap after byte 0"}},
		"overlap": {raw(`{"x":`+good+`,"y":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3),
			[]string{`"y" starts at byte 1`, "inside the tensor before it"}},
		"deep nesting": {raw(one(strings.Repeat(`[`, 100_000))), []string{"JSON"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Open(put(t, c.file))
			wantError(t, err, append(c.want, "t.safetensors")...)
		})
	}
	_, err := Open(plainDir(t))
	wantError(t, err, "not a regular file")
}

// TestHeaderLimit claims a header of one byte more than the limit in a (sparse) file that has room for it.
func TestHeaderLimit(t *testing.T) {
	path := put(t, append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), '{'))
	if err := os.Truncate(path, 2*maxHeader); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	wantError(t, err, "t.safetensors", "claims 100000001 bytes, more than the limit of 100000000")
}

func TestAskedWrongly(t *testing.T) {
	f := mustOpen(t, put(t, raw(`{"big":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},"eight":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[8,9]}}`,
		bytes.Repeat([]byte{255}, 9)...)))
	_, err := f.Float32("nothing")
	wantError(t, err, "t.safetensors", `no tensor "nothing"`, `["big" "eight"]`)
	_, err = f.Float32("eight")
	wantError(t, err, `"eight"`, "t.safetensors", "F8_E4M3", "convert it")
	_, err = f.Float64("big")
	wantError(t, err, `"big"`, "U64", "read it with Int64")
	_, err = f.Int64("big")
	wantError(t, err, `"big"`, "element 0 is 18446744073709551615")
	_, err = f.Int64("eight")
	wantError(t, err, `"eight"`, "F8_E4M3")
	if b, err := f.Bytes("big"); err != nil || !bytes.Equal(b, bytes.Repeat([]byte{255}, 8)) || cap(b) != 8 {
		t.Errorf("Bytes gives %v (cap %d), %v", b, cap(b), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	_, err = f.Bytes("eight")
	wantError(t, err, `"eight"`, "after Close")
	_, err = f.Int64("big")
	wantError(t, err, "after Close")
}

// TestInfoIsACopy changes what Info returned and asks again.
func TestInfoIsACopy(t *testing.T) {
	f := mustOpen(t, "testdata/python.safetensors")
	info, _ := f.Info("f32")
	if info.Len() != 6 || info.Size() != 24 || info.DType != "F32" {
		t.Errorf("info %+v", info)
	}
	info.Shape[0] = 99
	f.Names()[0] = "changed"
	f.Metadata()["format"] = "changed"
	if again, _ := f.Info("f32"); again.Shape[0] != 2 || f.Names()[0] == "changed" || f.Metadata()["format"] != "pt" {
		t.Error("a caller can change the file's header")
	}
}

// TestGoldenFiles opens every golden safetensors file; all were written by the reference implementation.
func TestGoldenFiles(t *testing.T) {
	count := 0
	err := filepath.WalkDir(graphtest.Golden(t), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".safetensors" {
			return err
		}
		count++
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer f.Close()
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			floats, err := f.Float64(name)
			ints := []int64(nil)
			if err != nil {
				ints, err = f.Int64(name)
			}
			if err != nil || len(floats)+len(ints) != info.Len() {
				t.Errorf("%s: %q of shape %v gives %d values: %v", path, name, info.Shape, len(floats)+len(ints), err)
			}
		}
		return nil
	})
	if err != nil {
		graphtest.Skip(t, "no golden data: %v", err)
	}
	if count == 0 {
		graphtest.Skip(t, "the golden data has no safetensors file")
	}
}

// TestMiniLM opens the published weights of all-MiniLM-L6-v2: 103 F32 tensors and one I64.
func TestMiniLM(t *testing.T) {
	s, err := OpenDir(graphtest.Model(t, "minilm"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	types := map[string]int{}
	total := 0
	for _, name := range s.Names() {
		info, _ := s.Info(name)
		types[info.DType]++
		total += info.Len()
	}
	if types["F32"] != 103 || types["I64"] != 1 || len(types) != 2 || total != 22_713_216+512 {
		t.Errorf("types %v, %d elements", types, total)
	}
	ids, err := s.Int64("embeddings.position_ids")
	if err != nil || len(ids) != 512 || ids[511] != 511 {
		t.Errorf("position_ids: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	whole, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(raw(`{}`))
	f.Add(raw(`{"x":{"dtype":"F16","shape":[1,0],"data_offsets":[0,0]},"y":{"dtype":"BOOL","shape":[],"data_offsets":[0,1]}}`, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := parse("fuzz", func() []byte { return b })
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			view, err := file.Bytes(name)
			if err != nil || len(view) != info.Size() {
				t.Fatalf("%q: %d bytes, want %d: %v", name, len(view), info.Size(), err)
			}
			total += len(view)
			if values, err := file.Float32(name); err == nil && len(values) != info.Len() {
				t.Fatalf("%q: %d values, want %d", name, len(values), info.Len())
			}
			if values, err := file.Int64(name); err == nil && len(values) != info.Len() {
				t.Fatalf("%q: %d values, want %d", name, len(values), info.Len())
			}
		}
		if total > len(b) {
			t.Fatalf("tensors of %d bytes in a file of %d", total, len(b))
		}
	})
}
