package arrowio

import (
	"errors"
	"fmt"
	"unsafe"
)

// Number is a type that a mapped column can be viewed as. uint16 views Float16 bit patterns.
type Number interface {
	float64 | float32 | uint16 | int64 | int32
}

func kindOf[T Number]() Kind {
	var zero T
	switch any(zero).(type) {
	case float64:
		return Float64
	case float32:
		return Float32
	case uint16:
		return Float16
	case int64:
		return Int64
	}
	return Int32
}

func (f *File) errorf(batch, col int, format string, args ...any) error {
	return fmt.Errorf("arrowio: %s: batch %d, column %q: %w", f.path, batch, f.columns[col].field.Name, fmt.Errorf(format, args...))
}

// Values returns a column of a batch, [rows * width] row by row, without copying: the slice is a read-only view of the
// map. It is an error when the column's kind is not T's, when it is a variable-size list, or when it has nulls.
func Values[T Number](f *File, batch, col int) ([]T, error) {
	c, b := f.columns[col], f.batches[batch]
	if c.field.Kind != kindOf[T]() || c.field.Nested {
		return nil, f.errorf(batch, col, "it holds %s, not %s", c.describe(), kindOf[T]())
	}
	nodes := 1
	if c.typ == typeFixedList {
		nodes = 2
	}
	for _, n := range b.nodes[c.firstNode : c.firstNode+nodes] {
		if n.nulls != 0 {
			return nil, f.errorf(batch, col, "it has %d nulls; fill or drop those rows", n.nulls)
		}
	}
	return view[T](b.buffers[c.valueBuffer()], b.rows*c.field.Width()), nil
}

func (c column) describe() string {
	switch {
	case c.field.Nested:
		return "lists of " + c.field.Kind.String()
	case c.field.Size > 0:
		return fmt.Sprintf("%s[%d]", c.field.Kind, c.field.Size)
	}
	return c.field.Kind.String()
}

// view casts a buffer that holds at least n values. A foreign file may leave it unaligned; then it is copied.
func view[T Number](buf []byte, n int) []T {
	if n == 0 {
		return nil
	}
	var zero T
	p := unsafe.Pointer(unsafe.SliceData(buf))
	if uintptr(p)%unsafe.Alignof(zero) != 0 {
		out := make([]T, n)
		copy(asBytes(out), buf)
		return out
	}
	return unsafe.Slice((*T)(p), n)
}

// Bools returns a column of booleans as a new slice.
func (f *File) Bools(batch, col int) ([]bool, error) {
	c, b := f.columns[col], f.batches[batch]
	if c.field.Kind != Bool || c.field.Nested {
		return nil, f.errorf(batch, col, "it holds %s, not bool", c.describe())
	}
	if n := b.nodes[c.firstNode].nulls; n != 0 {
		return nil, f.errorf(batch, col, "it has %d nulls; fill or drop those rows", n)
	}
	bits := b.buffers[c.valueBuffer()]
	out := make([]bool, b.rows)
	for i := range out {
		out[i] = bits[i/8]>>(i%8)&1 == 1
	}
	return out, nil
}

// Strings returns a column of text as new strings. A null is an empty string.
func (f *File) Strings(batch, col int) ([]string, error) {
	c, b := f.columns[col], f.batches[batch]
	if c.field.Kind != String || c.field.Nested {
		return nil, f.errorf(batch, col, "it holds %s, not string", c.describe())
	}
	out := make([]string, b.rows)
	if b.rows == 0 {
		return out, nil
	}
	offsets, data := b.buffers[c.firstBuffer+1], b.buffers[c.firstBuffer+2]
	from := c.offset(offsets, 0)
	for i := range out {
		to := c.offset(offsets, i+1)
		if from < 0 || to < from || to > int64(len(data)) {
			return nil, f.errorf(batch, col, "row %d: text from byte %d to %d of %d", i, from, to, len(data))
		}
		out[i] = string(data[from:to])
		from = to
	}
	return out, nil
}

