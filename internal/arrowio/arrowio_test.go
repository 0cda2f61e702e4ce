package arrowio

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/ipc"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// sample is a table with a column of every kind that can be written.
func sample() Table {
	t := Table{Schema: Schema{Meta: map[string]string{"a": "1", "kind": "test"}}}
	t.Add("f64", 0, []float64{1.5, -2, 3}, map[string]string{"unit": "nats"})
	t.Add("f32", 0, []float32{0.5, 1, -1}, nil)
	t.Add("i64", 0, []int64{1 << 40, -1, 0}, nil)
	t.Add("i32", 0, []int32{7, -7, 0}, nil)
	t.Add("ok", 0, []bool{true, false, true}, nil)
	t.Add("text", 0, []string{"", "één", "two\n"}, nil)
	t.Add("act", 2, []float32{1, 2, 3, 4, 5, 6}, map[string]string{"hook": "blocks.0.hook_resid_post"})
	t.Add("half", 2, []uint16{1, 2, 3, 4, 5, 6}, nil)
	t.Add("mean", 1, []float64{9, 8, 7}, nil)
	return t
}

func encode(t testing.TB, tab Table, batches int) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := NewWriter(&buf, tab.Schema)
	if err != nil {
		t.Fatal(err)
	}
	for range batches {
		if err := w.Write(tab.Columns...); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.arrow")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTableRoundTrip(t *testing.T) {
	want := sample()
	path := filepath.Join(t.TempDir(), "t.arrow")
	if err := WriteTable(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTable(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if n, err := got.Rows(); err != nil || n != 3 {
		t.Errorf("rows %d, %v", n, err)
	}
}

func TestEqualTablesGiveEqualBytes(t *testing.T) {
	if !bytes.Equal(encode(t, sample(), 2), encode(t, sample(), 2)) {
		t.Error("two writes of the same rows differ")
	}
}

func TestEmptyTableAndEmptyBatch(t *testing.T) {
	tab := Table{}
	tab.Add("x", 4, []float32{}, nil)
	tab.Add("s", 0, []string{}, nil)
	for batches := range 2 {
		f, err := Open(writeFile(t, encode(t, tab, batches)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows() != 0 || f.Batches() != batches {
			t.Errorf("%d batches: got %d rows in %d", batches, f.Rows(), f.Batches())
		}
		for b := range batches {
			if v, err := Values[float32](f, b, 0); err != nil || len(v) != 0 {
				t.Errorf("got %v, %v", v, err)
			}
			if v, err := f.Strings(b, 1); err != nil || len(v) != 0 {
				t.Errorf("got %v, %v", v, err)
			}
		}
	}
}

// TestBuffersAreAligned checks the promise that every buffer begins at a multiple of 64 bytes.
func TestBuffersAreAligned(t *testing.T) {
	f, err := Open(writeFile(t, encode(t, sample(), 3)))
	if err != nil {
		t.Fatal(err)
	}
	base, seen := uintptr(unsafe.Pointer(unsafe.SliceData(f.data))), 0
	for i, b := range f.batches {
		for j, buf := range b.buffers {
			if len(buf) == 0 {
				continue
			}
			seen++
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(buf))) - base; at%alignment != 0 {
				t.Errorf("batch %d buffer %d at byte %d", i, j, at)
			}
		}
	}
	if seen != 3*10 { // nine columns, text has two
		t.Errorf("saw %d buffers", seen)
	}
}

// TestLibraryReadsOurFiles holds our framing and footer against the Arrow library's own reader.
func TestLibraryReadsOurFiles(t *testing.T) {
	data := encode(t, sample(), 2)
	r, err := ipc.NewFileReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.NumRecords() != 2 {
		t.Fatalf("%d records", r.NumRecords())
	}
	if v, _ := r.Schema().Metadata().GetValue("kind"); v != "test" {
		t.Errorf("schema metadata %v", r.Schema().Metadata())
	}
	for i := range 2 {
		rec, err := r.Record(i)
		if err != nil {
			t.Fatal(err)
		}
		act := rec.Column(6).(*array.FixedSizeList).ListValues().(*array.Float32).Float32Values()
		if !reflect.DeepEqual(act, []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("act %v", act)
		}
		if s := rec.Column(5).(*array.String); s.Value(1) != "één" || s.NullN() != 0 {
			t.Errorf("text %v", s)
		}
		if b := rec.Column(4).(*array.Boolean); !b.Value(0) || b.Value(1) || !b.Value(2) {
			t.Errorf("ok %v", b)
		}
	}
	s, err := ipc.NewReader(bytes.NewReader(data[8:])) // the same messages are a stream
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for s.Next() {
		n++
	}
	if n != 2 || s.Err() != nil {
		t.Errorf("as a stream: %d records, %v", n, s.Err())
	}
}

// foreign builds a record as other programs write it: nested lists (Array2D), nulls, types that we skip.
func foreign() (*arrow.Schema, arrow.Record) {
	mem := memory.DefaultAllocator
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "when", Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: "person", Type: arrow.StructOf(arrow.Field{Name: "age", Type: arrow.PrimitiveTypes.Uint8}, arrow.Field{Name: "name", Type: arrow.BinaryTypes.LargeString})},
		{Name: "hook", Type: arrow.ListOf(arrow.ListOf(arrow.PrimitiveTypes.Float32))},
		{Name: "ids", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32)},
		{Name: "holes", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "ragged", Type: arrow.LargeListOf(arrow.PrimitiveTypes.Float64)},
		{Name: "fixed", Type: arrow.FixedSizeListOf(2, arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float64))},
		{Name: "big", Type: arrow.BinaryTypes.LargeString},
	}, nil)
	b := array.NewRecordBuilder(mem, schema)
	hook := b.Field(2).(*array.ListBuilder)
	inner := hook.ValueBuilder().(*array.ListBuilder)
	ids := b.Field(3).(*array.ListBuilder)
	ragged := b.Field(5).(*array.LargeListBuilder)
	fixed := b.Field(6).(*array.FixedSizeListBuilder)
	fixed2 := fixed.ValueBuilder().(*array.FixedSizeListBuilder)
	for row := range 3 {
		b.Field(0).(*array.TimestampBuilder).Append(arrow.Timestamp(row))
		p := b.Field(1).(*array.StructBuilder)
		p.Append(true)
		p.FieldBuilder(0).(*array.Uint8Builder).Append(uint8(row))
		p.FieldBuilder(1).(*array.LargeStringBuilder).Append("n")
		hook.Append(true)
		fixed.Append(true)
		ids.Append(true)
		for i := range 2 {
			inner.Append(true)
			fixed2.Append(true)
			ids.ValueBuilder().(*array.Int32Builder).Append(int32(10*row + i))
			for j := range 3 {
				inner.ValueBuilder().(*array.Float32Builder).Append(float32(100*row + 10*i + j))
				fixed2.ValueBuilder().(*array.Float64Builder).Append(float64(100*row + 10*i + j))
			}
		}
		if row == 1 {
			b.Field(4).AppendNull()
		} else {
			b.Field(4).(*array.Int64Builder).Append(int64(row))
		}
		ragged.Append(true)
		for range row {
			ragged.ValueBuilder().(*array.Float64Builder).Append(1)
		}
		b.Field(7).(*array.LargeStringBuilder).Append(strings.Repeat("x", row))
	}
	return schema, b.NewRecord()
}

