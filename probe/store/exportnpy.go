package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"loupe/internal/arrowio"
	"loupe/internal/atomicfile"
)

// npy writes an array for each column. Arrays span the whole store, so they are streamed, column by column.
func (e *exporter) npy(ctx context.Context) error {
	dir := e.dir
	if e.t.per == Example {
		dir = filepath.Join(dir, string(Example))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("store: export: %w", err)
		}
	}
	for c, f := range e.schema().Fields {
		path := filepath.Join(dir, f.Name+".npy")
		err := atomicfile.Write(path, func(w io.Writer) error { return e.npyColumn(ctx, w, c, f) })
		if err != nil {
			return fmt.Errorf("store: export %s: %w", path, err)
		}
	}
	return nil
}

func (e *exporter) npyColumn(ctx context.Context, w io.Writer, c int, f arrowio.Field) error {
	descr := map[arrowio.Kind]string{arrowio.Int64: "<i8", arrowio.Int32: "<i4", arrowio.Bool: "|b1", arrowio.Float32: "<f4"}[f.Kind]
	shape := fmt.Sprintf("(%d,)", e.t.rows)
	if f.Size > 0 {
		shape = fmt.Sprintf("(%d, %d)", e.t.rows, f.Size)
	}
	if _, err := w.Write(npyHeader(descr, shape)); err != nil {
		return err
	}
	only := exporter{s: e.s, t: e.t}
	if k := c - e.t.firstSite(); k >= 0 {
		only.sites, c = e.sites[k:k+1], e.t.firstSite()
	}
	for i := range e.t.shards {
		v := &e.t.shards[i]
		for b := range v.file.Batches() {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			columns, err := only.columns(v, b)
			if err != nil {
				return err
			}
			if err := binary.Write(w, binary.LittleEndian, columns[c]); err != nil {
				return err
			}
		}
	}
	return nil
}

// npyHeader is the head of a .npy file, format 1.0, padded so that the data begins at a multiple of 64 bytes.
func npyHeader(descr, shape string) []byte {
	dict := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	dict += strings.Repeat(" ", 63-(10+len(dict))%64) + "\n"
	head := append([]byte("\x93NUMPY"), 1, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(dict)))
	return append(head, dict...)
}
