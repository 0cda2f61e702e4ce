package jinja

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// toString is Python's str, with nothing for undefined.
func toString(v value) string {
	switch v := v.(type) {
	case string:
		return v
	case undefined:
		return ""
	}
	var b strings.Builder
	repr(&b, v)
	return b.String()
}

// repr is Python's repr.
func repr(b *strings.Builder, v value) {
	series := func(open string, vs []value, end string) {
		b.WriteString(open)
		for i, e := range vs {
			if i > 0 {
				b.WriteString(", ")
			}
			repr(b, e)
		}
		b.WriteString(end)
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case float64:
		b.WriteString(formatFloat(v))
	case string:
		reprString(b, v)
	case undefined:
		b.WriteString("Undefined")
	case list:
		series("[", v, "]")
	case tuple:
		if len(v) == 1 {
			series("(", v, ",)")
		} else {
			series("(", v, ")")
		}
	case *Dict:
		reprDict(b, v)
	default:
		fmt.Fprintf(b, "<%s>", typeName(v))
	}
}

func reprDict(b *strings.Builder, d *Dict) {
	b.WriteByte('{')
	for i, k := range d.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		repr(b, k)
		b.WriteString(": ")
		repr(b, d.values[k])
	}
	b.WriteByte('}')
}

// reprString quotes with ' unless the text has that and no ".
func reprString(b *strings.Builder, s string) {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
}

// formatFloat is the shortest decimal that reads back the same, with an exponent below 1e-4 and from 1e16.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// jsonStyle holds the options of tojson.
type jsonStyle struct {
	ascii     bool
	indent    string // of one level
	lines     bool   // one item a line
	item, key string // separators
	sortKeys  bool
}

// writeJSON is Python's json.dumps.
func writeJSON(b *strings.Builder, v value, style jsonStyle, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("data nested deeper than %d", maxDepth)
	}
	line := func(depth int) {
		if style.lines {
			b.WriteByte('\n')
			b.WriteString(strings.Repeat(style.indent, depth))
		}
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool, int64:
		b.WriteString(strings.ToLower(toString(v)))
	case float64:
		s := formatFloat(v)
		if name, ok := map[string]string{"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN"}[s]; ok {
			s = name
		}
		b.WriteString(s)
	case string:
		quoteJSON(b, v, style.ascii)
	case list, tuple:
		all, _ := items(v)
		if len(all) == 0 {
			b.WriteString("[]")
			return nil
		}
		b.WriteByte('[')
		for i, e := range all {
			if i > 0 {
				b.WriteString(style.item)
			}
			line(depth + 1)
			if err := writeJSON(b, e, style, depth+1); err != nil {
				return err
			}
		}
		line(depth)
		b.WriteByte(']')
	case *Dict:
		keys, err := jsonKeys(v, style.sortKeys)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			b.WriteString("{}")
			return nil
		}
		b.WriteByte('{')
		for i, k := range keys {
			if i > 0 {
				b.WriteString(style.item)
			}
			line(depth + 1)
			name, ok := k.(string)
			if !ok {
				var plain strings.Builder
				if err := writeJSON(&plain, k, style, depth+1); err != nil {
					return err
				}
				name = plain.String()
			}
			quoteJSON(b, name, style.ascii)
			b.WriteString(style.key)
			if err := writeJSON(b, v.values[k], style, depth+1); err != nil {
				return err
			}
		}
		line(depth)
		b.WriteByte('}')
	default:
		return fmt.Errorf("a value of type %s has no JSON form", typeName(v))
	}
	return nil
}

func jsonKeys(d *Dict, sorted bool) ([]value, error) {
	if !sorted {
		return d.keys, nil
	}
	return sortedBy(d.keys, func(v value) (value, error) { return v, nil }, false)
}

func quoteJSON(b *strings.Builder, s string, ascii bool) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\f':
			b.WriteString(`\f`)
		case r == '\b':
			b.WriteString(`\b`)
		case r < 0x20 || ascii && r >= 0x7F && r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		case ascii && r >= 0x10000:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