func foreignBytes(t testing.TB, stream bool, opts ...ipc.Option) []byte {
	t.Helper()
	schema, rec := foreign()
	var buf bytes.Buffer
	opts = append(opts, ipc.WithSchema(schema))
	var w interface {
		Write(arrow.Record) error
		Close() error
	}
	w = ipc.NewWriter(&buf, opts...)
	if !stream {
		fw, err := ipc.NewFileWriter(&seekBuffer{&buf}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		w = fw
	}
	for range 2 {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// seekBuffer gives the library's file writer the position that it asks for.
type seekBuffer struct{ *bytes.Buffer }

func (s *seekBuffer) Seek(int64, int) (int64, error) { return int64(s.Len()), nil }

func TestForeignFiles(t *testing.T) {
	for _, stream := range []bool{false, true} {
		f, err := Open(writeFile(t, foreignBytes(t, stream)))
		if err != nil {
			t.Fatalf("stream %v: %v", stream, err)
		}
		if f.Rows() != 6 || f.Batches() != 2 {
			t.Errorf("stream %v: %d rows in %d batches", stream, f.Rows(), f.Batches())
		}
		for b := range 2 {
			v, shape, err := Lists[float32](f, b, 2)
			want := []float32{0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112, 200, 201, 202, 210, 211, 212}
			if err != nil || !reflect.DeepEqual(v, want) || !reflect.DeepEqual(shape, []int{2, 3}) {
				t.Errorf("hook %v %v %v", v, shape, err)
			}
			w, shape, err := Lists[float64](f, b, 6)
			if err != nil || len(w) != 18 || w[17] != 212 || !reflect.DeepEqual(shape, []int{2, 3}) {
				t.Errorf("fixed %v %v %v", w, shape, err)
			}
			ids, shape, err := Lists[int32](f, b, 3)
			if err != nil || !reflect.DeepEqual(ids, []int32{0, 1, 10, 11, 20, 21}) || !reflect.DeepEqual(shape, []int{2}) {
				t.Errorf("ids %v %v %v", ids, shape, err)
			}
			if s, err := f.Strings(b, 7); err != nil || !reflect.DeepEqual(s, []string{"", "x", "xx"}) {
				t.Errorf("big %q %v", s, err)
			}
			if s, err := f.StringAt(b, 7, 2); err != nil || s != "xx" {
				t.Errorf("big[2] %q %v", s, err)
			}
			if _, err := f.StringAt(b, 7, 3); err == nil {
				t.Error("row 3 of 3")
			}
			for _, bad := range []struct {
				col  int
				read func() error
				text string
			}{
				{4, func() error { _, err := Values[int64](f, b, 4); return err }, "1 nulls"},
				{5, func() error { _, _, err := Lists[float64](f, b, 5); return err }, "lists of one size"},
				{2, func() error { _, err := Values[float32](f, b, 2); return err }, "lists of float32"},
				{0, func() error { _, err := Values[int64](f, b, 0); return err }, "unsupported"},
			} {
				if err := bad.read(); err == nil || !strings.Contains(err.Error(), bad.text) {
					t.Errorf("column %d: error %v does not say %q", bad.col, err, bad.text)
				}
			}
		}
	}
}

func TestCompressedFileNamesTheCure(t *testing.T) {
	_, err := Open(writeFile(t, foreignBytes(t, false, ipc.WithZstd())))
	if err == nil || !strings.Contains(err.Error(), "compressed") {
		t.Errorf("got %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, tab := range map[string]Table{
		"no field":     {},
		"wrong type":   {Schema: Schema{Fields: []Field{{Name: "x", Kind: Float32}}}, Columns: []any{[]int32{1}}},
		"half a row":   {Schema: Schema{Fields: []Field{{Name: "x", Kind: Float32, Size: 2}}}, Columns: []any{[]float32{1}}},
		"column short": {Schema: Schema{Fields: []Field{{Name: "x", Kind: Float32}, {Name: "y", Kind: Float32}}}, Columns: []any{[]float32{1}, []float32{}}},
		"twice":        {Schema: Schema{Fields: []Field{{Name: "x", Kind: Float32}, {Name: "x", Kind: Float32}}}, Columns: []any{[]float32{1}, []float32{1}}},
		"text list":    {Schema: Schema{Fields: []Field{{Name: "x", Kind: String, Size: 1}}}, Columns: []any{[]string{"a"}}},
	} {
		path := filepath.Join(t.TempDir(), "x.arrow")
		if err := WriteTable(path, tab); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a file is left", name)
		}
	}
}

// TestTruncated opens every prefix of a file and of a stream: none may open, none may panic.
func TestTruncated(t *testing.T) {
	for name, data := range map[string][]byte{"file": encode(t, sample(), 2), "stream": foreignBytes(t, true)} {
		for n := range len(data) - 1 {
			if name == "stream" && n >= len(data)-8 {
				continue
			}
			if _, err := parse(data[:n:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes open", name, n, len(data))
			}
		}
		if _, err := parse(data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// readAll reads every column by every means; it is what the fuzz target and the damage test drive.
func readAll(f *File) (bytesRead int) {
	for b := range f.Batches() {
		for c := range f.Schema().Fields {
			if v, err := Values[float32](f, b, c); err == nil {
				bytesRead += len(asBytes(v))
			}
			if v, err := Values[float64](f, b, c); err == nil {
				bytesRead += len(asBytes(v))
			}
			if v, err := Values[int64](f, b, c); err == nil {
				bytesRead += len(asBytes(v))
			}
			if v, err := Values[int32](f, b, c); err == nil {
				bytesRead += len(asBytes(v))
			}
			if v, err := Values[uint16](f, b, c); err == nil {
				bytesRead += len(asBytes(v))
			}
			if v, err := f.Strings(b, c); err == nil {
				bytesRead += len(strings.Join(v, ""))
			}
			if v, err := f.Bools(b, c); err == nil {
				bytesRead += len(v) / 8
			}
			f.StringAt(b, c, 0)
			f.StringAt(b, c, f.BatchRows(b)-1)
			Lists[float32](f, b, c)
			Lists[float64](f, b, c)
			Lists[int32](f, b, c)
		}
	}
	return bytesRead
}

// TestEveryByteDamaged flips bits of each byte: the file may open or not, but nothing may panic or read more than it has.
func TestEveryByteDamaged(t *testing.T) {
	for _, data := range [][]byte{encode(t, sample(), 2), foreignBytes(t, false), foreignBytes(t, true)} {
		for i := range data {
			for _, x := range []byte{0x01, 0x80, 0xff} {
				data[i] ^= x
				if f, err := parse(data); err == nil {
					if n := readAll(f); n > len(data) {
						t.Errorf("byte %d: read %d bytes of a file of %d", i, n, len(data))
					}
				}
				data[i] ^= x
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(encode(f, sample(), 1))
	f.Add(foreignBytes(f, false))
	f.Add(foreignBytes(f, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		if file, err := parse(data); err == nil {
			readAll(file)
		}
	})
}
