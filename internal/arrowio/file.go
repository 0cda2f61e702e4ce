package arrowio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"loupe/internal/mmap"
)

// File is an Arrow IPC file or stream, mapped into memory. Its methods may be called from many goroutines.
type File struct {
	path    string
	m       *mmap.Map
	data    []byte
	schema  Schema
	columns []column
	batches []batch
	rows    int64
}

// column is a field's subtree and where its nodes and buffers begin in every batch.
type column struct {
	node
	firstNode, firstBuffer int
}

// batch is a record batch: lengths and null counts of its nodes in depth-first order, and its buffers.
type batch struct {
	rows    int
	nodes   []fieldNode
	buffers [][]byte
}

type fieldNode struct{ length, nulls int64 }

// Open maps the file at path and checks its structure: footer, schema, and the place and size of every batch and
// buffer. It reads metadata only, so that it takes well under a millisecond for a shard of any size. The caller must
// Close the file after the last use of its columns.
func Open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, fmt.Errorf("arrowio: %w", err)
	}
	f, err := parse(m.Bytes())
	if err != nil {
		m.Close()
		return nil, fmt.Errorf("arrowio: %s: %w", path, err)
	}
	f.path, f.m = path, m
	return f, nil
}

// Close unmaps the file: no column of it may be used any more.
func (f *File) Close() error { return f.m.Close() }

// Schema returns the file's fields and metadata.
func (f *File) Schema() Schema { return f.schema }

// Rows returns the number of rows of all batches.
func (f *File) Rows() int64 { return f.rows }

// Batches returns the number of record batches.
func (f *File) Batches() int { return len(f.batches) }

// BatchRows returns the number of rows of a batch.
func (f *File) BatchRows(batch int) int { return f.batches[batch].rows }

// Size returns the file's size in bytes.
func (f *File) Size() int64 { return int64(len(f.data)) }

// Bytes returns the file's bytes: a view of the map.
func (f *File) Bytes() []byte { return f.data }

