package jinja

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// filterFunc computes in | name(args).
type filterFunc func(r *renderer, in value, args arguments) (value, error)

// filters are the filters that templates may use. It is filled in here alone; those that call filters themselves are in
// filter_select.go.
var filters = map[string]filterFunc{
	"trim": func(r *renderer, in value, args arguments) (value, error) {
		s, err := r.text(in)
		if err != nil {
			return nil, err
		}
		return stringMethods["strip"](r, s, args)
	},
	"upper":      onText(upperCase),
	"lower":      onText(lowerCase),
	"title":      onText(titleWords),
	"capitalize": onText(capitalize),
	"string":     onText(func(s string) string { return s }),
	"safe":       onText(func(s string) string { return s }),
	"escape":     onText(escapeHTML),
	"e":          onText(escapeHTML),
	"length":     filterLength,
	"count":      filterLength,
	"replace": func(r *renderer, in value, args arguments) (value, error) {
		s, err := r.text(in)
		if err != nil {
			return nil, err
		}
		return replaceAll(r, s, args)
	},
	"join":    filterJoin,
	"default": filterDefault,
	"d":       filterDefault,
	"first":   func(r *renderer, in value, _ arguments) (value, error) { return edge(in, false) },
	"last":    func(r *renderer, in value, _ arguments) (value, error) { return edge(in, true) },
	"list": func(r *renderer, in value, _ arguments) (value, error) {
		vs, err := items(in)
		return list(vs), err
	},
	"items": func(r *renderer, in value, _ arguments) (value, error) {
		if _, ok := in.(undefined); ok {
			return list{}, nil
		}
		d, ok := in.(*Dict)
		if !ok {
			return nil, fmt.Errorf("needs a dict, not %s", typeName(in))
		}
		return d.items(), nil
	},
	"int":      filterInt,
	"float":    filterFloat,
	"abs":      filterAbs,
	"round":    filterRound,
	"tojson":   filterJSON,
	"indent":   filterIndent,
	"reverse":  filterReverse,
	"sort":     filterSort,
	"unique":   filterUnique,
	"dictsort": filterDictSort,
	"sum":      filterSum,
	"min":      func(r *renderer, in value, _ arguments) (value, error) { return extreme(in, -1) },
	"max":      func(r *renderer, in value, _ arguments) (value, error) { return extreme(in, 1) },
	// The following run other filters and tests; see (*renderer).filter.
	"map": nil, "select": nil, "reject": nil, "selectattr": nil, "rejectattr": nil,
}

// filter computes in | name(args).
func (r *renderer) filter(name string, in value, args arguments) (value, error) {
	if err := r.spendOn(in); err != nil {
		return nil, err
	}
	switch name {
	case "map":
		return r.mapped(in, args)
	case "select", "reject":
		return r.chosen(in, args, "", name == "reject")
	case "selectattr", "rejectattr":
		if len(args.pos) == 0 {
			return nil, fmt.Errorf("needs the name of an attribute")
		}
		attr, ok := args.pos[0].(string)
		if !ok {
			return nil, fmt.Errorf("needs the name of an attribute, not %s", typeName(args.pos[0]))
		}
		args.pos = args.pos[1:]
		return r.chosen(in, args, attr, name == "rejectattr")
	}
	return filters[name](r, in, args)
}

func onText(f func(string) string) filterFunc {
	return func(r *renderer, in value, args arguments) (value, error) {
		if _, err := args.bind(); err != nil {
			return nil, err
		}
		s, err := r.text(in)
		if err != nil {
			return nil, err
		}
		return r.sized(f(s))
	}
}

var wordStarts = regexp.MustCompile(`[-\s({\[<]+`)

// titleWords is the filter title, which differs from the method: a word starts after white space or an opening bracket only.
func titleWords(s string) string {
	var b strings.Builder
	end := 0
	for _, gap := range append(wordStarts.FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
		b.WriteString(capitalize(s[end:gap[0]]))
		b.WriteString(s[gap[0]:gap[1]])
		end = gap[1]
	}
	return b.String()
}

