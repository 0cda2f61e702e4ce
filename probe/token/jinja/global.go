package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// globals are the functions that every template has.
var globals = map[string]value{
	"range":           function(rangeOf),
	"namespace":       function(newNamespace),
	"dict":            function(newDict),
	"raise_exception": function(raise),
	"strftime_now":    function(strftimeNow),
}

// maxRange is the longest range, as in Jinja's sandbox.
const maxRange = 100_000

func rangeOf(r *renderer, args arguments) (value, error) {
	var n [3]int64
	for i, v := range args.pos {
		_, k, isInt, ok := number(v)
		if i > 2 || !ok || !isInt {
			return nil, fmt.Errorf("range takes one to three integers")
		}
		n[i] = k
	}
	from, to, step := n[0], n[1], n[2]
	switch len(args.pos) {
	case 0:
		return nil, fmt.Errorf("range takes one to three integers")
	case 1:
		from, to, step = 0, n[0], 1
	case 2:
		step = 1
	}
	if step == 0 {
		return nil, fmt.Errorf("range with step zero")
	}
	out := list{}
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		if len(out) == maxRange {
			return nil, fmt.Errorf("%w: a range of more than %d", ErrLimit, maxRange)
		}
		out = append(out, i)
		next, err := integers64("+", i, step)
		if err != nil {
			break
		}
		i = next.(int64)
	}
	return out, r.spend(len(out))
}

// entries fills a Dict from the arguments of dict() and namespace().
func entries(args arguments) (*Dict, error) {
	d := NewDict()
	for _, from := range args.pos {
		other, ok := from.(*Dict)
		if !ok || len(args.pos) > 1 {
			return nil, fmt.Errorf("takes at most one dict, and named values")
		}
		for _, k := range other.keys {
			d.put(k, other.values[k])
		}
	}
	for _, name := range args.order {
		d.put(name, args.named[name])
	}
	return d, nil
}

func newNamespace(_ *renderer, args arguments) (value, error) {
	d, err := entries(args)
	if err != nil {
		return nil, fmt.Errorf("namespace: %w", err)
	}
	for _, k := range d.keys {
		if s, ok := k.(string); ok && strings.HasPrefix(s, "_") {
			return nil, fmt.Errorf("namespace: attribute '%s' is not allowed", s)
		}
	}
	return &namespace{*d}, nil
}

func newDict(_ *renderer, args arguments) (value, error) {
	d, err := entries(args)
	if err != nil {
		return nil, fmt.Errorf("dict: %w", err)
	}
	return d, nil
}

func raise(r *renderer, args arguments) (value, error) {
	bound, err := args.bind("message")
	if err != nil {
		return nil, err
	}
	s, err := r.text(bound["message"])
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %s", ErrRaised, s)
}

func strftimeNow(r *renderer, args arguments) (value, error) {
	bound, err := args.bind("format")
	if err != nil {
		return nil, err
	}
	format, ok := bound["format"].(string)
	if !ok {
		return nil, fmt.Errorf("strftime_now needs a format")
	}
	if r.now.IsZero() {
		return nil, fmt.Errorf("the template asks for the time; give one, so that its output is the same tomorrow")
	}
	s, err := strftime(r.now, format)
	if err != nil {
		return nil, err
	}
	return r.sized(s)
}

// strftime formats a time in the C locale.
func strftime(t time.Time, format string) (string, error) {
	layouts := map[byte]string{'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'B': "January", 'b': "Jan",
		'h': "Jan", 'A': "Monday", 'a': "Mon", 'I': "03", 'p': "PM", 'e': "_2", 'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06",
		'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		plain := false
		if format[i] == '-' && i+1 < len(format) {
			plain = true
			i++
		}
		field, ok := "", false
		switch format[i] {
		case '%':
			field, ok = "%", true
		case 'n':
			field, ok = "\n", true
		case 't':
			field, ok = "\t", true
		case 'j':
			field, ok = fmt.Sprintf("%03d", t.YearDay()), true
		case 'w':
			field, ok = strconv.Itoa(int(t.Weekday())), true
		default:
			var layout string
			if layout, ok = layouts[format[i]]; ok {
				field = t.Format(layout)
			}
		}
		if !ok {
			return "", fmt.Errorf("strftime_now: format %%%c is not known", format[i])
		}
		if plain {
			if field = strings.TrimLeft(field, "0 "); field == "" {
				field = "0"
			}
		}
		b.WriteString(field)
	}
	return b.String(), nil
}
