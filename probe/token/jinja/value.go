package jinja

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"unicode/utf8"
)

// A value is one of: nil (none), bool, int64, float64, string, list, tuple, generator, *Dict, *namespace, undefined, function.
type value = any

type (
	list      []value
	tuple     []value
	generator []value // what map, select and their kind give: true in tests, without a length
	undefined struct{ name string }
	function  func(r *renderer, args arguments) (value, error)
	namespace struct{ Dict }
)

// Dict is a mapping that keeps the order of its keys.
type Dict struct {
	keys   []value
	values map[value]value
}

// NewDict returns an empty Dict.
func NewDict() *Dict { return &Dict{values: map[value]value{}} }

// Set adds or replaces an entry. The value may be anything that Render takes.
func (d *Dict) Set(key string, v any) *Dict {
	d.put(key, v)
	return d
}

// Keys returns the keys that are strings, in order.
func (d *Dict) Keys() []string {
	var out []string
	for _, k := range d.keys {
		if s, ok := k.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Get returns an entry.
func (d *Dict) Get(key string) (any, bool) { return d.get(key) }

func (d *Dict) put(key, v value) {
	if _, ok := d.values[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.values[key] = v
}

func (d *Dict) get(key value) (value, bool) {
	v, ok := d.values[hashKey(key)]
	return v, ok
}

// hashKey makes keys that Python holds equal equal: True is 1 is 1.0.
func hashKey(key value) value {
	switch k := key.(type) {
	case bool:
		if k {
			return int64(1)
		}
		return int64(0)
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<53 {
			return int64(k)
		}
	}
	return key
}

// hashable tells whether a value can be a key.
func hashable(v value) bool {
	switch v.(type) {
	case nil, bool, int64, float64, string:
		return true
	}
	return false
}

// maxDepth bounds the nesting of templates, of the data that they get and of calls.
const maxDepth = 100

// fromGo turns data of the caller into a value. Maps without order are ordered by key.
func fromGo(v any, depth int) (value, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("jinja: data nested deeper than %d", maxDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case float32:
		return float64(v), nil
	case []string:
		out := make(list, len(v))
		for i, s := range v {
			out[i] = s
		}
		return out, nil
	case []any:
		out := make(list, len(v))
		for i, e := range v {
			var err error
			if out[i], err = fromGo(e, depth+1); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		d := NewDict()
		for _, k := range keys {
			d.Set(k, v[k])
		}
		return fromGo(d, depth)
	case *Dict:
		out := NewDict()
		for _, k := range v.keys {
			e, err := fromGo(v.values[k], depth+1)
			if err != nil {
				return nil, err
			}
			out.put(k, e)
		}
		return out, nil
	}
	return nil, fmt.Errorf("jinja: a template cannot have a %T; give strings, numbers, lists and maps", v)
}

// typeName is Python's name of a value's type.
func typeName(v value) string {
	switch v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case list:
		return "list"
	case tuple:
		return "tuple"
	case generator:
		return "generator"
	case *Dict:
		return "dict"
	case *namespace:
		return "Namespace"
	case undefined:
		return "Undefined"
	}
	return "function"
}

func truthy(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case list:
		return len(v) > 0
	case tuple:
		return len(v) > 0
	case *Dict:
		return len(v.keys) > 0
	}
	return true
}

// length is Python's len.
func length(v value) (int, error) {
	switch v := v.(type) {
	case undefined:
		return 0, nil
	case string:
		return utf8.RuneCountInString(v), nil
	case list:
		return len(v), nil
	case tuple:
		return len(v), nil
	case *Dict:
		return len(v.keys), nil
	}
	return 0, fmt.Errorf("object of type '%s' has no len()", typeName(v))
}

// items returns what a loop over v visits.
func items(v value) ([]value, error) {
	switch v := v.(type) {
	case undefined:
		return nil, nil
	case list:
		return v, nil
	case tuple:
		return v, nil
	case generator:
		return v, nil
	case *Dict:
		return v.keys, nil
	case string:
		out := make([]value, 0, len(v))
		for _, r := range v {
			out = append(out, string(r))
		}
		return out, nil
	}
	return nil, fmt.Errorf("'%s' object is not iterable", typeName(v))
}

// number returns a value as a float, and whether it is an integer.
func number(v value) (f float64, i int64, isInt, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int64:
		return float64(v), v, true, true
	case float64:
		return v, 0, false, true
	}
	return 0, 0, false, false
}

// equal is Python's ==.
func equal(a, b value) bool {
	if fa, ia, intA, ok := number(a); ok {
		fb, ib, intB, ok := number(b)
		if intA && intB {
			return ok && ia == ib
		}
		return ok && fa == fb
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		s, ok := b.(string)
		return ok && a == s
	case list:
		o, ok := b.(list)
		return ok && equalItems(a, o)
	case tuple:
		o, ok := b.(tuple)
		return ok && equalItems(a, o)
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *Dict:
		o, ok := b.(*Dict)
		if !ok || len(a.keys) != len(o.keys) {
			return false
		}
		for _, k := range a.keys {
			v, ok := o.get(k)
			if !ok || !equal(a.values[k], v) {
				return false
			}
		}
		return true
	case *namespace:
		o, ok := b.(*namespace)
		return ok && a == o
	}
	return false
}

func equalItems(a, b []value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// compare is the order of two values: negative, zero or positive.
func compare(a, b value) (int, error) {
	fa, ia, intA, okA := number(a)
	fb, ib, intB, okB := number(b)
	if okA && okB {
		switch {
		case intA && intB && ia < ib, (!intA || !intB) && fa < fb:
			return -1, nil
		case intA && intB && ia > ib, (!intA || !intB) && fa > fb:
			return 1, nil
		}
		return 0, nil
	}
	if sa, ok := a.(string); ok {
		if sb, ok := b.(string); ok {
			return strings.Compare(sa, sb), nil
		}
	}
	la, okA := sequence(a)
	lb, okB := sequence(b)
	if okA && okB && typeName(a) == typeName(b) {
		for i := 0; i < len(la) && i < len(lb); i++ {
			if c, err := compare(la[i], lb[i]); err != nil || c != 0 {
				return c, err
			}
		}
		return len(la) - len(lb), nil
	}
	return 0, fmt.Errorf("'<' not supported between instances of '%s' and '%s'", typeName(a), typeName(b))
}

// sequence returns the items of a list or tuple.
func sequence(v value) ([]value, bool) {
	switch v := v.(type) {
	case list:
		return v, true
	case tuple:
		return v, true
	}
	return nil, false
}

// contains is Python's "item in container".
func contains(container, item value) (bool, error) {
	switch c := container.(type) {
	case string:
		s, ok := item.(string)
		if !ok {
			return false, fmt.Errorf("'in <string>' requires string as left operand, not %s", typeName(item))
		}
		return strings.Contains(c, s), nil
	case *Dict:
		if !hashable(item) {
			return false, fmt.Errorf("unhashable type: '%s'", typeName(item))
		}
		_, ok := c.get(item)
		return ok, nil
	}
	all, err := items(container)
	if err != nil {
		return false, fmt.Errorf("argument of type '%s' is not iterable", typeName(container))
	}
	for _, v := range all {
		if equal(v, item) {
			return true, nil
		}
	}
	return false, nil
}
