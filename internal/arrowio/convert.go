package arrowio

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

func toArrow(s Schema) *arrow.Schema {
	fields := make([]arrow.Field, len(s.Fields))
	for i, f := range s.Fields {
		var t arrow.DataType
		switch f.Kind {
		case Float64:
			t = arrow.PrimitiveTypes.Float64
		case Float32:
			t = arrow.PrimitiveTypes.Float32
		case Float16:
			t = arrow.FixedWidthTypes.Float16
		case Int64:
			t = arrow.PrimitiveTypes.Int64
		case Int32:
			t = arrow.PrimitiveTypes.Int32
		case Bool:
			t = arrow.FixedWidthTypes.Boolean
		default:
			t = arrow.BinaryTypes.String
		}
		if f.Size > 0 {
			// lists and items are nullable, as other writers have them: the library's Parquet writer turns the items
			// of required lists into nulls
			t = arrow.FixedSizeListOfField(int32(f.Size), arrow.Field{Name: "item", Type: t, Nullable: true})
		}
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: f.Size > 0, Metadata: toMetadata(f.Meta)}
	}
	meta := toMetadata(s.Meta)
	return arrow.NewSchema(fields, &meta)
}

// toMetadata sorts the keys, so that equal maps give equal bytes.
func toMetadata(m map[string]string) arrow.Metadata {
	keys := slices.Sorted(maps.Keys(m))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = m[k]
	}
	return arrow.NewMetadata(keys, values)
}

// valueBuffers returns a column's buffers after the validity bitmap. Numbers are viewed; booleans and strings packed.
func valueBuffers(f Field, values any) ([][]byte, error) {
	switch v := values.(type) {
	case []float64:
		return [][]byte{asBytes(v)}, nil
	case []float32:
		return [][]byte{asBytes(v)}, nil
	case []uint16:
		return [][]byte{asBytes(v)}, nil
	case []int64:
		return [][]byte{asBytes(v)}, nil
	case []int32:
		return [][]byte{asBytes(v)}, nil
	case []bool:
		bits := make([]byte, (len(v)+7)/8)
		for i, x := range v {
			if x {
				bits[i/8] |= 1 << (i % 8)
			}
		}
		return [][]byte{bits}, nil
	case []string:
		offsets := make([]int32, len(v)+1)
		var data []byte
		for i, s := range v {
			if len(data)+len(s) > math.MaxInt32 {
				return nil, fmt.Errorf("arrowio: column %q: a batch holds at most 2 GiB of text; write fewer rows at once", f.Name)
			}
			data = append(data, s...)
			offsets[i+1] = int32(len(data))
		}
		return [][]byte{asBytes(offsets), data}, nil
	}
	return nil, fmt.Errorf("arrowio: column %q: a %T cannot be written", f.Name, values)
}

// toRecord wraps columns as the library's record, without copying numbers.
func toRecord(s Schema, as *arrow.Schema, columns []any) (arrow.Record, error) {
	rows, err := s.rowsOf(columns)
	if err != nil {
		return nil, err
	}
	arrays := make([]arrow.Array, len(columns))
	for i, f := range s.Fields {
		values, err := valueBuffers(f, columns[i])
		if err != nil {
			return nil, err
		}
		buffers := []*memory.Buffer{nil}
		for _, v := range values {
			buffers = append(buffers, memory.NewBufferBytes(v))
		}
		t := as.Field(i).Type
		data := array.NewData(t, rows, buffers, nil, 0, 0)
		if f.Size > 0 {
			item := array.NewData(t.(*arrow.FixedSizeListType).Elem(), rows*f.Size, buffers, nil, 0, 0)
			data = array.NewData(t, rows, buffers[:1], []arrow.ArrayData{item}, 0, 0)
		}
		arrays[i] = array.MakeFromData(data)
	}
	return array.NewRecord(as, arrays, int64(rows)), nil
}

// asBytes views a slice of fixed-size values as bytes.
func asBytes[T any](v []T) []byte {
	if len(v) == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(v[0])))
}
