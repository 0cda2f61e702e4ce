package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// set applies one `key=value` of --set. A key may name an element of a list: saes.0.k.
func (l *loader) set(kv string) error {
	key, text, ok := strings.Cut(kv, "=")
	key = strings.TrimSpace(key)
	if !ok || key == "" {
		return fmt.Errorf("config: --set %s: wanted key=value", kv)
	}
	n, list, err := l.find(key)
	if err != nil {
		return fmt.Errorf("config: --set %s: %w", kv, err)
	}
	if n.isStruct() {
		return fmt.Errorf("config: --set %s: %q is a section; set one of its keys, for example %s.%s=VALUE", kv, key, key, n.fields[0].key)
	}
	x, err := parseText(text, n)
	if err != nil {
		return fmt.Errorf("config: --set %s: key %q: %w", kv, key, err)
	}
	if list == nil {
		l.v.Set(key, x)
		l.override(key, sourceSet)
		return nil
	}
	cur := l.v.Get(list.path)
	if s, ok := cur.(string); ok {
		if cur, err = parseText(s, list); err != nil {
			return fmt.Errorf("config: $%s: key %q: %w", EnvName(list.path), list.path, err)
		}
	}
	next, err := replaced(cur, strings.Split(strings.TrimPrefix(key, list.path+"."), "."), x)
	if err != nil {
		return fmt.Errorf("config: --set %s: %w", kv, err)
	}
	l.v.Set(list.path, next)
	l.override(key, sourceSet)
	return nil
}

// find returns the schema of a dotted key and, when the key goes through a list, that of the outermost list.
func (l *loader) find(key string) (n, list *node, err error) {
	n = l.schema
	path := ""
	for _, part := range strings.Split(key, ".") {
		switch {
		case n.isStruct():
			c := n.field(part)
			if c == nil {
				return nil, nil, l.unknown(key, part, path, n)
			}
			n = c
		case n.isList():
			if _, err := strconv.Atoi(part); err != nil {
				return nil, nil, fmt.Errorf("%q is a list; name an element by its index, as in %s.0", path, path)
			}
			if list == nil {
				list = n
			}
			n = n.elem
		default:
			return nil, nil, fmt.Errorf("%q has no keys below it; it is %s", path, n.want())
		}
		path = join(path, part)
	}
	return n, list, nil
}

// replaced returns a copy of the tree cur in which the value at path is x.
func replaced(cur any, path []string, x any) (any, error) {
	if len(path) == 0 {
		return x, nil
	}
	switch cur := cur.(type) {
	case []any:
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(cur) {
			return nil, fmt.Errorf("the list has %d elements; there is no element %s", len(cur), path[0])
		}
		out := append([]any(nil), cur...)
		out[i], err = replaced(cur[i], path[1:], x)
		return out, err
	case map[string]any:
		out := make(map[string]any, len(cur)+1)
		for k, v := range cur {
			out[k] = v
		}
		v, err := replaced(cur[path[0]], path[1:], x)
		out[path[0]] = v
		return out, err
	case nil:
		v, err := replaced(nil, path[1:], x)
		return map[string]any{path[0]: v}, err
	}
	return nil, errors.New("the value has no keys below it")
}

// parseText reads the text of an environment variable or of --set as the type that the schema wants. Strings are
// taken as they are. A list is written [a, b] or a,b; other values as in YAML.
func parseText(text string, n *node) (any, error) {
	if n.isList() {
		trimmed := strings.TrimSpace(text)
		if !strings.HasPrefix(trimmed, "[") && !n.elem.isStruct() {
			return splitList(trimmed, n)
		}
	} else if !n.isStruct() && n.typ.Kind() == reflect.String {
		return text, nil
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("the value has %d bytes, more than %d", len(text), maxFile)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return nil, fmt.Errorf("wanted %s, it has %q: %w", n.want(), text, err)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("wanted %s, it is empty", n.want())
	}
	if _, err := fromNode(doc.Content[0]); err != nil { // refuses aliases before they expand
		return nil, err
	}
	var x any
	if err := doc.Decode(&x); err != nil {
		return nil, fmt.Errorf("wanted %s, it has %q: %w", n.want(), text, err)
	}
	if x == nil { // viper would take the value of a lower layer
		return nil, fmt.Errorf("wanted %s, it has no value", n.want())
	}
	return x, nil
}

func splitList(text string, n *node) (any, error) {
	out := []any{}
	if text == "" {
		return out, nil
	}
	for _, part := range strings.Split(text, ",") {
		x, err := parseText(strings.TrimSpace(part), n.elem)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}
