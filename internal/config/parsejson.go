package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonReader walks the tokens of a JSON document and knows the line it is on.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	pos  int // bytes whose newlines are counted in line
	line int
}

// maxDepth bounds the nesting of a JSON document.
const maxDepth = 100

func parseJSON(data []byte) (*raw, error) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), line: 1}
	v, err := r.value(0)
	if err != nil {
		if errors.Is(err, io.EOF) && r.dec.InputOffset() == 0 {
			return nil, errors.New("the file is empty")
		}
		return nil, fmt.Errorf("line %d: %w", r.at(), err)
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: more follows after the end of the document", r.at())
	}
	return v, nil
}

// at returns the line of the token read last.
func (r *jsonReader) at() int {
	end := min(int(r.dec.InputOffset()), len(r.data))
	r.line += bytes.Count(r.data[r.pos:end], []byte{'\n'})
	r.pos = end
	return r.line
}

func (r *jsonReader) value(depth int) (*raw, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	out := &raw{line: r.at()}
	switch t {
	case json.Delim('{'):
		out.fields = []rawField{}
		for r.dec.More() {
			k, err := r.dec.Token()
			if err != nil {
				return nil, err
			}
			line := r.at()
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out.fields = append(out.fields, rawField{key: k.(string), line: line, value: v}) // the decoder allows only strings here
		}
		_, err = r.dec.Token()
	case json.Delim('['):
		out.items = []*raw{}
		for r.dec.More() {
			v, err := r.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out.items = append(out.items, v)
		}
		_, err = r.dec.Token()
	default:
		out.scalar, out.null = true, t == nil
	}
	return out, err
}
