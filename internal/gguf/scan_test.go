package gguf

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// builder writes GGUF files, right or wrong, field by field.
type builder struct {
	version       uint32
	tensors, keys uint64 // as claimed
	header        []byte
	data          []byte
	noPadding     bool
}

func (b *builder) u32(v uint32) *builder {
	b.header = binary.LittleEndian.AppendUint32(b.header, v)
	return b
}

func (b *builder) u64(v uint64) *builder {
	b.header = binary.LittleEndian.AppendUint64(b.header, v)
	return b
}

func (b *builder) text(s string) *builder {
	b.u64(uint64(len(s)))
	b.header = append(b.header, s...)
	return b
}

// tensor appends a description; dims are innermost first, as in the file.
func (b *builder) tensor(name string, kind uint32, offset uint64, dims ...uint64) *builder {
	b.tensors++
	b.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		b.u64(d)
	}
	return b.u32(kind).u64(offset)
}

// key begins a metadata value of a kind.
func (b *builder) key(name string, kind uint32) *builder {
	b.keys++
	return b.text(name).u32(kind)
}

func (b *builder) bytes() []byte {
	file := []byte("GGUF")
	file = binary.LittleEndian.AppendUint32(file, b.version)
	file = binary.LittleEndian.AppendUint64(file, b.tensors)
	file = binary.LittleEndian.AppendUint64(file, b.keys)
	file = append(file, b.header...)
	for !b.noPadding && len(file)%32 != 0 {
		file = append(file, 0)
	}
	return append(file, b.data...)
}

func empty() *builder { return &builder{version: 3} }

// simple is a good file with one F32 tensor of shape [3, 2] (dimensions 2, 3).
func simple() *builder {
	b := empty().tensor("x", 0, 0, 2, 3)
	for i := range 6 {
		b.data = append(b.data, 0, 0, byte(i), 0x40)
	}
	return b
}

func (b *builder) with(data int) *builder {
	b.data = make([]byte, data)
	return b
}

// aligned is a good file with offsets that do not ascend, an alignment of its own, a scalar and an empty tensor.
func aligned() *builder {
	b := empty().key("general.alignment", 4).u32(64)
	b.tensor("q", 2, 64, 32, 2).tensor("s", 0, 0).tensor("none", 0, 128, 0, 5).tensor("empty", 2, 128, 32, 0).tensor("t", 0, 128)
	for (24+len(b.header))%64 != 0 {
		b.header = append(b.header, 0)
	}
	b.with(132)
	b.data[3], b.data[131] = 0x40, 0xC0 // s is 2, t is -2
	return b
}

func TestScanAccepts(t *testing.T) {
	cases := map[string]struct {
		file []byte
		want map[string][]float32
	}{
		"simple":              {simple().bytes(), map[string][]float32{"x": {2, 2 + 1./64, 2 + 2./64, 2 + 3./64, 2 + 4./64, 2 + 5./64}}},
		"order and alignment": {aligned().bytes(), map[string][]float32{"q": make([]float32, 64), "s": {2}, "none": {}, "empty": {}, "t": {-2}}},
		"metadata alone":      {(&builder{version: 2, noPadding: true}).key("a", 0).u32(7).bytes()[:24+9+4+1], nil},
		"nothing":             {(&builder{version: 2, noPadding: true}).bytes(), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(plainDir(t), "t.gguf")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			f := mustOpen(t, path)
			if len(f.Tensors()) != len(c.want) {
				t.Fatalf("tensors %v", f.Tensors())
			}
			for _, tensor := range f.Tensors() {
				// 0x40ii0000 is 2 + ii/64 for ii below 128.
				if got, err := f.Float32(tensor.Name); err != nil || !slices.Equal(got, c.want[tensor.Name]) {
					t.Errorf("%s: got %v, %v; want %v", tensor.Name, got, err, c.want[tensor.Name])
				}
			}
		})
	}
}

// TestShapeIsReversed: the file lists dimensions innermost first.
func TestShapeIsReversed(t *testing.T) {
	entries, err := scan(simple().bytes())
	if err != nil || !slices.Equal(entries[0].Shape, []int{3, 2}) {
		t.Errorf("%+v, %v", entries, err)
	}
}

