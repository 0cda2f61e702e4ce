package config

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// JSONSchema returns the JSON Schema (draft 2020-12) of the kind's files, with docs, enums and defaults. Editors that
// know JSON Schema complete and check configuration files with it.
func (k Kind) JSONSchema() ([]byte, error) {
	n, v, err := k.schema()
	if err != nil {
		return nil, err
	}
	m := jsonSchema(n, v)
	m["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	m["title"] = k.Name
	m["description"] = k.Doc
	m["properties"].(map[string]any)[kindKey] = map[string]any{"const": k.Name, "description": "kind of this file"}
	m["required"] = []string{kindKey}
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("config: schema of %s: %w", k.Name, err)
	}
	return append(out, '\n'), nil
}

// jsonSchema describes n; v holds the defaults, and is invalid inside lists whose elements have none.
func jsonSchema(n *node, v reflect.Value) map[string]any {
	m := map[string]any{}
	if n.doc != "" {
		m["description"] = n.doc
	}
	switch {
	case n.isStruct():
		props := map[string]any{}
		for _, c := range n.fields {
			var cv reflect.Value
			if v.IsValid() {
				cv = v.FieldByIndex(c.index)
			}
			props[c.key] = jsonSchema(c, cv)
		}
		m["type"], m["properties"], m["additionalProperties"] = "object", props, false
		return m
	case n.isList():
		m["type"], m["items"] = "array", jsonSchema(n.elem, elemDefaults(n.elem))
	default:
		m["type"] = jsonType(n.typ.Kind())
		if n.enum != nil {
			m["enum"] = n.enum
		}
		if n.typ.Kind() >= reflect.Uint && n.typ.Kind() <= reflect.Uint64 {
			m["minimum"] = 0
		}
	}
	if v.IsValid() {
		m["default"] = plain(v, n)
	}
	return m
}

// elemDefaults returns a list element with its defaults, or an invalid value if the type has none.
func elemDefaults(n *node) reflect.Value {
	p := reflect.New(n.typ)
	d, ok := p.Interface().(Defaulter)
	if !ok {
		return reflect.Value{}
	}
	d.SetDefaults()
	return p.Elem()
}

func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	default:
		return "integer"
	}
}
