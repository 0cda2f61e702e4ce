package jinja

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// method returns of.name where it is a method. Methods that change their object do not exist: values are read-only.
func method(of value, name string) (value, bool) {
	switch of := of.(type) {
	case string:
		if m, ok := stringMethods[name]; ok {
			return function(func(r *renderer, args arguments) (value, error) {
				if err := r.spendOn(of); err != nil {
					return nil, err
				}
				v, err := m(r, of, args)
				if err != nil {
					return nil, fmt.Errorf("str.%s: %w", name, err)
				}
				return v, nil
			}), true
		}
	case *Dict:
		if m, ok := dictMethods[name]; ok {
			return function(func(r *renderer, args arguments) (value, error) {
				if err := r.spendOn(of); err != nil {
					return nil, err
				}
				return m(of, args)
			}), true
		}
	case list:
		return sequenceMethod(of, name)
	case tuple:
		return sequenceMethod(of, name)
	}
	return nil, false
}

func sequenceMethod(all []value, name string) (value, bool) {
	if name != "index" && name != "count" {
		return nil, false
	}
	return function(func(r *renderer, args arguments) (value, error) {
		bound, err := args.bind("value")
		if err != nil {
			return nil, err
		}
		count := int64(0)
		for i, v := range all {
			if !equal(v, bound["value"]) {
				continue
			}
			if name == "index" {
				return int64(i), nil
			}
			count++
		}
		if name == "index" {
			return nil, fmt.Errorf("the value is not in the list")
		}
		return count, nil
	}), true
}

var dictMethods = map[string]func(d *Dict, args arguments) (value, error){
	"get": func(d *Dict, args arguments) (value, error) {
		bound, err := args.bind("key", "default")
		if err != nil {
			return nil, err
		}
		if v, ok := d.get(bound["key"]); hashable(bound["key"]) && ok {
			return v, nil
		}
		return bound["default"], nil
	},
	"items": func(d *Dict, args arguments) (value, error) { return d.items(), nil },
	"keys":  func(d *Dict, args arguments) (value, error) { return list(d.keys), nil },
	"values": func(d *Dict, args arguments) (value, error) {
		out := make(list, len(d.keys))
		for i, k := range d.keys {
			out[i] = d.values[k]
		}
		return out, nil
	},
}

func (d *Dict) items() list {
	out := make(list, len(d.keys))
	for i, k := range d.keys {
		out[i] = tuple{k, d.values[k]}
	}
	return out
}

type stringMethod func(r *renderer, s string, args arguments) (value, error)

var stringMethods = map[string]stringMethod{
	"strip":        stripper(strings.TrimFunc, strings.Trim),
	"lstrip":       stripper(strings.TrimLeftFunc, strings.TrimLeft),
	"rstrip":       stripper(strings.TrimRightFunc, strings.TrimRight),
	"upper":        mapper(upperCase),
	"lower":        mapper(lowerCase),
	"title":        mapper(titleCase),
	"capitalize":   mapper(capitalize),
	"startswith":   affix(strings.HasPrefix),
	"endswith":     affix(strings.HasSuffix),
	"removeprefix": cutter(strings.TrimPrefix),
	"removesuffix": cutter(strings.TrimSuffix),
	"split":        func(r *renderer, s string, args arguments) (value, error) { return split(r, s, args, false) },
	"rsplit":       func(r *renderer, s string, args arguments) (value, error) { return split(r, s, args, true) },
	"splitlines":   splitLines,
	"replace":      replaceAll,
	"join":         func(r *renderer, s string, args arguments) (value, error) { return joinMethod(r, s, args) },
	"find":         finder(strings.Index),
	"rfind":        finder(strings.LastIndex),
	"count": func(r *renderer, s string, args arguments) (value, error) {
		sub, err := oneString(args)
		return int64(strings.Count(s, sub)), err
	},
	"isdigit": all(unicode.IsDigit),
	"isalpha": all(unicode.IsLetter),
	"isalnum": all(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isspace": all(isSpace),
	"isupper": cased(unicode.IsUpper, unicode.IsLower),
	"islower": cased(unicode.IsLower, unicode.IsUpper),
}

func oneString(args arguments) (string, error) {
	bound, err := args.bind("value")
	if err != nil {
		return "", err
	}
	s, ok := bound["value"].(string)
	if !ok {
		return "", fmt.Errorf("expected a str, not %s", typeName(bound["value"]))
	}
	return s, nil
}

func stripper(white func(string, func(rune) bool) string, set func(string, string) string) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind("chars")
		if err != nil {
			return nil, err
		}
		switch chars := bound["chars"].(type) {
		case nil:
			return white(s, isSpace), nil
		case string:
			return set(s, chars), nil
		}
		return nil, fmt.Errorf("expected a str, not %s", typeName(bound["chars"]))
	}
}

func mapper(f func(string) string) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind()
		return f(s), err
	}
}

// affix tests for one string or for any of a tuple.
func affix(has func(string, string) bool) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		bound, err := args.bind("value")
		if err != nil {
			return nil, err
		}
		any, ok := bound["value"].(tuple)
		if !ok {
			any = tuple{bound["value"]}
		}
		for _, v := range any {
			a, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("expected a str or a tuple of str, not %s", typeName(v))
			}
			if has(s, a) {
				return true, nil
			}
		}
		return false, nil
	}
}

func cutter(cut func(string, string) string) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		a, err := oneString(args)
		return cut(s, a), err
	}
}

func finder(index func(string, string) int) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		sub, err := oneString(args)
		if i := index(s, sub); i >= 0 {
			return int64(utf8.RuneCountInString(s[:i])), err
		}
		return int64(-1), err
	}
}

func all(in func(rune) bool) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind()
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !in(r) }) < 0, err
	}
}

