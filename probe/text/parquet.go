package text

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go"
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
	file, err := openParquet(f, size)
	if err != nil {
		return fmt.Errorf("text: %s: %w", name, err)
	}
	columns, err := r.columns(file, name)
	if err != nil {
		return err
	}
	row, more := int64(0), true
	for i, group := range file.RowGroups() {
		if !more {
			return nil
		}
		for _, c := range columns {
			if err := checkPages(f, file.Metadata().RowGroups[i].Columns[c.index].MetaData, int64(r.cfg.MaxLineBytes)); err != nil {
				return fmt.Errorf("text: %s: row group %d: column %q: %w", name, i+1, c.name, err)
			}
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
		if err := checkCodec(file, leaf.ColumnIndex); err != nil {
			return nil, fmt.Errorf("text: %s: column %q %w", name, want, err)
		}
		out = append(out, column{name: want, index: leaf.ColumnIndex, text: kind == parquet.ByteArray})
	}
	return out, nil
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
