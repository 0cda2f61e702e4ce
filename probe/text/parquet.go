package text

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// parquetReader reads the chosen columns of a Parquet file, page by page.
type parquetReader struct{ cfg CorpusConfig }

func (r parquetReader) read(f *os.File, name string, emit emit) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("text: read %s: %w", name, err)
	}
	return r.rows(f, info.Size(), name, emit)
}

// rows reads the rows of a Parquet file of this size. The library panics on some damaged files: that becomes an error.
func (r parquetReader) rows(f io.ReaderAt, size int64, name string, emit emit) (err error) {
	inEmit := false // a panic of the caller's is not ours to catch
	defer func() {
		if inEmit {
			return
		}
		if p := recover(); p != nil {
			err = fmt.Errorf("text: %s: damaged Parquet file: %v; fetch it again", name, p)
		}
	}()
	file, err := openParquet(f, size, name)
	if err != nil {
		return err
	}
	columns, err := r.columns(file, name)
	if err != nil {
		return err
	}
	row, more := int64(0), true
	for _, group := range file.RowGroups() {
		if !more {
			return nil
		}
		if err := r.group(group, columns, name, &row, func(d Doc) bool {
			inEmit = true
			more = emit(d)
			inEmit = false
			return more
		}); err != nil {
			return err
		}
	}
	return nil
}

// openParquet opens the footer. Its length is checked before the library allocates it.
func openParquet(f io.ReaderAt, size int64, name string) (*parquet.File, error) {
	const magic = "PAR1"
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return nil, fmt.Errorf("text: %s: %d bytes are too few for a Parquet file; fetch it again", name, size)
	}
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("text: read %s: %w", name, err)
	}
	if _, err := f.ReadAt(tail[:], size-int64(len(tail))); err != nil {
		return nil, fmt.Errorf("text: read %s: %w", name, err)
	}
	if string(head[:]) != magic {
		return nil, fmt.Errorf("text: %s: no Parquet file: it starts with %q, not %q; check the kind of the corpus", name, head[:], magic)
	}
	if string(tail[4:]) != magic {
		return nil, fmt.Errorf("text: %s: the Parquet file is truncated: it does not end in %q; fetch it again", name, magic)
	}
	if footer := int64(binary.LittleEndian.Uint32(tail[:4])); footer > size-int64(len(head)+len(tail)) {
		return nil, fmt.Errorf("text: %s: damaged Parquet file: a footer of %d bytes in a file of %d; fetch it again", name, footer, size)
	}
	file, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("text: open %s: %w; fetch it again", name, err)
	}
	for _, group := range file.Metadata().RowGroups {
		for _, c := range group.Columns {
			m := c.MetaData
			start := m.DataPageOffset
			if m.DictionaryPageOffset != 0 {
				start = m.DictionaryPageOffset
			}
			if start < 0 || m.TotalCompressedSize < 0 || start > size || m.TotalCompressedSize > size-start {
				return nil, fmt.Errorf("text: %s: damaged Parquet file: column %s has %d bytes at %d in a file of %d; fetch it again",
					name, strings.Join(m.PathInSchema, "."), m.TotalCompressedSize, start, size)
			}
		}
	}
	return file, nil
}

// column is one chosen column.
type column struct {
	name  string
	index int  // among the leaf columns
	text  bool // holds byte strings
}

