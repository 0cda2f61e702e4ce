package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"go.yaml.in/yaml/v3"
)

// maxFile is the largest configuration file that is read, in bytes.
const maxFile = 1 << 20

// raw is a parsed value with its place in the file, before any key has lost its case.
type raw struct {
	line   int // 0 when the format gives none (TOML)
	null   bool
	fields []rawField // mapping
	items  []*raw     // sequence
	scalar bool
}

type rawField struct {
	key   string
	line  int
	value *raw
}

// format returns viper's name of the file's format.
func format(path string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".yaml", ".yml":
		return "yaml", nil
	case ".json":
		return "json", nil
	case ".toml":
		return "toml", nil
	default:
		return "", fmt.Errorf("unknown file type %q; use .yaml, .json or .toml", ext)
	}
}

// parse reads the structure and the line numbers of a file.
func parse(data []byte, format string) (*raw, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("the file is not UTF-8 text")
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%d bytes are more than a configuration file may have (%d)", len(data), maxFile)
	}
	switch format {
	case "toml":
		var m map[string]any
		if err := toml.Unmarshal(data, &m); err != nil {
			return nil, err
		}
		return fromTree(m), nil
	case "json":
		return parseJSON(data)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty")
		}
		return nil, err
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: a second document follows; keep one per file", second.Line)
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("the file is empty")
	}
	return fromNode(doc.Content[0])
}

func fromNode(n *yaml.Node) (*raw, error) {
	r := &raw{line: n.Line}
	if n.Anchor != "" {
		return nil, fmt.Errorf("line %d: anchors and aliases are not supported; write the value out", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		r.fields = []rawField{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i]
			if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
				return nil, fmt.Errorf("line %d: keys must be plain names", k.Line)
			}
			v, err := fromNode(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			r.fields = append(r.fields, rawField{key: k.Value, line: k.Line, value: v})
		}
	case yaml.SequenceNode:
		r.items = []*raw{}
		for _, c := range n.Content {
			v, err := fromNode(c)
			if err != nil {
				return nil, err
			}
			r.items = append(r.items, v)
		}
	case yaml.ScalarNode:
		r.scalar, r.null = true, n.Tag == "!!null"
	default:
		return nil, fmt.Errorf("line %d: anchors and aliases are not supported; write the value out", n.Line)
	}
	return r, nil
}

// fromTree converts a decoded tree, which has no line numbers.
func fromTree(v any) *raw {
	switch v := v.(type) {
	case map[string]any:
		r := &raw{fields: []rawField{}}
		for k, x := range v {
			r.fields = append(r.fields, rawField{key: k, value: fromTree(x)})
		}
		return r
	case []any:
		r := &raw{items: []*raw{}}
		for _, x := range v {
			r.items = append(r.items, fromTree(x))
		}
		return r
	default:
		return &raw{scalar: true, null: v == nil}
	}
}

// at renders a place in a file: "name:12", or the name alone.
func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return file + ":" + strconv.Itoa(line)
}