func escapeHTML(s string) string {
	return strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

func filterLength(_ *renderer, in value, args arguments) (value, error) {
	n, err := length(in)
	return int64(n), err
}

func filterJoin(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("d", "attribute")
	if err != nil {
		return nil, err
	}
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	if attr, ok := bound["attribute"].(string); ok {
		if vs, err = attributes(vs, attr); err != nil {
			return nil, err
		}
	}
	return r.join(vs, toString(orDefault(bound, "d", "")))
}

// attributes returns the attribute of each value.
func attributes(vs []value, name string) ([]value, error) {
	out := make([]value, len(vs))
	for i, v := range vs {
		var err error
		if out[i], err = path(v, name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// path follows names and numbers with dots between them.
func path(v value, name string) (value, error) {
	for _, part := range strings.Split(name, ".") {
		var at value = part
		if i, err := strconv.ParseInt(part, 10, 64); err == nil {
			at = i
		}
		var err error
		if v, err = item(v, at); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func orDefault(bound map[string]value, name string, other value) value {
	if v, ok := bound[name]; ok {
		return v
	}
	return other
}

func filterDefault(_ *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("default_value", "boolean")
	if err != nil {
		return nil, err
	}
	if _, missing := in.(undefined); missing || truthy(bound["boolean"]) && !truthy(in) {
		return orDefault(bound, "default_value", ""), nil
	}
	return in, nil
}

func edge(in value, last bool) (value, error) {
	vs, err := items(in)
	if err != nil {
		return nil, err
	}
	if len(vs) == 0 {
		return undefined{"an item of an empty list"}, nil
	}
	if last {
		return vs[len(vs)-1], nil
	}
	return vs[0], nil
}

func filterInt(_ *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("default", "base")
	if err != nil {
		return nil, err
	}
	if s, ok := in.(string); ok {
		s = strings.TrimSpace(s)
		if i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64); err == nil {
			return i, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f), nil
		}
	}
	if u, ok := in.(undefined); ok {
		return nil, fmt.Errorf("'%s' is undefined", u.name)
	}
	if f, i, isInt, ok := number(in); ok && isInt {
		return i, nil
	} else if ok && math.Abs(f) < 1<<62 {
		return int64(f), nil
	}
	return orDefault(bound, "default", int64(0)), nil
}

func filterFloat(_ *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("default")
	if err != nil {
		return nil, err
	}
	if s, ok := in.(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return f, nil
		}
	}
	if u, ok := in.(undefined); ok {
		return nil, fmt.Errorf("'%s' is undefined", u.name)
	}
	if f, _, _, ok := number(in); ok {
		return f, nil
	}
	return orDefault(bound, "default", 0.0), nil
}

func filterAbs(_ *renderer, in value, _ arguments) (value, error) {
	f, i, isInt, ok := number(in)
	switch {
	case !ok:
		return nil, fmt.Errorf("needs a number, not %s", typeName(in))
	case isInt && i < 0:
		return integers64("-", 0, i)
	case isInt:
		return i, nil
	}
	return math.Abs(f), nil
}

func filterRound(_ *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("precision", "method")
	if err != nil {
		return nil, err
	}
	f, _, _, ok := number(in)
	_, digits, isInt, okDigits := number(orDefault(bound, "precision", int64(0)))
	if !ok || !okDigits || !isInt || digits < -300 || digits > 300 {
		return nil, fmt.Errorf("needs a number and a precision")
	}
	scale := math.Pow(10, float64(digits))
	switch orDefault(bound, "method", "common") {
	case "common":
		if digits >= 0 {
			return strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
		}
		return math.RoundToEven(f*scale) / scale, nil
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	}
	return nil, fmt.Errorf("method must be common, ceil or floor")
}

func filterJSON(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	style := jsonStyle{ascii: truthy(bound["ensure_ascii"]), sortKeys: truthy(bound["sort_keys"]), item: ", ", key: ": "}
	switch indent := bound["indent"].(type) {
	case nil:
	case string:
		style.lines, style.indent = true, indent
	default:
		_, n, isInt, ok := number(indent)
		if !ok || !isInt || n > maxDepth {
			return nil, fmt.Errorf("indent must be a small int or a str")
		}
		style.lines, style.indent = true, strings.Repeat(" ", int(max(n, 0)))
	}
	if style.lines {
		style.item = ","
	}
	if v := bound["separators"]; v != nil {
		pair, ok := sequence(v)
		if !ok || len(pair) != 2 {
			return nil, fmt.Errorf("separators must be two str")
		}
		style.item, style.key = toString(pair[0]), toString(pair[1])
	}
	if err := r.weigh(in, 0); err != nil {
		return nil, err
	}
	var b strings.Builder
	if err := writeJSON(&b, in, style, 0); err != nil {
		return nil, err
	}
	return r.sized(b.String())
}

func filterIndent(r *renderer, in value, args arguments) (value, error) {
	bound, err := args.bind("width", "first", "blank")
	if err != nil {
		return nil, err
	}
	s, err := r.text(in)
	if err != nil {
		return nil, err
	}
	pad := ""
	switch width := orDefault(bound, "width", int64(4)).(type) {
	case string:
		pad = width
	case int64:
		if width > 1000 {
			return nil, fmt.Errorf("width %d", width)
		}
		pad = strings.Repeat(" ", int(max(width, 0)))
	default:
		return nil, fmt.Errorf("width must be an int or a str")
	}
	if strings.Count(s, "\n")*len(pad)+len(s) > r.limits.Size {
		return nil, fmt.Errorf("%w: a string of more than %d bytes", ErrLimit, r.limits.Size)
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if i > 0 && (line != "" || truthy(bound["blank"])) || i == 0 && truthy(bound["first"]) {
			lines[i] = pad + line
		}
	}
	return r.sized(strings.Join(lines, "\n"))
}