// columns finds the configured columns; a dot in a name goes into a struct.
func (r parquetReader) columns(file *parquet.File, name string) ([]column, error) {
	schema := file.Schema()
	var have []string
	for _, path := range schema.Columns() {
		have = append(have, strings.Join(path, "."))
	}
	var out []column
	for i, want := range r.cfg.fields() {
		leaf, ok := schema.Lookup(want)
		if !ok {
			leaf, ok = schema.Lookup(strings.Split(want, ".")...)
		}
		if !ok {
			return nil, missing(name, "column", want, have)
		}
		if leaf.MaxRepetitionLevel > 0 {
			return nil, fmt.Errorf("text: %s: column %q is a list and cannot be text or a label; choose another; it has: %s", name, want, strings.Join(have, ", "))
		}
		kind := leaf.Node.Type().Kind()
		if i == 0 && kind != parquet.ByteArray {
			return nil, fmt.Errorf("text: %s: column %q holds %s, not strings; name another text_field; it has: %s", name, want, kind, strings.Join(have, ", "))
		}
		if err := readable(file, leaf.ColumnIndex); err != nil {
			return nil, fmt.Errorf("text: %s: column %q %w", name, want, err)
		}
		out = append(out, column{name: want, index: leaf.ColumnIndex, text: kind == parquet.ByteArray})
	}
	return out, nil
}

// readable refuses LZ4: parquet-go v0.29 gives wrong values for some LZ4 pages without an error, and does not end on
// damaged ones (its issue 608).
func readable(file *parquet.File, index int) error {
	for _, group := range file.Metadata().RowGroups {
		if codec := group.Columns[index].MetaData.Codec; codec == format.Lz4Raw || codec == format.Lz4 {
			return fmt.Errorf("is compressed with %s, which cannot be read reliably; write the file again with snappy or zstd", codec)
		}
	}
	return nil
}

// group reads one row group; row counts the rows of the file.
func (r parquetReader) group(group parquet.RowGroup, columns []column, name string, row *int64, emit emit) error {
	chunks := group.ColumnChunks()
	cursors := make([]*cursor, len(columns))
	for i, c := range columns {
		cursors[i] = &cursor{pages: chunks[c.index].Pages()}
		defer cursors[i].close()
	}
	values := make([]string, len(columns))
	for range group.NumRows() {
		*row++
		where := fmt.Sprintf("%s:row %d", name, *row)
		for i, c := range columns {
			v, err := cursors[i].next()
			if err != nil {
				return fmt.Errorf("text: %s: column %q: %w; the file may be truncated or damaged: fetch it again", where, c.name, err)
			}
			if values[i], err = r.value(v, c, where); err != nil {
				return err
			}
		}
		if !emit(r.cfg.doc(values, where, name)) {
			return nil
		}
	}
	return nil
}

// value is one cell as text; null is the empty string.
func (r parquetReader) value(v parquet.Value, c column, where string) (string, error) {
	switch {
	case v.IsNull():
		return "", nil
	case !c.text:
		return v.String(), nil
	case len(v.ByteArray()) > r.cfg.MaxLineBytes:
		return "", fmt.Errorf("text: %s: column %q: a value of %d bytes; raise max_line_bytes (%d) if it is meant to be that long", where, c.name, len(v.ByteArray()), r.cfg.MaxLineBytes)
	}
	return r.cfg.clean(v.ByteArray(), fmt.Sprintf("%s, column %q", where, c.name), 0)
}

// cursor reads the values of one column of a row group, one page at a time.
type cursor struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buffer [256]parquet.Value
	rest   []parquet.Value // of buffer, not handed out yet
}

// next returns the next value, which is good until the call after it.
func (c *cursor) next() (parquet.Value, error) {
	for len(c.rest) == 0 {
		if c.values == nil {
			page, err := c.pages.ReadPage()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return parquet.Value{}, err
			}
			c.page, c.values = page, page.Values()
		}
		n, err := c.values.ReadValues(c.buffer[:])
		c.rest = c.buffer[:n]
		if n > 0 {
			continue // the page's values stay good until it is released
		}
		parquet.Release(c.page)
		c.page, c.values = nil, nil
		if err != nil && !errors.Is(err, io.EOF) {
			return parquet.Value{}, err
		}
	}
	v := c.rest[0]
	c.rest = c.rest[1:]
	return v, nil
}

func (c *cursor) close() {
	if c.page != nil {
		parquet.Release(c.page)
	}
	_ = c.pages.Close() // read only: nothing can be lost
}