// StringAt returns one value of a column of text.
func (f *File) StringAt(batch, col, row int) (string, error) {
	c, b := f.columns[col], f.batches[batch]
	if c.field.Kind != String || c.field.Nested || row < 0 || row >= b.rows {
		return "", f.errorf(batch, col, "it holds %s and has %d rows; row %d of a string column was asked for", c.describe(), b.rows, row)
	}
	offsets, data := b.buffers[c.firstBuffer+1], b.buffers[c.firstBuffer+2]
	from, to := c.offset(offsets, row), c.offset(offsets, row+1)
	if from < 0 || to < from || to > int64(len(data)) {
		return "", f.errorf(batch, col, "row %d: text from byte %d to %d of %d", row, from, to, len(data))
	}
	return string(data[from:to]), nil
}

// Lists returns a column of lists, nested to any depth, whose lists all have the same sizes: the values row by row,
// without copying, and the sizes from the outermost list to the innermost. Lists of different sizes and nulls are
// errors. It reads what other programs write for a matrix a row, such as the Array2D of Hugging Face datasets.
func Lists[T Number](f *File, batch, col int) (values []T, shape []int, err error) {
	c, b := f.columns[col], f.batches[batch]
	if c.field.Kind != kindOf[T]() {
		return nil, nil, f.errorf(batch, col, "it holds %s, not %s", c.describe(), kindOf[T]())
	}
	from, to := int64(0), int64(b.rows)
	nd, in, ib := c.node, c.firstNode, c.firstBuffer
	for nd.isList() {
		if err := b.noNulls(in); err != nil {
			return nil, nil, f.errorf(batch, col, "%w", err)
		}
		size := int64(nd.listSize)
		if nd.typ == typeFixedList {
			if size > 0 && to > int64(len(f.data))/size {
				return nil, nil, f.errorf(batch, col, "lists of %d values do not fit in the file", size)
			}
			from, to = from*size, to*size
		} else if from, to, size, err = nd.even(b.buffers[ib+1], from, to); err != nil {
			return nil, nil, f.errorf(batch, col, "%w", err)
		}
		shape = append(shape, int(size))
		in, ib, nd = in+1, ib+nd.buffers, nd.children[0]
	}
	if err := b.noNulls(in); err != nil {
		return nil, nil, f.errorf(batch, col, "%w", err)
	}
	buf, width := b.buffers[ib+1], int64(c.field.Kind.Bytes())
	if from < 0 || to < from || to > int64(len(buf))/width {
		return nil, nil, f.errorf(batch, col, "values %d to %d do not fit in %d bytes", from, to, len(buf))
	}
	return view[T](buf[from*width:to*width], int(to-from)), shape, nil
}

func (b batch) noNulls(node int) error {
	if b.nodes[node].nulls != 0 {
		return errors.New("it has nulls; fill or drop those rows")
	}
	return nil
}

// even returns the range of items of lists [from, to) and their common size.
func (nd node) even(offsets []byte, from, to int64) (first, last, size int64, err error) {
	width := int64(4)
	if nd.wide {
		width = 8
	}
	if from == to {
		return 0, 0, 0, nil
	}
	if from < 0 || to >= int64(len(offsets))/width {
		return 0, 0, 0, fmt.Errorf("offsets of lists %d to %d do not fit in %d bytes", from, to, len(offsets))
	}
	first = nd.offset(offsets, int(from))
	size = nd.offset(offsets, int(from)+1) - first
	last = first
	for i := from; i < to; i++ {
		next := nd.offset(offsets, int(i)+1)
		if first < 0 || next < last || next-last != size {
			return 0, 0, 0, fmt.Errorf("list %d has %d values and the first has %d; only lists of one size can be read", i, next-last, size)
		}
		last = next
	}
	return first, last, size, nil
}
