package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
)

// Kind is one kind of configuration file: what `kind: NAME` in a file means.
type Kind struct {
	Name string
	Doc  string     // one line: what the file configures
	New  func() any // pointer to a fresh struct that holds the defaults
}

// Validator is implemented by configuration structs that have rules beyond types and enums.
type Validator interface{ Validate() error }

// Deriver is implemented by configuration structs, sections and list elements some of whose defaults depend on other keys.
// DeriveDefaults is called when the given keys are in place. What it changes are new defaults: the given keys are laid
// over them once more.
type Deriver interface{ DeriveDefaults() }

// Defaulter is implemented by elements of lists of structs that have defaults.
type Defaulter interface{ SetDefaults() }

// Expander is implemented by the root struct of a configuration whose inheriting list is implied by other keys where it is
// empty. Expand returns the elements with the keys that they give, and clears what implied them, so that the resolved
// configuration holds the list alone.
type Expander interface{ Expand() []map[string]any }

// Find returns the kind called name, or an error that names the nearest kind.
func Find(kinds []Kind, name string) (Kind, error) {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	sort.Strings(names)
	if near, ok := Nearest(name, names); ok {
		return Kind{}, fmt.Errorf("config: unknown kind %q; did you mean %q?", name, near)
	}
	return Kind{}, fmt.Errorf("config: unknown kind %q; known kinds: %s", name, strings.Join(names, ", "))
}

// schema returns the checked schema of the kind and a fresh value with the defaults.
func (k Kind) schema() (*node, reflect.Value, error) {
	v := reflect.ValueOf(k.New())
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return nil, reflect.Value{}, fmt.Errorf("config: kind %s: New must return a pointer to a struct, not %s", k.Name, v.Type())
	}
	n, err := schemaOf(v.Elem().Type())
	if err != nil {
		return nil, reflect.Value{}, fmt.Errorf("config: kind %s: %w", k.Name, err)
	}
	if n.field(kindKey) != nil {
		return nil, reflect.Value{}, fmt.Errorf("config: kind %s: the key %q is reserved", k.Name, kindKey)
	}
	return n, v.Elem(), nil
}
