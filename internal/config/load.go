package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/viper"
)

// Input says where a configuration comes from.
type Input struct {
	Path string   // file; "" for defaults, environment and Set alone
	Kind string   // the kind that is wanted; "" takes the file's
	Set  []string // key=value pairs, applied in order
}

// Value is one resolved leaf.
type Value struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Source string `json:"source"` // default, FILE:LINE, the environment variable, or --set
}

// Config is a loaded configuration.
type Config struct {
	Kind     Kind
	Value    any      // what Kind.New returned, filled
	Values   []Value  // every leaf in key order; an element of a list of structs has its index in the key
	Warnings []string // LOUPE_* variables that set nothing and look like a typing error

	schema *node
}

const (
	sourceDefault = "default"
	sourceSet     = "--set"
)

// Load reads a configuration: defaults, then the file, then the environment, then --set. The problems of a layer are
// reported together; each names the key, the place, and the nearest known key or the wanted type.
func Load(kinds []Kind, in Input) (*Config, error) {
	l := &loader{v: viper.New(), sources: map[string]string{}}
	name := in.Kind
	if in.Path != "" {
		got, err := l.open(in.Path)
		if err != nil {
			return nil, err
		}
		if name != "" && got != name {
			return nil, fmt.Errorf("config: %s is of kind %q, but %q is wanted here", in.Path, got, name)
		}
		name = got
	}
	if name == "" {
		return nil, errors.New("config: no file and no kind given")
	}
	kind, err := Find(kinds, name)
	if err != nil {
		return nil, place(in.Path, err)
	}
	c := &Config{Kind: kind}
	var target reflect.Value
	if c.schema, target, err = kind.schema(); err != nil {
		return nil, err
	}
	l.schema, c.Value = c.schema, target.Addr().Interface()
	if err := l.layer(target, in.Set); err != nil {
		return nil, err
	}
	if err := l.decode(target); err != nil {
		return nil, err
	}
	if v, ok := c.Value.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, place(in.Path, fmt.Errorf("config: %s: %w", kind.Name, err))
		}
	}
	c.Values = l.values(target)
	c.Warnings = l.unused()
	return c, nil
}

// place adds the file to an error that does not know it.
func place(path string, err error) error {
	if path == "" {
		return err
	}
	return fmt.Errorf("%w (in %s)", err, path)
}

// loader is one load.
type loader struct {
	v       *viper.Viper
	schema  *node
	file    string // base name, for sources
	root    *raw   // nil without a file
	sources map[string]string
}

// open reads and parses the file and returns its kind.
func (l *loader) open(path string) (string, error) {
	form, err := format(path)
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("config: %w; check the path", err)
	}
	if info.IsDir() || info.Size() > maxFile {
		return "", fmt.Errorf("config: %s is a folder or has more than %d bytes; it is no configuration file", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	l.file = filepath.Base(path)
	kind, err := l.read(data, form)
	if err != nil {
		return "", fmt.Errorf("config: %s: %w", path, err)
	}
	return kind, nil
}

// read parses the bytes of a file twice: for structure and lines, and by viper for the values.
func (l *loader) read(data []byte, form string) (kind string, err error) {
	if l.root, err = parse(data, form); err != nil {
		return "", err
	}
	if l.root.fields == nil {
		return "", errors.New("wanted `key: value` pairs at the top")
	}
	l.v.SetConfigType(form)
	if err := l.v.ReadConfig(bytes.NewReader(data)); err != nil {
		return "", err
	}
	for _, f := range l.root.fields {
		if f.key == kindKey {
			if s, ok := l.v.Get(kindKey).(string); ok && s != "" {
				return s, nil
			}
			return "", fmt.Errorf("the key %q wants the name of a kind", kindKey)
		}
	}
	return "", fmt.Errorf("the key %q is missing; add `kind: NAME` (`loupe config schema` lists the kinds)", kindKey)
}

// layer hands the defaults, the environment and --set to viper, and records the source of every key that is set.
func (l *loader) layer(target reflect.Value, set []string) error {
	var errs []error
	if l.root != nil {
		errs = l.check(l.root, l.schema, "")
	}
	walk(target, l.schema, func(n *node, v reflect.Value) {
		l.v.SetDefault(n.path, plain(v, n))
		env := EnvName(n.path)
		if err := l.v.BindEnv(n.path, env); err != nil {
			errs = append(errs, fmt.Errorf("config: %s: %w", env, err))
		}
		if os.Getenv(env) != "" { // to viper an empty variable is not set
			l.override(n.path, "$"+env)
		}
	})
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, kv := range set {
		if err := l.set(kv); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// override records that source now gives key and everything below it.
func (l *loader) override(key, source string) {
	for k := range l.sources {
		if strings.HasPrefix(k, key+".") {
			delete(l.sources, k)
		}
	}
	l.sources[key] = source
}

// source returns what gave key: its own source, else that of the list that holds it.
func (l *loader) source(key string) string {
	for {
		if s, ok := l.sources[key]; ok {
			return s
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return sourceDefault
		}
		key = key[:i]
	}
}

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

// values lists every leaf of the filled struct with its source.
func (l *loader) values(target reflect.Value) []Value {
	var out []Value
	var add func(key string, v reflect.Value, n *node)
	add = func(key string, v reflect.Value, n *node) {
		switch {
		case n.isStruct():
			for _, c := range n.fields {
				add(join(key, c.key), v.FieldByIndex(c.index), c)
			}
		case n.isList() && n.elem.isStruct() && v.Len() > 0:
			for i := range v.Len() {
				add(fmt.Sprintf("%s.%d", key, i), v.Index(i), n.elem)
			}
		default:
			out = append(out, Value{Key: key, Value: plain(v, n), Source: l.source(key)})
		}
	}
	add("", target, l.schema)
	return out
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
