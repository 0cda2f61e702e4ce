package arrowio

import (
	"errors"
	"fmt"
)

// Kind is the type of a column's values.
type Kind uint8

// The kinds. A Float16 column holds IEEE 754 binary16 bit patterns as uint16. Unsupported marks a column of a foreign
// file that this package skips.
const (
	Unsupported Kind = iota
	Float64
	Float32
	Float16
	Int64
	Int32
	Bool
	String
)

// String returns the kind's name in Arrow's vocabulary.
func (k Kind) String() string {
	switch k {
	case Float64:
		return "float64"
	case Float32:
		return "float32"
	case Float16:
		return "float16"
	case Int64:
		return "int64"
	case Int32:
		return "int32"
	case Bool:
		return "bool"
	case String:
		return "string"
	}
	return "unsupported"
}

// Bytes returns the size of one value, or 0 for kinds that have none (Bool, String).
func (k Kind) Bytes() int {
	switch k {
	case Float64, Int64:
		return 8
	case Float32, Int32:
		return 4
	case Float16:
		return 2
	}
	return 0
}

// Field describes a column.
type Field struct {
	Name string
	Kind Kind
	// Size is 0 for one value a row, and n > 0 for a fixed-size list of n values a row.
	Size int
	// Nested is true for variable-size lists, which only foreign files have: see Lists.
	Nested bool
	// Meta is the field's metadata, such as a unit or a site name.
	Meta map[string]string
}

// Width returns the number of values in one row: 1, or the size of the list.
func (f Field) Width() int { return max(1, f.Size) }

func (f Field) check() error {
	switch {
	case f.Name == "":
		return errors.New("arrowio: a field has no name")
	case f.Kind == Unsupported || f.Kind > String || f.Nested:
		return fmt.Errorf("arrowio: field %q: kind %s cannot be written", f.Name, f.Kind)
	case f.Size < 0 || f.Size > 1<<30:
		return fmt.Errorf("arrowio: field %q: list size %d is out of range", f.Name, f.Size)
	case f.Size > 0 && f.Kind.Bytes() == 0:
		return fmt.Errorf("arrowio: field %q: a list of %s cannot be written", f.Name, f.Kind)
	}
	return nil
}

// Schema is a list of fields with metadata of the whole file.
type Schema struct {
	Fields []Field
	Meta   map[string]string
}

// Index returns the position of the field called name, or -1.
func (s Schema) Index(name string) int {
	for i, f := range s.Fields {
		if f.Name == name {
			return i
		}
	}
	return -1
}

func (s Schema) check() error {
	if len(s.Fields) == 0 {
		return errors.New("arrowio: a schema needs a field")
	}
	seen := map[string]bool{}
	for _, f := range s.Fields {
		if err := f.check(); err != nil {
			return err
		}
		if seen[f.Name] {
			return fmt.Errorf("arrowio: field %q is there twice", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// rowsOf returns the number of rows of values in a column of f.
func (f Field) rowsOf(values any) (int, error) {
	n, kind := 0, Unsupported
	switch v := values.(type) {
	case []float64:
		n, kind = len(v), Float64
	case []float32:
		n, kind = len(v), Float32
	case []uint16:
		n, kind = len(v), Float16
	case []int64:
		n, kind = len(v), Int64
	case []int32:
		n, kind = len(v), Int32
	case []bool:
		n, kind = len(v), Bool
	case []string:
		n, kind = len(v), String
	}
	if kind != f.Kind {
		return 0, fmt.Errorf("arrowio: column %q holds %s and got a %T", f.Name, f.Kind, values)
	}
	if n%f.Width() != 0 {
		return 0, fmt.Errorf("arrowio: column %q: %d values are no whole rows of %d", f.Name, n, f.Width())
	}
	return n / f.Width(), nil
}

// rowsOf returns the number of rows that the columns have in common.
func (s Schema) rowsOf(columns []any) (int, error) {
	if len(columns) != len(s.Fields) {
		return 0, fmt.Errorf("arrowio: %d columns for %d fields", len(columns), len(s.Fields))
	}
	rows := -1
	for i, f := range s.Fields {
		n, err := f.rowsOf(columns[i])
		if err != nil {
			return 0, err
		}
		if rows >= 0 && n != rows {
			return 0, fmt.Errorf("arrowio: column %q has %d rows and the others %d", f.Name, n, rows)
		}
		rows = n
	}
	return rows, nil
}
