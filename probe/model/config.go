package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// config reads a Hugging Face config.json. Getters take alternative keys, newest first; the first wrong value is
// kept in err, so that a family reads all its keys and checks once.
type config struct {
	path   string
	values map[string]any
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
		return nil, fmt.Errorf("model: %s is not valid JSON: %w; fetch the file again", path, err)
	}
	if c.values == nil {
		return nil, fmt.Errorf("model: %s holds no JSON object; fetch the file again", path)
	}
	return c, nil
}

func (c *config) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("model: %s: %s", c.path, fmt.Sprintf(format, args...))
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
	if f != float64(int(f)) || f < -1<<31 || f > 1<<31 {
		c.fail("key %q must be a whole number, not %v", keys[0], f)
		return fallback
	}
	return int(f)
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

// object returns the JSON object under key as a config of its own; its first error becomes c's by check.
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
	return &config{path: c.path + " " + key, values: m}, true
}

// act maps the activation names of config.json to loupe's.
func (c *config) act(fallback string, keys ...string) string {
	name := c.string(fallback, keys...)
	known := map[string]string{
		"gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh",
		"quick_gelu": "quick_gelu", "relu": "relu", "silu": "silu", "swish": "silu",
	}
	act, ok := known[name]
	if !ok {
		c.fail("key %q: activation %q is not supported (gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu are)", keys[0], name)
	}
	return act
}

// rope reads the rotary settings of one kind of layer from rope_parameters (new) or rope_theta and rope_scaling (old).
// dim is the number of rotated components when no partial_rotary_factor says otherwise.
func (c *config) rope(from *config, theta float64, dim int) Rope {
	r := Rope{Theta: theta, Dim: dim, Type: "default"}
	if from == nil {
		return r
	}
	r.Type = from.string("default", "rope_type", "type")
	r.Theta = from.float(theta, "rope_theta")
	if p := from.float(1, "partial_rotary_factor"); p != 1 {
		r.Dim = int(float64(dim) * p)
	}
	switch r.Type {
	case "default":
	case "linear":
		r.Factor = from.float(0, "factor")
	case "llama3":
		r.Factor = from.float(0, "factor")
		r.LowFreq = from.float(0, "low_freq_factor")
		r.HiFreq = from.float(0, "high_freq_factor")
		r.OrigMax = from.float(0, "original_max_position_embeddings")
		if r.LowFreq <= 0 || r.HiFreq <= r.LowFreq || r.OrigMax <= 0 {
			from.fail("llama3 rope needs 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings")
		}
	default:
		from.fail("rope type %q is not supported (default, linear and llama3 are)", r.Type)
	}
	if r.Type != "default" && r.Factor <= 0 {
		from.fail("rope type %q needs a positive factor", r.Type)
	}
	if from.err != nil && c.err == nil {
		c.err = from.err
	}
	return r
}

// singleRope is rope for models whose layers all rotate alike.
func (c *config) singleRope(fallbackTheta float64, dim int) Rope {
	theta := c.float(fallbackTheta, "rope_theta", "rotary_emb_base")
	if p := c.float(1, "partial_rotary_factor", "rotary_pct"); p != 1 && !c.has("rope_parameters") {
		dim = int(float64(dim) * p)
	}
	from, ok := c.object("rope_parameters")
	if !ok {
		from, _ = c.object("rope_scaling")
	}
	return c.rope(from, theta, dim)
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
				c.fail("layer_types[%d]: %q is not supported", i, types[i])
			}
		}
		if slides {
			out[i] = window
		}
	}
	return out
}
