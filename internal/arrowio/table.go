package arrowio

import (
	"fmt"
	"io"

	"loupe/internal/atomicfile"
)

// Table is a small table in memory, such as an experiment's results. Columns[i] belongs to Fields[i] and is a
// []float64, []float32, []uint16 (Float16), []int64, []int32, []bool or []string; lists lie row by row.
type Table struct {
	Schema
	Columns []any
}

// Rows returns the number of rows, or an error when the columns do not fit the fields or each other.
func (t Table) Rows() (int, error) {
	if err := t.check(); err != nil {
		return 0, err
	}
	return t.rowsOf(t.Columns)
}

// Add appends a column; the field's kind follows from the values' type, and size > 0 makes it a fixed-size list.
func (t *Table) Add(name string, size int, values any, meta map[string]string) {
	f := Field{Name: name, Size: size, Meta: meta}
	switch values.(type) {
	case []float64:
		f.Kind = Float64
	case []float32:
		f.Kind = Float32
	case []uint16:
		f.Kind = Float16
	case []int64:
		f.Kind = Int64
	case []int32:
		f.Kind = Int32
	case []bool:
		f.Kind = Bool
	case []string:
		f.Kind = String
	}
	t.Fields = append(t.Fields, f)
	t.Columns = append(t.Columns, values)
}

// WriteTable writes t as an Arrow IPC file of one batch. The file appears whole or not at all.
func WriteTable(path string, t Table) error {
	err := atomicfile.Write(path, func(w io.Writer) error { return t.write(w) })
	if err != nil {
		return fmt.Errorf("arrowio: write table %s: %w", path, err)
	}
	return nil
}

func (t Table) write(w io.Writer) error {
	out, err := NewWriter(w, t.Schema)
	if err != nil {
		return err
	}
	if err := out.Write(t.Columns...); err != nil {
		return err
	}
	return out.Close()
}

// ReadTable reads a whole file into memory. Columns of kinds that this package does not support, and lists of
// variable size, are left out.
func ReadTable(path string) (Table, error) {
	f, err := Open(path)
	if err != nil {
		return Table{}, err
	}
	defer f.Close()
	t := Table{Schema: Schema{Meta: f.schema.Meta}}
	for i, field := range f.schema.Fields {
		if field.Kind == Unsupported || field.Nested {
			continue
		}
		values, err := f.Column(i)
		if err != nil {
			return Table{}, err
		}
		t.Fields = append(t.Fields, field)
		t.Columns = append(t.Columns, values)
	}
	return t, nil
}

// Column returns a copy of a whole column of all batches; see Table for its type.
func (f *File) Column(col int) (any, error) {
	switch f.columns[col].field.Kind {
	case Float64:
		return gather(f, col, Values[float64])
	case Float32:
		return gather(f, col, Values[float32])
	case Float16:
		return gather(f, col, Values[uint16])
	case Int64:
		return gather(f, col, Values[int64])
	case Int32:
		return gather(f, col, Values[int32])
	case Bool:
		return gather(f, col, (*File).Bools)
	case String:
		return gather(f, col, (*File).Strings)
	}
	return nil, fmt.Errorf("arrowio: %s: column %q: its type is not supported", f.path, f.columns[col].field.Name)
}

func gather[T any](f *File, col int, values func(*File, int, int) ([]T, error)) ([]T, error) {
	out := []T{}
	for b := range f.batches {
		v, err := values(f, b, col)
		if err != nil {
			return nil, err
		}
		out = append(out, v...)
	}
	return out, nil
}

// ColumnOf returns the column called name of a table as a []T.
func ColumnOf[T any](t Table, name string) ([]T, error) {
	i := t.Index(name)
	if i < 0 {
		return nil, fmt.Errorf("arrowio: the table has no column %q", name)
	}
	v, ok := t.Columns[i].([]T)
	if !ok {
		return nil, fmt.Errorf("arrowio: column %q is a %T, not a %T", name, t.Columns[i], v)
	}
	return v, nil
}
