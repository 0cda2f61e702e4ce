package text

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// jsonlReader reads one JSON object a line. Blank lines are passed over.
type jsonlReader struct{ cfg CorpusConfig }

func (r jsonlReader) read(f *os.File, name string, emit emit) error { return r.lines(f, name, emit) }

func (r jsonlReader) lines(f io.Reader, name string, emit emit) error {
	in := newLines(f, name, r.cfg.MaxLineBytes)
	names := r.cfg.fields()
	values := make([]string, len(names))
	for {
		line, err := in.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		where := fmt.Sprintf("%s:%d", name, in.num)
		if err := r.record(line, in, where, names, values); err != nil {
			return err
		}
		if !emit(r.cfg.doc(values, where, name)) {
			return nil
		}
	}
}

// record decodes one line into values, one for each name.
func (r jsonlReader) record(line []byte, in *lines, where string, names, values []string) error {
	s, err := r.cfg.clean(line, where, in.start)
	if err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &object); err != nil {
		cure := "correct or remove the line"
		if !in.ended {
			cure = "it is the last line and has no line break: the file may be truncated; fetch it again or remove the line"
		}
		return fmt.Errorf("text: %s: not a JSON object: %w; %s", where, err, cure)
	}
	if object == nil {
		return fmt.Errorf("text: %s: null is not a JSON object; correct or remove the line", where)
	}
	for i, name := range names {
		raw, err := lookUp(object, name, where)
		if err != nil {
			return err
		}
		if values[i], err = r.scalar(raw, i == 0, name, where); err != nil {
			return err
		}
	}
	return nil
}

// lookUp finds a field by its name, else by its name as a path of objects separated by dots.
func lookUp(object map[string]json.RawMessage, name, where string) (json.RawMessage, error) {
	if raw, ok := object[name]; ok {
		return raw, nil
	}
	head, rest, nested := strings.Cut(name, ".")
	raw, ok := object[head]
	if !ok || !nested {
		return nil, missing(where, "field", name, slices.Sorted(maps.Keys(object)))
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return nil, fmt.Errorf("text: %s: field %q is not an object, so it has no %q; correct the field's name", where, head, rest)
	}
	return lookUp(inner, rest, where)
}

// scalar is the value of a field as text. The text itself must be a string or null; null is the empty string.
func (r jsonlReader) scalar(raw json.RawMessage, isText bool, name, where string) (string, error) {
	switch {
	case string(raw) == "null":
		return "", nil
	case raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("text: %s: field %q: %w", where, name, err)
		}
		if r.cfg.InvalidUTF8 == "error" && loneSurrogate(string(raw), s) {
			return "", fmt.Errorf(`text: %s: field %q has half of a surrogate pair (\ud800 to \udfff); correct the line, or set invalid_utf8: replace`, where, name)
		}
		return s, nil
	case isText:
		return "", fmt.Errorf("text: %s: field %q is not a string but %s; name another text_field", where, name, abridge(string(raw)))
	case raw[0] == '{' || raw[0] == '[':
		return "", fmt.Errorf("text: %s: field %q is a list or an object and cannot be a label: %s; name one of its fields as %s.FIELD", where, name, abridge(string(raw)), name)
	}
	return string(raw), nil
}

// loneSurrogate tells whether decoding put in a U+FFFD that the JSON text does not have.
func loneSurrogate(raw, decoded string) bool {
	n := strings.Count(decoded, string(utf8.RuneError))
	return n > 0 && n > strings.Count(raw, string(utf8.RuneError))+strings.Count(strings.ToLower(raw), `\ufffd`)
}

// abridge shortens a value for an error.
func abridge(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
