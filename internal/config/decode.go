package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxExact is the largest whole number that a float64 (all that JSON has) holds exactly.
const maxExact = 1 << 53

// walk calls f for every leaf of the struct v, in key order.
func walk(v reflect.Value, n *node, f func(*node, reflect.Value)) {
	for _, c := range n.fields {
		if fv := v.FieldByIndex(c.index); c.isStruct() {
			walk(fv, c, f)
		} else {
			f(c, fv)
		}
	}
}

// derive lets v and the structs within it set the defaults that depend on other keys, the inner ones first. It tells
// whether there was any. Elements of lists see to themselves when they are filled.
func derive(v reflect.Value, n *node) bool {
	var any bool
	for _, c := range n.fields {
		if c.isStruct() && derive(v.FieldByIndex(c.index), c) {
			any = true
		}
	}
	d, ok := v.Addr().Interface().(Deriver)
	if ok {
		d.DeriveDefaults()
	}
	return ok || any
}

// decode fills the struct from viper's layers.
func (l *loader) decode(target reflect.Value) error {
	var errs []error
	walk(target, l.schema, func(n *node, v reflect.Value) {
		if n.inherit {
			return // when the rest is in place
		}
		errs = append(errs, l.decodeLeaf(n, v))
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	walk(target, l.schema, func(n *node, v reflect.Value) {
		if n.inherit {
			errs = append(errs, l.decodeInheriting(n, v, target))
		}
	})
	return errors.Join(errs...)
}

// value returns what viper has for n; text from the environment is parsed.
func (l *loader) value(n *node) (any, error) {
	x := l.v.Get(n.path)
	s, ok := x.(string)
	if !ok || !strings.HasPrefix(l.source(n.path), "$") {
		return x, nil
	}
	parsed, err := parseText(s, n)
	if err != nil {
		return nil, fmt.Errorf("config: %s: key %q: %w", l.source(n.path), n.path, err)
	}
	return parsed, nil
}

func (l *loader) decodeLeaf(n *node, v reflect.Value) error {
	x, err := l.value(n)
	if err != nil {
		return err
	}
	return l.assign(x, n, v, n.path)
}

// assign stores x, a value as viper's parsers give it, in v.
func (l *loader) assign(x any, n *node, v reflect.Value, key string) error {
	switch {
	case n.isStruct():
		return l.assignStruct(x, n, v, key)
	case n.isList():
		items, ok := x.([]any)
		if !ok {
			return l.wrong(x, n, key)
		}
		out := reflect.MakeSlice(n.typ, len(items), len(items))
		var errs []error
		for i, item := range items {
			errs = append(errs, l.assign(item, n.elem, out.Index(i), fmt.Sprintf("%s.%d", key, i)))
		}
		v.Set(out)
		return errors.Join(errs...)
	}
	if !assignScalar(x, n, v) {
		return l.wrong(x, n, key)
	}
	return nil
}

func (l *loader) assignStruct(x any, n *node, v reflect.Value, key string) error {
	m, ok := x.(map[string]any)
	if !ok {
		return l.wrong(x, n, key)
	}
	if d, ok := v.Addr().Interface().(Defaulter); ok {
		d.SetDefaults()
	}
	if err := l.assignFields(m, n, v, key); err != nil || !derive(v, n) {
		return err
	}
	return l.assignFields(m, n, v, key)
}

func (l *loader) assignFields(m map[string]any, n *node, v reflect.Value, key string) error {
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if n.field(k) == nil {
			errs = append(errs, fmt.Errorf("config: %s: %w", l.source(key), l.unknown(join(key, k), k, key, n)))
		}
	}
	for _, c := range n.fields {
		if item, ok := m[c.key]; ok {
			errs = append(errs, l.assign(item, c, v.FieldByIndex(c.index), join(key, c.key)))
		} else if c.enum != nil && !slices.Contains(c.enum, v.FieldByIndex(c.index).String()) {
			errs = append(errs, l.wrong(v.FieldByIndex(c.index).String(), c, join(key, c.key)))
		}
	}
	return errors.Join(errs...)
}

// wrong is the error for a value that does not fit.
func (l *loader) wrong(x any, n *node, key string) error {
	hint := ""
	if n.typ.Kind() == reflect.String && n.enum == nil {
		hint = "; put it in quotes"
	}
	return fmt.Errorf("config: %s: key %q wants %s, it has %s%s", l.source(key), key, n.want(), show(x), hint)
}

func show(x any) string {
	switch x := x.(type) {
	case nil:
		return "no value"
	case string:
		return strconv.Quote(x)
	case []any:
		return "a list"
	case map[string]any:
		return "a section"
	default:
		return fmt.Sprint(x)
	}
}

// assignScalar stores x if that loses nothing, and tells whether it did.
func assignScalar(x any, n *node, v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Bool:
		b, ok := x.(bool)
		v.SetBool(ok && b)
		return ok
	case reflect.String:
		s, ok := x.(string)
		ok = ok && utf8.ValidString(s) && (n.enum == nil || slices.Contains(n.enum, s))
		if ok {
			v.SetString(s)
		}
		return ok
	case reflect.Float32, reflect.Float64:
		f, ok := float(x)
		ok = ok && !math.IsNaN(f) && !math.IsInf(f, 0) && !v.OverflowFloat(f)
		if ok {
			v.SetFloat(f)
		}
		return ok
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, ok := whole(x)
		if ok = ok && !u.negative && !v.OverflowUint(u.abs); ok {
			v.SetUint(u.abs)
		}
		return ok
	default:
		u, ok := whole(x)
		i := int64(u.abs)
		if u.negative {
			i = -i
		}
		if ok = ok && u.abs <= math.MaxInt64 && !v.OverflowInt(i); ok {
			v.SetInt(i)
		}
		return ok
	}
}

// integer is a whole number of either sign.
type integer struct {
	abs      uint64
	negative bool
}

// whole converts a number without a fraction. A float beyond 2^53 is refused: it may not be what was written.
func whole(x any) (integer, bool) {
	switch v := reflect.ValueOf(x); v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i := v.Int()
		if i < 0 {
			return integer{abs: uint64(-i), negative: true}, i != math.MinInt64
		}
		return integer{abs: uint64(i)}, true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return integer{abs: v.Uint()}, true
	case reflect.Float32, reflect.Float64:
		f := v.Float()
		if f != math.Trunc(f) || math.Abs(f) > maxExact {
			return integer{}, false
		}
		return integer{abs: uint64(math.Abs(f)), negative: f < 0}, true
	}
	return integer{}, false
}

func float(x any) (float64, bool) {
	v := reflect.ValueOf(x)
	switch {
	case !v.IsValid():
		return 0, false
	case v.CanFloat():
		return v.Float(), true
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanUint():
		return float64(v.Uint()), true
	}
	return 0, false
}

// plain converts a field to what viper's parsers would give for it.
func plain(v reflect.Value, n *node) any {
	switch {
	case n.isStruct():
		m := make(map[string]any, len(n.fields))
		for _, c := range n.fields {
			m[c.key] = plain(v.FieldByIndex(c.index), c)
		}
		return m
	case n.isList():
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i), n.elem)
		}
		return out
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Float32:
		// The shortest decimal that gives the same float32, so that 0.1 shows as 0.1.
		f, err := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
		if err != nil {
			return v.Float()
		}
		return f
	case reflect.Float64:
		return v.Float()
	}
	if v.CanUint() {
		return v.Uint()
	}
	return v.Int()
}
