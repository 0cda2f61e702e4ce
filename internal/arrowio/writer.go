package arrowio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	magic        = "ARROW1"
	alignment    = 64 // of every buffer from the start of the file
	continuation = 0xffffffff
)

var padding [alignment]byte

// Writer writes one Arrow IPC file, batch by batch. The library encodes the schema; batches are framed here, because
// the library's writer aligns buffers to 8 bytes only.
type Writer struct {
	w       io.Writer
	pos     int64
	schema  Schema
	message []byte // the schema message's flatbuffer
	blocks  []block
	err     error
}

// block is a record batch's place in a file (File.fbs, struct Block).
type block struct {
	offset int64
	meta   int32
	body   int64
}

// NewWriter writes the head of a file with the given schema to w. The file is whole only after Close, which does not
// close w. Large columns reach w in single writes of the caller's memory.
func NewWriter(w io.Writer, schema Schema) (*Writer, error) {
	if err := schema.check(); err != nil {
		return nil, err
	}
	message, err := schemaMessage(toArrow(schema))
	if err != nil {
		return nil, fmt.Errorf("arrowio: encode schema: %w", err)
	}
	out := &Writer{w: w, schema: schema, message: message}
	out.write([]byte(magic + "\x00\x00"))
	out.frame(message)
	if out.err != nil {
		return nil, fmt.Errorf("arrowio: write schema: %w", out.err)
	}
	return out, nil
}

// Write writes one record batch: a column per field of the schema, all with the same number of rows. Columns are
// []float64, []float32, []uint16 (Float16), []int64, []int32, []bool or []string; lists lie row by row. They may be
// reused when Write returns. After an error the file is lost.
func (w *Writer) Write(columns ...any) error {
	if w.err != nil {
		return w.err
	}
	rows, err := w.schema.rowsOf(columns)
	if err != nil {
		return err
	}
	var nodes []int
	var buffers [][]byte
	for i, f := range w.schema.Fields {
		values, err := valueBuffers(f, columns[i])
		if err != nil {
			return err
		}
		nodes = append(nodes, rows)
		buffers = append(buffers, nil) // no validity bitmap: nothing is null
		if f.Size > 0 {
			nodes = append(nodes, rows*f.Size)
			buffers = append(buffers, nil)
		}
		buffers = append(buffers, values...)
	}
	start := w.pos
	w.frame(encodeBatch(rows, nodes, buffers))
	body := w.pos
	for _, b := range buffers {
		w.write(b)
		w.write(padding[:padded(len(b))-len(b)])
	}
	w.blocks = append(w.blocks, block{offset: start, meta: int32(body - start), body: w.pos - body})
	if w.err != nil {
		w.err = fmt.Errorf("arrowio: write batch %d: %w", len(w.blocks)-1, w.err)
	}
	return w.err
}

// Close writes the end-of-stream mark, the footer, its length and the magic bytes.
func (w *Writer) Close() error {
	if w.err != nil {
		return w.err
	}
	footer, err := encodeFooter(w.message, w.blocks)
	if err != nil {
		return fmt.Errorf("arrowio: encode footer: %w", err)
	}
	tail := binary.LittleEndian.AppendUint32(nil, continuation)
	tail = binary.LittleEndian.AppendUint32(tail, 0)
	tail = append(tail, footer...)
	tail = binary.LittleEndian.AppendUint32(tail, uint32(len(footer)))
	tail = append(tail, magic...)
	if w.write(tail); w.err != nil {
		return fmt.Errorf("arrowio: write footer: %w", w.err)
	}
	w.err = errors.New("arrowio: the writer is closed")
	return nil
}

func (w *Writer) write(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	n, err := w.w.Write(p)
	w.pos += int64(n)
	w.err = err
}

// frame writes a message's mark, length and flatbuffer, padded so that the body begins aligned.
func (w *Writer) frame(meta []byte) {
	size := padded(int(w.pos)+8+len(meta)) - int(w.pos)
	head := binary.LittleEndian.AppendUint32(nil, continuation)
	head = binary.LittleEndian.AppendUint32(head, uint32(size-8))
	w.write(head)
	w.write(meta)
	w.write(padding[:size-8-len(meta)])
}

func padded(n int) int { return (n + alignment - 1) / alignment * alignment }
