package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
)

// config reads a Hugging Face config.json. Getters take alternative keys, newest first, and what the published code
// assumes without them; the first wrong value is kept in err, so that a family reads all its keys and checks once.
type config struct {
	path   string
	values map[string]any
	parent *config // of an object inside a config.json; it keeps the error
	err    error
}

// maxConfigBytes bounds a config.json, which is a few kilobytes in every published model.
const maxConfigBytes = 16 << 20

func readConfig(path string) (*config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w; give a Hugging Face model folder or a .gguf file", err)
	}
	if info.Size() > maxConfigBytes {
		return nil, fmt.Errorf("model: %s has %d bytes, more than any model's configuration; check the file", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return parseConfig(path, b)
}

func parseConfig(path string, b []byte) (*config, error) {
	c := &config{path: path}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&c.values); err != nil {
		return nil, fmt.Errorf("model: %s is not a JSON object: %w; fetch the file again", path, err)
	}
	if c.values == nil {
		return nil, fmt.Errorf("model: %s holds no JSON object; fetch the file again", path)
	}
	return c, nil
}

// fail records a wrong value.
func (c *config) fail(format string, args ...any) {
	c.record(fmt.Errorf("model: %s: %s; fix the file or fetch it again", c.path, fmt.Sprintf(format, args...)))
}

// unsupported records a good value that stands for something that loupe does not compute.
func (c *config) unsupported(format string, args ...any) {
	c.record(fmt.Errorf("model: %s: %s; use another model, or write the missing part in probe/model", c.path, fmt.Sprintf(format, args...)))
}

func (c *config) record(err error) {
	for c.parent != nil {
		c = c.parent
	}
	if c.err == nil {
		c.err = err
	}
}

// value returns the first non-null value among the keys.
func (c *config) value(keys ...string) (any, bool) {
	for _, k := range keys {
		if v, ok := c.values[k]; ok && v != nil {
			return v, true
		}
	}
	return nil, false
}

func (c *config) has(keys ...string) bool { _, ok := c.value(keys...); return ok }

// float returns the number under the first key present; without one it is fallback.
func (c *config) float(fallback float64, keys ...string) float64 {
	v, ok := c.value(keys...)
	if !ok {
		return fallback
	}
	n, ok := v.(json.Number)
	if !ok {
		c.fail("key %q must be a number, not %v", keys[0], v)
		return fallback
	}
	f, err := n.Float64()
	if err != nil {
		c.fail("key %q: %v", keys[0], err)
	}
	return f
}

// int is float for whole numbers up to 2^31.
func (c *config) int(fallback int, keys ...string) int {
	f := c.float(float64(fallback), keys...)
	if f < -1<<31 || f > 1<<31 || f != math.Trunc(f) {
		c.fail("key %q must be a whole number, not %v", keys[0], f)
		return fallback
	}
	return int(f)
}

// orNone is float for keys whose null means none (0), unlike their absence.
func (c *config) orNone(absent float64, key string) float64 {
	if v, ok := c.values[key]; ok && v == nil {
		return 0
	}
	return c.float(absent, key)
}

// tokenID reads a token id; of a list the first one counts. Negative ids, which old files write for none, are fallback.
func (c *config) tokenID(fallback int, keys ...string) int {
	v, _ := c.value(keys...)
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	if v == nil {
		return fallback
	}
	one := config{path: c.path, parent: c, values: map[string]any{keys[0]: v}}
	if id := one.int(fallback, keys[0]); id >= 0 {
		return id
	}
	return fallback
}

// headWidth is the width of a head where d_model is shared among the heads.
func (c *config) headWidth(d, heads int) int {
	if d%heads != 0 {
		c.fail("hidden size %d is not a multiple of the %d attention heads", d, heads)
	}
	return max(d/heads, 1)
}

// layers is size for a number of layers.
func (c *config) layers(keys ...string) int {
	n := c.size(keys...)
	if n > maxLayers {
		c.fail("key %q is %d; no model has more than %d layers", keys[0], n, maxLayers)
		return 1
	}
	return n
}

// size is int for a required count from 1 to 2^24.
func (c *config) size(keys ...string) int {
	if !c.has(keys...) {
		c.fail("key %q is missing", strings.Join(keys, "\" or \""))
		return 1
	}
	n := c.int(0, keys...)
	if n < 1 || n > 1<<24 {
		c.fail("key %q is %d; it must be from 1 to 2^24", keys[0], n)
		return 1
	}
	return n
}

func (c *config) bool(fallback bool, keys ...string) bool {
	v, ok := c.value(keys...)
	if !ok {
		return fallback
	}
	b, ok := v.(bool)
	if !ok {
		c.fail("key %q must be true or false, not %v", keys[0], v)
	}
	return b
}

func (c *config) string(fallback string, keys ...string) string {
	v, ok := c.value(keys...)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		c.fail("key %q must be a string, not %v", keys[0], v)
	}
	return s
}

func (c *config) strings(key string) []string {
	v, ok := c.value(key)
	if !ok {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		c.fail("key %q must be a list, not %v", key, v)
		return nil
	}
	out := make([]string, len(list))
	for i, item := range list {
		if out[i], ok = item.(string); !ok {
			c.fail("key %q must be a list of strings, not %v", key, v)
			return nil
		}
	}
	return out
}

// object returns the JSON object under key as a config of its own, whose errors are c's.
func (c *config) object(key string) (*config, bool) {
	v, ok := c.value(key)
	if !ok {
		return nil, false
	}
	m, ok := v.(map[string]any)
	if !ok {
		c.fail("key %q must be an object, not %v", key, v)
		return nil, false
	}
	return &config{path: c.path + " " + key, values: m, parent: c}, true
}

// act maps the activation names of config.json to loupe's.
func (c *config) act(fallback string, keys ...string) string {
	return c.actNamed(keys[0], c.string(fallback, keys...))
}

// actNamed is act for a name found under key.
func (c *config) actNamed(key, name string) string {
	known := map[string]string{
		"gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
		"gelu_accurate": "gelu_tanh", "gelu_python_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "relu": "relu", "silu": "silu", "swish": "silu",
	}
	act, ok := known[name]
	if !ok {
		c.unsupported("key %q: activation %q is not supported (gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu are)", key, name)
	}
	return act
}

// windows reads the sliding window of each layer: layer_types where given, else sliding(i).
func (c *config) windows(layers, window int, sliding func(layer int) bool) []int {
	out := make([]int, layers)
	types := c.strings("layer_types")
	if types != nil && len(types) != layers {
		c.fail("layer_types has %d entries for %d layers", len(types), layers)
		return out
	}
	for i := range out {
		slides := sliding(i)
		if types != nil {
			switch types[i] {
			case "sliding_attention":
				slides = true
			case "full_attention":
				slides = false
			default:
				c.unsupported("layer_types[%d]: %q is not supported (sliding_attention and full_attention are)", i, types[i])
			}
		}
		if slides {
			out[i] = window
		}
	}
	return out
}

// uniformWindow gives every layer the sliding window under key sliding_window; nil when there is none.
func (c *config) uniformWindow(layers int, absent float64) []int {
	w := int(c.orNone(absent, "sliding_window"))
	if w == 0 {
		return nil
	}
	return slices.Repeat([]int{w}, layers)
}
