package arrowio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// addBatch decodes a RecordBatch header and checks every column that this package can read against its buffers.
func (f *File) addBatch(m message, body []byte) error {
	t := m.f.table(m.header)
	if _, compressed := t.child(3); compressed {
		return errors.New("the batch is compressed; write the file again without compression")
	}
	length := t.int(0, 8, 0)
	firstNode, nodes := t.vector(1, 16)
	firstBuffer, buffers := t.vector(2, 16)
	if m.f.bad {
		return errFlat
	}
	if length < 0 || length > math.MaxInt32 {
		return fmt.Errorf("%d rows in a batch is out of range", length)
	}
	wantNodes, wantBuffers := 0, 0
	for _, c := range f.columns {
		if err := c.count(&wantNodes, &wantBuffers); err != nil {
			return err
		}
	}
	if nodes != wantNodes || buffers != wantBuffers {
		return fmt.Errorf("%d nodes and %d buffers do not match the schema's %d and %d", nodes, buffers, wantNodes, wantBuffers)
	}
	b := batch{rows: int(length), nodes: make([]fieldNode, nodes), buffers: make([][]byte, buffers)}
	for i := range nodes {
		b.nodes[i] = fieldNode{length: m.f.i64(firstNode + 16*i), nulls: m.f.i64(firstNode + 16*i + 8)}
	}
	free := int64(0) // buffers that overlapped could multiply values
	for i := range buffers {
		off, n := m.f.i64(firstBuffer+16*i), m.f.i64(firstBuffer+16*i+8)
		if n == 0 {
			continue
		}
		if off < free || n < 0 || off > int64(len(body)) || n > int64(len(body))-off {
			return fmt.Errorf("buffer %d (offset %d, length %d) does not fit in a body of %d bytes", i, off, n, len(body))
		}
		b.buffers[i] = body[off : off+n : off+n]
		free = off + n
	}
	for _, c := range f.columns {
		if b.nodes[c.firstNode].length != length {
			return fmt.Errorf("column %q has %d rows and its batch %d", c.field.Name, b.nodes[c.firstNode].length, length)
		}
		if c.field.Kind == Unsupported || c.field.Nested {
			continue
		}
		if err := c.checkSize(b); err != nil {
			return fmt.Errorf("column %q: %w", c.field.Name, err)
		}
	}
	f.batches = append(f.batches, b)
	f.rows += length
	return nil
}

// checkSize checks that the value buffers of a flat column hold the batch's rows.
func (c column) checkSize(b batch) error {
	buf := b.buffers[c.valueBuffer()]
	switch rows := int64(b.rows); c.field.Kind {
	case Bool:
		if (rows+7)/8 > int64(len(buf)) {
			return fmt.Errorf("%d rows of bits do not fit in %d bytes", rows, len(buf))
		}
	case String:
		width := int64(4)
		if c.wide {
			width = 8
		}
		if rows > 0 && (rows+1)*width > int64(len(buf)) {
			return fmt.Errorf("%d offsets do not fit in %d bytes", rows+1, len(buf))
		}
	default:
		width := int64(c.field.Kind.Bytes()) * int64(c.field.Width())
		if rows > int64(len(buf))/width {
			return fmt.Errorf("%d rows of %d bytes do not fit in %d bytes", rows, width, len(buf))
		}
	}
	return nil
}

// valueBuffer is the index of a flat column's values (of a string column's offsets) among the batch's buffers.
func (c column) valueBuffer() int {
	if c.typ == typeFixedList {
		return c.firstBuffer + 2 // the list's validity, the items' validity, the items
	}
	return c.firstBuffer + 1
}

// offset reads entry i of a list's or string's offsets; the caller has checked the buffer's size.
func (nd node) offset(buf []byte, i int) int64 {
	if nd.wide {
		return int64(binary.LittleEndian.Uint64(buf[8*i:]))
	}
	return int64(int32(binary.LittleEndian.Uint32(buf[4*i:])))
}
