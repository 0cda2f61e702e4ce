package config

import (
	"fmt"
	"maps"
	"reflect"
)

// decodeInheriting fills a list whose elements have the keys given at the root too. Where it is empty, the root may imply
// elements.
func (l *loader) decodeInheriting(n *node, v, root reflect.Value) error {
	x, err := l.value(n)
	if err != nil {
		return err
	}
	items, ok := x.([]any)
	if !ok {
		return l.wrong(x, n, n.path)
	}
	if e, ok := root.Addr().Interface().(Expander); ok && len(items) == 0 {
		for _, m := range e.Expand() {
			items = append(items, m)
		}
	}
	merged := make([]any, len(items))
	for i, item := range items {
		merged[i] = item
		if m, ok := item.(map[string]any); ok {
			merged[i] = l.inherit(m, n.elem, root, fmt.Sprintf("%s.%d", n.path, i))
		}
	}
	return l.assign(merged, n, v, n.path)
}

// inherit returns m, an element of the list (or a section of it) at key, with what was given at the root for the keys that
// it leaves out. It records where those come from.
func (l *loader) inherit(m map[string]any, n *node, root reflect.Value, key string) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	for _, c := range n.fields {
		item, given := m[c.key]
		from := l.at(c.path)
		switch {
		case from == nil || from.typ != c.typ:
		case c.isStruct():
			section, ok := item.(map[string]any)
			if given && !ok {
				break // assign will say what is wrong
			}
			if section = l.inherit(section, c, root, key); len(section) > 0 {
				out[c.key] = section
			}
		case !given && l.source(c.path) != sourceDefault:
			out[c.key] = plain(l.field(root, c.path), from)
			l.sources[join(key, c.path)] = l.source(c.path)
		}
	}
	return out
}

// at returns the schema of a dotted key of the root, or nil.
func (l *loader) at(path string) *node {
	n, _, err := l.find(path)
	if err != nil {
		return nil
	}
	return n
}

// field returns the value at a dotted key of the root that the schema has.
func (l *loader) field(root reflect.Value, path string) reflect.Value {
	var out reflect.Value
	walk(root, l.schema, func(n *node, v reflect.Value) {
		if n.path == path {
			out = v
		}
	})
	return out
}