func cased(want, other func(rune) bool) stringMethod {
	return func(_ *renderer, s string, args arguments) (value, error) {
		_, err := args.bind()
		return strings.ContainsFunc(s, want) && !strings.ContainsFunc(s, other), err
	}
}

// split is str.split and str.rsplit: at white space, or at a separator, at most maxsplit times.
func split(r *renderer, s string, args arguments, fromRight bool) (value, error) {
	bound, err := args.bind("sep", "maxsplit")
	if err != nil {
		return nil, err
	}
	most := int64(-1)
	if v, ok := bound["maxsplit"]; ok {
		_, i, isInt, ok := number(v)
		if !ok || !isInt {
			return nil, fmt.Errorf("maxsplit must be an int, not %s", typeName(v))
		}
		most = i
	}
	var parts []string
	switch sep := bound["sep"].(type) {
	case nil:
		parts = splitSpace(s, most, fromRight)
	case string:
		if sep == "" {
			return nil, fmt.Errorf("empty separator")
		}
		parts = splitAt(s, sep, most, fromRight)
	default:
		return nil, fmt.Errorf("expected a str, not %s", typeName(sep))
	}
	out := make(list, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, r.spend(len(out))
}

func splitAt(s, sep string, most int64, fromRight bool) []string {
	if most < 0 || most >= int64(len(s)) {
		return strings.Split(s, sep)
	}
	if !fromRight {
		return strings.SplitN(s, sep, int(most)+1)
	}
	var parts []string
	for ; most > 0; most-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append([]string{s[i+len(sep):]}, parts...)
		s = s[:i]
	}
	return append([]string{s}, parts...)
}

func splitSpace(s string, most int64, fromRight bool) []string {
	if most < 0 || most >= int64(len(s)) {
		return strings.Fields(s)
	}
	var parts []string
	if fromRight {
		for s = strings.TrimRightFunc(s, isSpace); s != "" && most > 0; most-- {
			i := strings.LastIndexFunc(s, isSpace)
			if i < 0 {
				break
			}
			_, n := utf8.DecodeRuneInString(s[i:])
			parts = append([]string{s[i+n:]}, parts...)
			s = strings.TrimRightFunc(s[:i], isSpace)
		}
		if s != "" {
			parts = append([]string{s}, parts...)
		}
		return parts
	}
	for s = strings.TrimLeftFunc(s, isSpace); s != "" && most > 0; most-- {
		i := strings.IndexFunc(s, isSpace)
		if i < 0 {
			break
		}
		parts = append(parts, s[:i])
		s = strings.TrimLeftFunc(s[i:], isSpace)
	}
	if s != "" {
		parts = append(parts, s)
	}
	return parts
}

// lineEnds are the line boundaries of str.splitlines, CR LF being one.
const lineEnds = "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029"

func splitLines(r *renderer, s string, args arguments) (value, error) {
	bound, err := args.bind("keepends")
	if err != nil {
		return nil, err
	}
	keep := truthy(bound["keepends"])
	out := list{}
	for s != "" {
		i := strings.IndexAny(s, lineEnds)
		if i < 0 {
			out = append(out, s)
			break
		}
		_, n := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			n = 2
		}
		if keep {
			out = append(out, s[:i+n])
		} else {
			out = append(out, s[:i])
		}
		s = s[i+n:]
	}
	return out, r.spend(len(out))
}

func replaceAll(r *renderer, s string, args arguments) (value, error) {
	bound, err := args.bind("old", "new", "count")
	if err != nil {
		return nil, err
	}
	from, okFrom := bound["old"].(string)
	to, okTo := bound["new"].(string)
	if !okFrom || !okTo {
		return nil, fmt.Errorf("needs two str, not %s and %s", typeName(bound["old"]), typeName(bound["new"]))
	}
	most := -1
	if _, i, isInt, ok := number(bound["count"]); ok && isInt && bound["count"] != nil {
		most = int(min(i, int64(len(s)+1)))
	}
	// The result is measured before it is made.
	times := strings.Count(s, from)
	if most >= 0 {
		times = min(times, most)
	}
	if len(to) > len(from) && times > (r.limits.Size-len(s))/(len(to)-len(from)) {
		return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, r.limits.Size)
	}
	return r.sized(strings.Replace(s, from, to, most))
}

func joinMethod(r *renderer, sep string, args arguments) (value, error) {
	bound, err := args.bind("values")
	if err != nil {
		return nil, err
	}
	vs, err := items(bound["values"])
	if err != nil {
		return nil, err
	}
	for _, v := range vs {
		if _, ok := v.(string); !ok {
			return nil, fmt.Errorf("expected str, not %s", typeName(v))
		}
	}
	return r.join(vs, sep)
}

// join writes values one after the other with a separator between them.
func (r *renderer) join(vs []value, sep string) (value, error) {
	var b strings.Builder
	for i, v := range vs {
		if i > 0 {
			b.WriteString(sep)
		}
		s, err := r.text(v)
		if err != nil {
			return nil, err
		}
		b.WriteString(s)
		if b.Len() > r.limits.Size {
			return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, r.limits.Size)
		}
	}
	return r.sized(b.String())
}

// upperCase and lowerCase are the full mappings of Unicode, as Python's: one character may become several.
func upperCase(s string) string { return cases.Upper(language.Und).String(s) }
func lowerCase(s string) string { return cases.Lower(language.Und).String(s) }

// titleCase capitalises each run of letters.
func titleCase(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		was := inWord
		inWord = unicode.IsLetter(r)
		switch {
		case inWord && !was:
			return unicode.ToTitle(r)
		case inWord:
			return unicode.ToLower(r)
		}
		return r
	}, s)
}

func capitalize(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + lowerCase(s[n:])
}

// isSpace is the white space of Python's str methods.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
