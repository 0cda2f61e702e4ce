package text

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// plainReader reads plain text: a document is a paragraph or the whole file.
type plainReader struct{ cfg CorpusConfig }

func (r plainReader) read(f *os.File, name string, emit emit) error {
	if r.cfg.Unit == "file" {
		return r.whole(f, name, emit)
	}
	return r.paragraphs(f, name, emit)
}

func (r plainReader) whole(f *os.File, name string, emit emit) error {
	limit := int64(r.cfg.MaxLineBytes)
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return fmt.Errorf("text: read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return fmt.Errorf("text: %s is longer than %d bytes; raise max_line_bytes, or set unit: paragraph", name, limit)
	}
	body := bytes.TrimPrefix(b, []byte(bom))
	s, err := r.cfg.clean(body, name, int64(len(b)-len(body)))
	if err != nil {
		return err
	}
	emit(Doc{Source: name, Group: name, Text: strings.TrimSpace(s)})
	return nil
}

// paragraphs joins the lines between blank lines, each with its trailing space removed, by line feeds.
func (r plainReader) paragraphs(f io.Reader, name string, emit emit) error {
	var (
		in    = newLines(f, name, r.cfg.MaxLineBytes)
		para  strings.Builder
		first int // line of the paragraph's start
	)
	flush := func() bool {
		if para.Len() == 0 {
			return true
		}
		d := Doc{Source: fmt.Sprintf("%s:%d", name, first), Group: name, Text: para.String()}
		para.Reset()
		return emit(d)
	}
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
		s, err := r.cfg.clean(line, fmt.Sprintf("%s:%d", name, in.num), in.start)
		if err != nil {
			return err
		}
		if s = strings.TrimRight(s, " \t\r\f\v"); s == "" {
			if !flush() {
				return nil
			}
			continue
		}
		if para.Len() == 0 {
			first = in.num
		} else {
			para.WriteByte('\n')
		}
		para.WriteString(s)
		if para.Len() > r.cfg.MaxLineBytes {
			return fmt.Errorf("text: %s:%d: the paragraph is longer than %d bytes; raise max_line_bytes if it is meant to be", name, first, r.cfg.MaxLineBytes)
		}
	}
}