func parse(data []byte) (*File, error) {
	f := &File{data: data}
	var err error
	switch {
	case bytes.HasPrefix(data, []byte(magic)):
		err = f.parseFile()
	case len(data) >= 8 && binary.LittleEndian.Uint32(data) == continuation:
		err = f.parseStream()
	default:
		err = errors.New("this is no Arrow IPC file: it begins with neither ARROW1 nor a stream's mark")
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) parseFile() error {
	const tail = 4 + len(magic)
	n := len(f.data)
	if n < 8+tail || string(f.data[n-len(magic):]) != magic {
		return fmt.Errorf("the file is truncated: its %d bytes do not end with %s; write or copy it again", n, magic)
	}
	size := int64(binary.LittleEndian.Uint32(f.data[n-tail:]))
	end := int64(n - tail) // of the footer
	if size < 8 || size > end-8 {
		return fmt.Errorf("the footer's length %d does not fit in %d bytes", size, n)
	}
	footer := f.data[end-size : end]
	fl := &flat{b: footer, budget: maxTables}
	t := fl.table(fl.follow(0))
	if v := t.int(0, 2, 0); !fl.bad && v != metadataV4 && v != metadataV5 {
		return fmt.Errorf("footer: metadata version %d is not supported (V4 and V5 are)", v+1)
	}
	p := t.field(1)
	if fl.bad || p == 0 {
		return errors.New("footer: no schema")
	}
	if err := f.setSchema(fl, fl.follow(p)); err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	first, blocks := t.vector(3, 24)
	if fl.bad {
		return fmt.Errorf("footer: %w", errFlat)
	}
	free := int64(8) // where the next batch may begin: batches that overlapped could multiply rows
	for i := range blocks {
		b := block{offset: fl.i64(first + 24*i), meta: int32(fl.i32(first + 24*i + 8)), body: fl.i64(first + 24*i + 16)}
		if b.offset < free || b.meta < 8 || b.body < 0 || b.offset > end-size ||
			int64(b.meta) > end-size-b.offset || b.body > end-size-b.offset-int64(b.meta) {
			return fmt.Errorf("batch %d: block (offset %d, metadata %d, body %d) does not fit in the file's %d bytes", i, b.offset, b.meta, b.body, n)
		}
		free = b.offset + int64(b.meta) + b.body
		if err := f.addMessage(b.offset, b.offset+int64(b.meta), free); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
	}
	return nil
}

// addMessage decodes the record batch whose framed metadata is data[start:body] and whose body is data[body:end].
func (f *File) addMessage(start, body, end int64) error {
	head := f.data[start:body]
	if binary.LittleEndian.Uint32(head) != continuation {
		return errors.New("a message does not begin with its mark")
	}
	size := int64(int32(binary.LittleEndian.Uint32(head[4:])))
	if size < 8 || size > int64(len(head))-8 {
		return fmt.Errorf("a message's length %d does not fit in its block", size)
	}
	m, err := decodeMessage(head[8 : 8+size])
	if err != nil {
		return err
	}
	if m.kind != headerRecordBatch {
		return fmt.Errorf("a message of kind %d stands where a record batch (%d) should", m.kind, headerRecordBatch)
	}
	if m.body != end-body {
		return fmt.Errorf("a message says that its body has %d bytes and the file says %d", m.body, end-body)
	}
	return f.addBatch(m, f.data[body:end])
}

// parseStream walks the messages of a stream from the first byte on.
func (f *File) parseStream() error {
	for pos := 0; ; {
		if len(f.data)-pos < 8 {
			return fmt.Errorf("the stream is truncated at byte %d: it has no end mark; write or copy it again", pos)
		}
		if binary.LittleEndian.Uint32(f.data[pos:]) != continuation {
			return fmt.Errorf("byte %d: a message does not begin with its mark", pos)
		}
		size := int(int32(binary.LittleEndian.Uint32(f.data[pos+4:])))
		if size == 0 && f.columns != nil {
			return nil
		}
		if size < 8 || size > len(f.data)-pos-8 {
			return fmt.Errorf("byte %d: a message's length %d does not fit in the file's %d bytes", pos, size, len(f.data))
		}
		m, err := decodeMessage(f.data[pos+8 : pos+8+size])
		if err != nil {
			return fmt.Errorf("byte %d: %w", pos, err)
		}
		body := pos + 8 + size
		if m.body > int64(len(f.data)-body) {
			return fmt.Errorf("byte %d: a body of %d bytes does not fit in the file's %d bytes", pos, m.body, len(f.data))
		}
		pos = body + int(m.body)
		switch {
		case m.kind == headerSchema && f.columns == nil:
			err = f.setSchema(m.f, m.header)
		case m.kind == headerRecordBatch && f.columns != nil:
			err = f.addBatch(m, f.data[body:pos])
		case m.kind == headerDictionary && f.columns != nil: // columns of dictionary type are not read
		default:
			err = fmt.Errorf("a message of kind %d is out of place", m.kind)
		}
		if err != nil {
			return fmt.Errorf("message before byte %d: %w", pos, err)
		}
	}
}

func (f *File) setSchema(fl *flat, pos int) error {
	s, nodes, err := decodeSchema(fl, pos)
	if err != nil {
		return err
	}
	f.schema = s
	nn, nb := 0, 0
	for _, nd := range nodes {
		f.columns = append(f.columns, column{node: nd, firstNode: nn, firstBuffer: nb})
		if err := nd.count(&nn, &nb); err != nil {
			return fmt.Errorf("column %q: %w", nd.field.Name, err)
		}
	}
	return nil
}

// count adds the nodes and buffers of the subtree.
func (nd node) count(nodes, buffers *int) error {
	if nd.buffers < 0 {
		return fmt.Errorf("type %d is not supported", nd.typ)
	}
	*nodes++
	*buffers += nd.buffers
	for _, c := range nd.children {
		if err := c.count(nodes, buffers); err != nil {
			return err
		}
	}
	return nil
}
