package text

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// csvReader reads comma-separated values (RFC 4180) with a header line.
type csvReader struct{ cfg CorpusConfig }

func (r csvReader) read(f *os.File, name string, emit emit) error { return r.rows(f, name, emit) }

func (r csvReader) rows(f io.Reader, name string, emit emit) error {
	in := &recordLimit{r: f, limit: r.cfg.MaxLineBytes}
	rows := csv.NewReader(in)
	rows.Comma, _ = utf8.DecodeRuneInString(r.cfg.Delimiter)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("text: %s: %w: the file is empty; it needs a header line with column names", name, ErrEmpty)
	}
	if err != nil {
		return csvError(name, err)
	}
	columns, names := slices.Clone(header), r.cfg.fields()
	columns[0] = strings.TrimPrefix(columns[0], bom)
	at := make([]int, len(names))
	for i, want := range names {
		if at[i] = slices.Index(columns, want); at[i] < 0 {
			return missing(name+":1", "column", want, columns)
		}
	}
	values := make([]string, len(names))
	for {
		in.size = 0
		start := rows.InputOffset()
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(name, err)
		}
		line, _ := rows.FieldPos(0)
		where := fmt.Sprintf("%s:%d", name, line)
		for i, col := range at {
			if values[i], err = r.cfg.clean([]byte(row[col]), fmt.Sprintf("%s, column %q, record at byte %d", where, names[i], start), 0); err != nil {
				return err
			}
		}
		if !emit(r.cfg.doc(values, where, name)) {
			return nil
		}
	}
}

func csvError(name string, err error) error {
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Errorf("text: %s:%d: record from line %d: %w; correct the record or the delimiter", name, parse.Line, parse.StartLine, parse.Err)
	}
	return fmt.Errorf("text: %s: %w", name, err)
}

// recordLimit stops reading when one record is longer than limit, give or take a buffer: a quote that is never closed
// would otherwise take the whole file into memory.
type recordLimit struct {
	r           io.Reader
	size, limit int
}

func (l *recordLimit) Read(p []byte) (int, error) {
	if l.size > l.limit {
		return 0, fmt.Errorf("a record is longer than %d bytes; close its quote, or raise max_line_bytes", l.limit)
	}
	n, err := l.r.Read(p)
	l.size += n
	return n, err
}
