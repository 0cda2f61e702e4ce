package store

import (
	"fmt"
	"strings"

	"loupe/internal/arrowio"
)

// DType is how a site's values are stored.
type DType string

// The dtypes. A Float16 value is stored divided by the site's scale.
const (
	Float32 DType = "float32"
	Float16 DType = "float16"
)

// Per says what a row of a site's column stands for.
type Per string

// A site has a value for each token, or one for each example (document).
const (
	Token   Per = "token"
	Example Per = "example"
)

const maxDim = 1 << 24

// Site is a column of activations: a named place in a forward pass.
type Site struct {
	// Name is the TransformerLens name of the place, such as blocks.6.hook_resid_post, or any name made of letters,
	// digits, '.', '_' and '-'.
	Name string `json:"name"`
	Per  Per    `json:"per"`
	// Shape is the shape of one value, such as [768] or [heads, d_head].
	Shape []int `json:"shape"`
	DType DType `json:"dtype"`
	// Scale divides float16 values before they are stored. Zero lets the writer choose it from the first shard (at most 256 MiB of it).
	Scale float32 `json:"scale,omitempty"`
}

// Dim returns the number of values in a row: the product of the shape.
func (s Site) Dim() int {
	d := 1
	for _, n := range s.Shape {
		d *= n
	}
	return d
}

func (s Site) bytes() int64 {
	if s.DType == Float16 {
		return 2 * int64(s.Dim())
	}
	return 4 * int64(s.Dim())
}

func (s Site) check() error {
	if !plainName(s.Name) {
		return fmt.Errorf("site name %q: use letters, digits, '.', '_' and '-', beginning with a letter or digit", s.Name)
	}
	if reserved[s.Name] {
		return fmt.Errorf("site name %q is the name of a row's own column", s.Name)
	}
	if s.Per != Token && s.Per != Example {
		return fmt.Errorf("site %s: per %q is neither %q nor %q", s.Name, s.Per, Token, Example)
	}
	if s.DType != Float32 && s.DType != Float16 {
		return fmt.Errorf("site %s: dtype %q is neither %q nor %q", s.Name, s.DType, Float32, Float16)
	}
	dim := 1
	for _, n := range s.Shape {
		if n < 1 || n > maxDim || dim > maxDim/n {
			return fmt.Errorf("site %s: shape %v is out of range (at most %d values)", s.Name, s.Shape, maxDim)
		}
		dim *= n
	}
	if len(s.Shape) == 0 || len(s.Shape) > 8 {
		return fmt.Errorf("site %s: shape %v needs one to eight dimensions", s.Name, s.Shape)
	}
	if s.DType == Float32 && s.Scale != 0 {
		return fmt.Errorf("site %s: a scale (%v) is for float16 only", s.Name, s.Scale)
	}
	if s.Scale != 0 && !(s.Scale >= 0x1p-100 && s.Scale <= 0x1p15) {
		return fmt.Errorf("site %s: scale %v is out of range", s.Name, s.Scale)
	}
	return nil
}

// plainName tells whether a name is safe as a column and as a folder.
func plainName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("._-", r)) {
			return false
		}
	}
	return s != "" && len(s) <= 200
}

// field is the site's column. Its metadata lets a reader without the manifest scale float16 values.
func (s Site) field() arrowio.Field {
	f := arrowio.Field{Name: s.Name, Kind: arrowio.Float32, Size: s.Dim(), Meta: map[string]string{
		"site": s.Name, "shape": strings.ReplaceAll(strings.Trim(fmt.Sprint(s.Shape), "[]"), " ", ","),
	}}
	if s.DType == Float16 {
		f.Kind = arrowio.Float16
		f.Meta["scale"] = fmt.Sprint(s.Scale)
	}
	return f
}
