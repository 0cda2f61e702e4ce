package model

import (
	"fmt"
	"slices"
	"strings"
)

// source says where a canonical parameter comes from in a checkpoint: the first name present, then a transform.
type source struct {
	names     []string
	transform func(x matrix) (matrix, error) // nil: as stored
}

// matrix is a tensor on the host, row-major.
type matrix struct {
	data []float32
	dims []int
}

// family knows one Hugging Face architecture: its config.json, its tensor names and what to ignore in its files.
type family struct {
	types    []string // config.json model_type
	prefixes []string // optional prefixes of tensor names, longest first
	ignore   []string // patterns of tensors that carry nothing: "*" stands for any run of characters
	spec     func(c *config) Spec
	// fit, when set, settles by the tensors that are there what config.json does not say.
	fit     func(c *config, s *Spec, has func(tensor string) bool)
	sources func(s *Spec) map[string]source
}

// families lists the supported architectures.
func families() []family {
	return []family{
		gpt2Family(), neoxFamily(), llamaFamily(), mistralFamily(), qwen2Family(), qwen3Family(), gemma2Family(), gemma3Family(),
		olmo2Family(), phi3Family(), bertFamily(), robertaFamily(), distilbertFamily(), mpnetFamily(), clipFamily(), t5Family(),
	}
}

// Families lists the supported values of config.json's model_type.
func Families() []string {
	var out []string
	for _, f := range families() {
		out = append(out, f.types...)
	}
	return out
}

// findFamily returns the family of a config.json.
func findFamily(c *config) (family, error) {
	name := c.string("", "model_type")
	if c.err != nil {
		return family{}, c.err
	}
	if name == "" {
		return family{}, fmt.Errorf("model: %s has no model_type; loupe reads Hugging Face model folders", c.path)
	}
	for _, f := range families() {
		if slices.Contains(f.types, name) {
			return f, nil
		}
	}
	return family{}, fmt.Errorf("model: %s: architecture %q is not supported; supported: %s", c.path, name, strings.Join(Families(), ", "))
}

// parseSpec reads the Spec of a config.json and checks it.
func parseSpec(c *config) (*Spec, family, error) {
	f, err := findFamily(c)
	if err != nil {
		return nil, f, err
	}
	s := f.spec(c)
	s.Family = c.string("", "model_type")
	if c.err != nil {
		return nil, f, c.err
	}
	if err := s.validate(); err != nil {
		return nil, f, fmt.Errorf("model: %s: %w; fix the file or fetch it again", c.path, err)
	}
	return &s, f, nil
}

// uniformRope gives every layer the same rotary embedding.
func (s *Spec) uniformRope(r Rope) {
	s.Positions, s.Ropes, s.RopeOf = PosRotary, []Rope{r}, make([]int, s.Layers)
}

// perLayer names block parameters: names maps the canonical suffix to the checkpoint's suffix under prefix (with {i}).
func perLayer(out map[string]source, layers int, prefix string, names map[string]string) {
	for i := range layers {
		p := strings.Replace(prefix, "{i}", fmt.Sprint(i), 1)
		for canonical, theirs := range names {
			out[fmt.Sprintf("blocks.%d.%s", i, canonical)] = source{names: []string{p + theirs}}
		}
	}
}

// as gives alternative names for one parameter.
func as(names ...string) source { return source{names: names} }

// transpose turns a [in, out] matrix (GPT-2's Conv1D) into [out, in].
func transpose(x matrix) (matrix, error) {
	if len(x.dims) != 2 {
		return x, fmt.Errorf("shape %v: a matrix is needed", x.dims)
	}
	rows, cols := x.dims[0], x.dims[1]
	out := make([]float32, len(x.data))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x.data[r*cols+c]
		}
	}
	return matrix{out, []int{cols, rows}}, nil
}

// rows takes rows from..to of the first axis.
func rows(from, to int) func(matrix) (matrix, error) {
	return func(x matrix) (matrix, error) {
		if len(x.dims) == 0 || to > x.dims[0] {
			return x, fmt.Errorf("shape %v: rows %d to %d are needed", x.dims, from, to)
		}
		stride := len(x.data) / max(x.dims[0], 1)
		return matrix{x.data[from*stride : to*stride], append([]int{to - from}, x.dims[1:]...)}, nil
	}
}

// headThird takes part j (0 q, 1 k, 2 v) of a projection whose rows are interleaved per head as [h, 3, e] (GPT-NeoX).
func headThird(j, heads, width int) func(matrix) (matrix, error) {
	return func(x matrix) (matrix, error) {
		if len(x.dims) == 0 || x.dims[0] != heads*3*width {
			return x, fmt.Errorf("shape %v: %d rows (heads x 3 x width) are needed", x.dims, heads*3*width)
		}
		stride := len(x.data) / x.dims[0]
		out := make([]float32, 0, heads*width*stride)
		for h := range heads {
			from := (h*3 + j) * width * stride
			out = append(out, x.data[from:from+width*stride]...)
		}
		return matrix{out, append([]int{heads * width}, x.dims[1:]...)}, nil
	}
}

// then applies f and then g.
func then(f, g func(matrix) (matrix, error)) func(matrix) (matrix, error) {
	return func(x matrix) (matrix, error) {
		y, err := f(x)
		if err != nil {
			return y, err
		}
		return g(y)
	}
}