// TestIntsBeyondInt64: an array with a value above int64 is not given out wrapped.
func TestIntsBeyondInt64(t *testing.T) {
	for last, want := range map[uint64]bool{1<<63 - 1: true, 1 << 63: false} {
		path := filepath.Join(plainDir(t), "t.gguf")
		if err := os.WriteFile(path, empty().key("a", 9).u32(10).u64(2).u64(7).u64(last).bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, ok := mustOpen(t, path).Ints("a"); ok != want || ok && !slices.Equal(got, []int64{7, int64(last)}) {
			t.Errorf("%d: got %v, %v", last, got, ok)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	claims := func(tensors, keys uint64) []byte { return (&builder{version: 3, tensors: tensors, keys: keys}).bytes() }
	cases := map[string]struct {
		file []byte
		want []string
	}{
		"empty file":               {nil, []string{"the file ends after 0"}},
		"other format":             {[]byte("PK\x03\x04 something"), []string{`it starts with "PK\x03\x04"`}},
		"version 1":                {(&builder{version: 1}).bytes(), []string{"version is 1"}},
		"version 4":                {(&builder{version: 4}).bytes(), []string{"version is 4"}},
		"big-endian":               {(&builder{version: 3 << 24}).bytes(), []string{"big-endian"}},
		"tensors beyond the limit": {claims(1<<40, 0), []string{"1099511627776 tensors exceed the limit"}},
		"tensors beyond the file":  {claims(1<<20, 0), []string{"claims 1048576 tensors, but only"}},
		"keys beyond the limit":    {claims(0, 1<<20), []string{"metadata keys exceed"}},
		"keys beyond the file":     {claims(0, 1<<16), []string{"claims 65536 metadata keys"}},
		"key length":               {(&builder{version: 3, keys: 1}).u64(1 << 63).u64(0).bytes(), []string{"metadata key 0 of 1", "longer than the limit"}},
		"string beyond the file":   {empty().key("a", 8).u64(1 << 19).bytes(), []string{`"a"`, "524288 bytes are needed"}},
		"value type":               {empty().key("a", 13).u64(0).bytes(), []string{`"a"`, "value type 13"}},
		"array of arrays":          {empty().key("a", 9).u32(9).u64(1).u64(0).bytes(), []string{`"a"`, "value type 9"}},
		"array type":               {empty().key("a", 9).u32(99).u64(1).u64(0).bytes(), []string{`"a"`, "value type 99"}},
		"array beyond the limit":   {empty().key("a", 9).u32(0).u64(1 << 40).bytes(), []string{`"a"`, "elements exceed the limit"}},
		"array beyond the file":    {empty().key("a", 9).u32(12).u64(1 << 24).bytes(), []string{`"a"`, "claims 16777216 elements"}},
		"strings beyond the file":  {empty().key("a", 9).u32(8).u64(1 << 24).bytes(), []string{`"a"`, "claims 16777216 strings"}},
		"string in an array":       {empty().key("a", 9).u32(8).u64(1).u64(1 << 18).u64(0).bytes(), []string{`"a"`, "string 0 of 1"}},
		"key twice":                {empty().key("a", 10).u64(1).key("a", 10).u64(2).bytes(), []string{`"a" appears twice`}},
		"alignment zero":           {empty().key("general.alignment", 4).u32(0).bytes(), []string{"general.alignment", "power of two"}},
		"alignment 24":             {empty().key("general.alignment", 4).u32(24).bytes(), []string{"power of two"}},
		"alignment huge":           {empty().key("general.alignment", 4).u32(1 << 31).bytes(), []string{"power of two"}},
		"alignment of uint64":      {empty().key("general.alignment", 10).u64(32).bytes(), []string{"uint32"}},
		"rank":                     {empty().tensor("x", 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1).with(4).bytes(), []string{`"x"`, "rank 9"}},
		"dimension":                {empty().tensor("x", 0, 0, 1<<63).with(4).bytes(), []string{`"x"`, "dimension 0 is 9223372036854775808"}},
		"product":                  {empty().tensor("x", 0, 0, 1<<32, 1<<32).with(4).bytes(), []string{`"x"`, "more elements"}},
		"product, then zero":       {empty().tensor("x", 0, 0, 1<<32, 1<<32, 0).with(4).bytes(), []string{`"x"`, "more elements"}},
		"block size":               {empty().tensor("x", 3, 0, 33).with(100).bytes(), []string{`"x"`, "multiple of 32", "Q4_1"}},
		"block size of a scalar":   {empty().tensor("x", 3, 0).with(100).bytes(), []string{`"x"`, "multiple of 32"}},
		"too long":                 {empty().tensor("x", 0, 0, 7).with(27).bytes(), []string{`"x"`, "F32", "needs 28 bytes at offset 0", "holds 27"}},
		"offset beyond the end":    {empty().tensor("x", 0, 1<<62, 1).with(4).bytes(), []string{`"x"`, "at offset 4611686018427387904"}},
		"offset wraps":             {empty().tensor("x", 0, 1<<64-32, 16).with(64).bytes(), []string{`"x"`, "at offset 18446744073709551584"}},
		"offset of unknown type":   {empty().tensor("x", 77, 1<<62, 1).with(4).bytes(), []string{`"x"`, "unknown(77)"}},
		"offset not aligned":       {empty().tensor("x", 0, 4, 1).with(8).bytes(), []string{`"x"`, "multiple of the alignment 32"}},
		"overlap":                  {empty().tensor("x", 0, 0, 16).tensor("y", 0, 32, 8).with(64).bytes(), []string{`"y" at offset 32 overlaps tensor "x"`}},
		"tensor twice":             {empty().tensor("x", 0, 0, 1).tensor("x", 0, 32, 1).with(36).bytes(), []string{`tensor "x" appears twice`}},
		"description cut":          {(&builder{version: 3, tensors: 1, noPadding: true}).text(strings.Repeat("n", 40)).u32(2).u64(1).bytes(), []string{`"nnn`, "the file ends"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(plainDir(t), "t.gguf")
			if err := os.WriteFile(path, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			wantError(t, err, append(c.want, "t.gguf", "get the file again")...)
		})
	}
}

// TestTruncated cuts a good file at every length that loses data, not mere padding after the last tensor.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile("testdata/types.gguf")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := scan(whole)
	if err != nil {
		t.Fatal(err)
	}
	last := slices.MaxFunc(entries, func(a, b entry) int { return int(a.offset) - int(b.offset) })
	if last.size >= 0 {
		t.Fatalf("the last tensor, %s, has a known size; this test counts on its 54 bytes", last.Name)
	}
	// The type of the last tensor is not read, so its size is not known: what precedes it must be whole.
	const lastSize = 54
	end := len(whole) - (lastSize+31)/32*32
	for n := range end {
		if _, err := scan(whole[:n]); err == nil {
			t.Fatalf("a file cut at byte %d of %d passed", n, len(whole))
		}
	}
	small := simple().bytes()
	for n := range small {
		if _, err := scan(small[:n]); err == nil {
			t.Fatalf("the simple file cut at byte %d of %d passed", n, len(small))
		}
	}
}
