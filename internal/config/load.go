package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
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
	if derive(target, c.schema) {
		walk(target, l.schema, func(n *node, v reflect.Value) {
			if !n.inherit { // its elements derive their own, from the keys that are given
				l.v.SetDefault(n.path, plain(v, n))
			}
		})
		if err := l.decode(target); err != nil {
			return nil, err
		}
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
