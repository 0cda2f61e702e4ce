package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// tree returns the resolved configuration, kind included, as maps, lists and scalars.
func (c *Config) tree() map[string]any {
	m, _ := plain(reflect.ValueOf(c.Value).Elem(), c.schema).(map[string]any)
	m[kindKey] = c.Kind.Name
	return m
}

// JSON returns the resolved configuration as indented JSON with sorted keys.
func (c *Config) JSON() ([]byte, error) {
	out, err := json.MarshalIndent(c.tree(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("config: write %s: %w", c.Kind.Name, err)
	}
	return append(out, '\n'), nil
}

// Hash returns the SHA-256 of the resolved configuration, as 64 hex digits. Equal settings give equal hashes, wherever
// the values came from.
func (c *Config) Hash() (string, error) {
	out, err := json.Marshal(c.tree())
	if err != nil {
		return "", fmt.Errorf("config: hash %s: %w", c.Kind.Name, err)
	}
	sum := sha256.Sum256(out)
	return hex.EncodeToString(sum[:]), nil
}

// YAML returns the resolved configuration as YAML with sorted keys; the same settings always give the same bytes, and
// loading them gives the same configuration.
func (c *Config) YAML() []byte {
	var b strings.Builder
	writeMap(&b, c.tree(), 0, "")
	return []byte(b.String())
}

// writeMap writes the keys of m, each line indented; first replaces the indent of the first line (a list's dash).
func writeMap(b *strings.Builder, m map[string]any, depth int, first string) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	indent := strings.Repeat("  ", depth)
	if first == "" {
		first = indent
	}
	if len(keys) == 0 {
		b.WriteString(first + "{}\n")
	}
	for i, k := range keys {
		if i > 0 {
			first = indent
		}
		b.WriteString(first + k + ":")
		switch x := m[k].(type) {
		case map[string]any:
			b.WriteByte('\n')
			writeMap(b, x, depth+1, "")
		case []any:
			writeList(b, x, depth)
		default:
			b.WriteString(" " + scalar(x) + "\n")
		}
	}
}

func writeList(b *strings.Builder, items []any, depth int) {
	if len(items) > 0 {
		if _, ok := items[0].(map[string]any); ok {
			b.WriteByte('\n')
			for _, item := range items {
				m, _ := item.(map[string]any)
				writeMap(b, m, depth+2, strings.Repeat("  ", depth+1)+"- ")
			}
			return
		}
	}
	b.WriteString(" " + Format(items) + "\n")
}

var (
	bareRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)
	// words are the bare words that some YAML reader does not take as a string.
	words = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true}
)

// Format returns a value as it is written in YAML.
func Format(x any) string {
	if items, ok := x.([]any); ok {
		parts := make([]string, len(items))
		for i, item := range items {
			parts[i] = Format(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return scalar(x)
}

func scalar(x any) string {
	switch x := x.(type) {
	case string:
		if bareRE.MatchString(x) && !words[strings.ToLower(x)] {
			return x
		}
		return strconv.Quote(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}
