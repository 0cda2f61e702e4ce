package config

import (
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
)

// check compares the structure of the file with the schema, exactly: case counts and nothing may be given twice.
// It records the line of every value.
func (l *loader) check(r *raw, n *node, path string) []error {
	here := at(l.file, r.line)
	switch {
	case r.null:
		return []error{fmt.Errorf("config: %s: key %q has no value; remove it or give it %s", here, path, n.want())}
	case n.isStruct() && r.fields == nil, n.isList() && r.items == nil, !n.isStruct() && !n.isList() && !r.scalar:
		return []error{fmt.Errorf("config: %s: key %q wants %s", here, path, n.want())}
	case n.isStruct():
		return l.checkFields(r, n, path)
	}
	l.sources[path] = here
	var errs []error
	for i, item := range r.items {
		errs = append(errs, l.check(item, n.elem, fmt.Sprintf("%s.%d", path, i))...)
	}
	return errs
}

func (l *loader) checkFields(r *raw, n *node, path string) []error {
	var errs []error
	seen := map[string]int{}
	for _, f := range r.fields {
		key, here := join(path, f.key), at(l.file, f.line)
		first, twice := seen[f.key]
		seen[f.key] = f.line
		c := n.field(f.key)
		switch {
		case twice:
			errs = append(errs, fmt.Errorf("config: %s: key %q is given twice, first in line %d", here, key, first))
		case path == "" && f.key == kindKey:
		case c == nil:
			errs = append(errs, fmt.Errorf("config: %s: %w", here, l.unknown(key, f.key, path, n)))
		default:
			errs = append(errs, l.check(f.value, c, key)...)
		}
	}
	return errs
}

// unknown is the error for a key that n, the struct at path, does not have. last is the last part of the key.
func (l *loader) unknown(key, last, path string, n *node) error {
	here := make([]string, 0, len(n.fields))
	for _, c := range n.fields {
		here = append(here, c.key)
	}
	if near, ok := Nearest(last, here); ok {
		return fmt.Errorf("unknown key %q; did you mean %q?", key, join(path, near))
	}
	for _, name := range []string{key, last} {
		if near, ok := Nearest(name, l.schema.keys()); ok {
			return fmt.Errorf("unknown key %q; did you mean %q?", key, near)
		}
	}
	return fmt.Errorf("unknown key %q; known here: %s", key, strings.Join(here, ", "))
}

// unused warns of LOUPE_* variables that look like a misspelt key of this kind.
func (l *loader) unused() []string {
	var known, out []string
	for _, k := range l.schema.keys() {
		known = append(known, EnvName(k))
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "LOUPE_") || reserved[name] || slices.Contains(known, name) {
			continue
		}
		for _, k := range known {
			if editDistance(name, k) <= 2 {
				out = append(out, fmt.Sprintf("%s sets nothing; did you mean %s?", name, k))
				break
			}
		}
	}
	sort.Strings(out)
	return out
}
