package text

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lines reads a file line by line, with a limit on the length of a line.
type lines struct {
	r      *bufio.Reader
	name   string // of the file, for errors
	limit  int
	num    int   // of the last line, from 1
	start  int64 // offset of the last line
	end    int64 // offset after it
	ended  bool  // the last line ended in a line feed
	buffer []byte
}

func newLines(r io.Reader, name string, limit int) *lines {
	return &lines{r: bufio.NewReaderSize(r, 64<<10), name: name, limit: limit}
}

// next returns the next line without its line break and without a byte order mark, or io.EOF. The bytes are good until the next call.
func (l *lines) next() ([]byte, error) {
	l.buffer, l.start, l.ended = l.buffer[:0], l.end, false
	for !l.ended {
		part, err := l.r.ReadSlice('\n')
		l.end += int64(len(part))
		l.ended = err == nil
		l.buffer = append(l.buffer, part...)
		if len(l.buffer) > l.limit+2 {
			return nil, fmt.Errorf("text: %s:%d: the line is longer than %d bytes; raise max_line_bytes if it is meant to be", l.name, l.num+1, l.limit)
		}
		if errors.Is(err, io.EOF) {
			if len(l.buffer) == 0 {
				return nil, io.EOF
			}
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("text: read %s at byte %d: %w", l.name, l.end, err)
		}
	}
	l.num++
	line := bytes.TrimSuffix(l.buffer, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if l.num == 1 && bytes.HasPrefix(line, []byte(bom)) {
		line = line[len(bom):]
		l.start += int64(len(bom))
	}
	if len(line) > l.limit {
		return nil, fmt.Errorf("text: %s:%d: the line is longer than %d bytes; raise max_line_bytes if it is meant to be", l.name, l.num, l.limit)
	}
	return line, nil
}
