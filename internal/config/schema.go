package config

import (
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strings"
)

// kindKey is the key of a file that names its kind.
const kindKey = "kind"

// node is the schema of one value: a struct, a list or a scalar.
type node struct {
	key    string // last part of the dotted key; "" for the root and for list elements
	path   string // dotted key; list elements have none
	doc    string
	enum   []string
	typ    reflect.Type
	index  []int   // field index within the enclosing struct (reflect.Value.FieldByIndex)
	fields []*node // struct: sorted by key
	elem   *node   // list
	// inherit: a list of structs whose elements have the keys given at the root too, where they do not give them themselves
	inherit bool
}

func (n *node) isStruct() bool { return n.fields != nil }
func (n *node) isList() bool   { return n.elem != nil }

// field returns the child with this key, or nil.
func (n *node) field(key string) *node {
	i := sort.Search(len(n.fields), func(i int) bool { return n.fields[i].key >= key })
	if i < len(n.fields) && n.fields[i].key == key {
		return n.fields[i]
	}
	return nil
}

// leaves calls f for every value that is not a struct, in key order. Lists are leaves.
func (n *node) leaves(f func(*node)) {
	if !n.isStruct() {
		f(n)
		return
	}
	for _, c := range n.fields {
		c.leaves(f)
	}
}

// keys lists the dotted keys of all leaves.
func (n *node) keys() []string {
	var out []string
	n.leaves(func(l *node) { out = append(out, l.path) })
	return out
}

var keyRE = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reserved are the environment variables of loupe that no configuration key may claim.
var reserved = map[string]bool{"LOUPE_HOME": true, "LOUPE_REQUIRE": true, "LOUPE_GOLDEN": true}

// schemaOf checks a struct type against the rules of the package and returns its schema.
func schemaOf(t reflect.Type) (*node, error) {
	n, err := buildStruct(t, "", nil)
	if err != nil {
		return nil, err
	}
	env := map[string]string{}
	n.leaves(func(l *node) {
		name := EnvName(l.path)
		if reserved[name] && err == nil {
			err = fmt.Errorf("key %s: its environment variable %s is taken; rename the key", l.path, name)
		}
		if other, ok := env[name]; ok && err == nil {
			err = fmt.Errorf("keys %s and %s have the same environment variable %s; rename one", other, l.path, name)
		}
		env[name] = l.path
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

func buildStruct(t reflect.Type, path string, within []reflect.Type) (*node, error) {
	for _, w := range within {
		if w == t {
			return nil, fmt.Errorf("type %s contains itself", t)
		}
	}
	within = append(within, t)
	n := &node{path: path, typ: t, fields: []*node{}}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			return nil, fmt.Errorf("type %s: field %s is not exported and could not be set", t, f.Name)
		}
		if err := n.add(f, i, within); err != nil {
			return nil, err
		}
	}
	sort.Slice(n.fields, func(i, j int) bool { return n.fields[i].key < n.fields[j].key })
	for i := 1; i < len(n.fields); i++ {
		if n.fields[i].key == n.fields[i-1].key {
			return nil, fmt.Errorf("type %s: two fields have the key %q", t, n.fields[i].key)
		}
	}
	return n, nil
}

// add appends the schema of field i of n's type.
func (n *node) add(f reflect.StructField, i int, within []reflect.Type) error {
	tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if f.Anonymous && tag == "" && f.Type.Kind() == reflect.Struct {
		inner, err := buildStruct(f.Type, n.path, within)
		if err != nil {
			return err
		}
		for _, c := range inner.fields {
			c.index = append([]int{i}, c.index...)
			n.fields = append(n.fields, c)
		}
		return nil
	}
	if !keyRE.MatchString(tag) {
		return fmt.Errorf("type %s: field %s needs a tag `json:\"lower_case_key\"`, it has %q", n.typ, f.Name, tag)
	}
	c, err := build(f.Type, join(n.path, tag), within)
	if err != nil {
		return err
	}
	c.key, c.path, c.index, c.doc = tag, join(n.path, tag), []int{i}, f.Tag.Get("doc")
	if c.doc == "" {
		return fmt.Errorf("key %s: field %s of %s needs a doc tag", c.path, f.Name, n.typ)
	}
	if f.Tag.Get("inherit") != "" {
		if c.inherit = c.isList() && c.elem.isStruct() && n.path == ""; !c.inherit {
			return fmt.Errorf("key %s: inherit is for lists of structs at the root", c.path)
		}
	}
	if e := f.Tag.Get("enum"); e != "" {
		of := c
		if c.isList() {
			of = c.elem
		}
		if of.typ.Kind() != reflect.String {
			return fmt.Errorf("key %s: enum is for strings, not %s", c.path, f.Type)
		}
		of.enum = strings.Split(e, ",")
	}
	n.fields = append(n.fields, c)
	return nil
}

func build(t reflect.Type, path string, within []reflect.Type) (*node, error) {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &node{typ: t}, nil
	case reflect.Struct:
		return buildStruct(t, path, within)
	case reflect.Slice:
		// Keys below a list start anew: an element's dotted key contains its index, which the schema does not know.
		elem, err := build(t.Elem(), "", within)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", path, err)
		}
		if elem.isList() {
			return nil, fmt.Errorf("key %s: a list of lists is not supported; use a list of structs", path)
		}
		return &node{typ: t, elem: elem}, nil
	case reflect.Map:
		return nil, fmt.Errorf("key %s: maps are refused, since viper changes the case of their keys; use a list of structs with a name", path)
	default:
		return nil, fmt.Errorf("key %s: type %s is not supported", path, t)
	}
}

// want says in words what a value of this schema looks like.
func (n *node) want() string {
	switch {
	case n.isStruct():
		return "a section with keys"
	case n.isList() && n.elem.isStruct():
		return "a list of sections"
	case n.isList():
		return "a list, each " + n.elem.want()
	case n.enum != nil:
		return "one of " + strings.Join(n.enum, ", ")
	}
	switch n.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number >= 0"
	default:
		return "a whole number"
	}
}

// join joins two parts of a dotted key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// EnvName returns the environment variable of a dotted key: train.lr is set by LOUPE_TRAIN_LR.
func EnvName(key string) string {
	return "LOUPE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}
