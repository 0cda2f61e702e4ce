package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
	"loupe/probe/store"
	"loupe/vectors"
)

// CardFormat is the version of a saved probe's files.
const CardFormat = 1

// The kinds of saved probes: what their tensors are.
const (
	KindLinear    = "linear"    // weight [outputs, d], bias [outputs]
	KindMLP       = "mlp"       // weight.L [out, in], bias.L [out] for each layer L from 0
	KindQuadratic = "quadratic" // mean [d], components [r, d], weight [outputs, r + r(r+1)/2], bias [outputs]
	KindPair      = "pair"      // yes.weight, no.weight [d], yes.bias, no.bias [1]
	KindAttention = "attention" // query [d], weight [outputs, d], bias [outputs]
)

// Card says what a saved probe is a probe of: NAME.json beside NAME.safetensors.
type Card struct {
	Format   int          `json:"format"`
	Kind     string       `json:"kind"` // filled by Save
	Name     string       `json:"name"`
	Task     Task         `json:"task"`
	Classes  []string     `json:"classes,omitempty"`
	Model    store.Source `json:"model"` // whose activations it reads
	Site     string       `json:"site"`
	Position string       `json:"position"` // which token, or how tokens were pooled
	D        int          `json:"d"`        // width of an activation
	Method   string       `json:"method"`
	// Settings, Data and Measured are for the reader: the method's settings, what it was fitted on, what it scored.
	Settings json.RawMessage `json:"settings,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Measured json.RawMessage `json:"measured,omitempty"`
	// Calibrator, where there is one, turns scores into log-odds.
	Calibrator *Calibrator `json:"calibrator,omitempty"`
	Weights    Digest      `json:"weights"` // filled by Save
}

// Digest names a file beside the card.
type Digest struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Saved is a probe with its card. One of Function and Attention is set.
type Saved struct {
	Card
	Function  Function
	Attention *Attention
}

// maxCard bounds the card's size in bytes: classes and settings are small.
const maxCard = 16 << 20

// Save writes dir/NAME.safetensors and dir/NAME.json and returns the path of the card. Equal probes give equal bytes.
func (s *Saved) Save(dir string) (string, error) {
	kind, tensors, err := s.tensors()
	if err != nil {
		return "", fmt.Errorf("probe: save %s: %w", s.Name, err)
	}
	c := s.Card
	c.Format, c.Kind = CardFormat, kind
	if err := c.check(); err != nil {
		return "", fmt.Errorf("probe: save: %w", err)
	}
	c.Weights.File = c.Name + ".safetensors"
	weights := filepath.Join(dir, c.Weights.File)
	if err := safetensors.Write(weights, tensors, map[string]string{"format": "loupe.probe", "kind": kind}); err != nil {
		return "", fmt.Errorf("probe: save %s: %w", s.Name, err)
	}
	if c.Weights.SHA256, err = safetensors.Digest(weights); err != nil {
		return "", fmt.Errorf("probe: save %s: %w", s.Name, err)
	}
	path := filepath.Join(dir, c.Name+".json")
	err = atomicfile.Write(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(c)
	})
	if err != nil {
		return "", fmt.Errorf("probe: save %s: %w", s.Name, err)
	}
	s.Card = c
	return path, nil
}

// tensors are the probe's kind and numbers.
func (s *Saved) tensors() (string, []safetensors.Tensor, error) {
	linear := func(l Linear, prefix string) []safetensors.Tensor {
		return []safetensors.Tensor{
			safetensors.F64(prefix+"weight", []int{len(l.Bias), l.D}, l.Weights), safetensors.F64(prefix+"bias", []int{len(l.Bias)}, l.Bias),
		}
	}
	if a := s.Attention; a != nil {
		return KindAttention, append(linear(a.Linear, ""), safetensors.F64("query", []int{a.D}, a.Query)), nil
	}
	switch f := s.Function.(type) {
	case Linear:
		return KindLinear, linear(f, ""), nil
	case *Quadratic:
		d := len(f.Mean)
		return KindQuadratic, append(linear(f.Linear, ""), safetensors.F64("mean", []int{d}, f.Mean),
			safetensors.F64("components", []int{len(f.Components) / d, d}, f.Components)), nil
	case PairProbe:
		return KindPair, append(linear(f.Yes, "yes."), linear(f.No, "no.")...), nil
	case *MLP:
		var out []safetensors.Tensor
		for i, l := range f.Layers {
			out = append(out, safetensors.F64(fmt.Sprintf("weight.%d", i), []int{l.Out, l.In}, l.Weights), safetensors.F64(fmt.Sprintf("bias.%d", i), []int{l.Out}, l.Bias))
		}
		return KindMLP, out, nil
	}
	return "", nil, fmt.Errorf("a %T cannot be saved: %w", s.Function, vectors.ErrArgument)
}

// check looks at what the card says by itself.
func (c *Card) check() error {
	kinds := []string{KindLinear, KindMLP, KindQuadratic, KindPair, KindAttention}
	switch {
	case c.Format != CardFormat:
		return fmt.Errorf("format %d of a probe's card: %w; this program reads %d", c.Format, vectors.ErrArgument, CardFormat)
	case !slices.Contains(kinds, c.Kind):
		return fmt.Errorf("kind %q of a probe: %w; it is one of %v", c.Kind, vectors.ErrArgument, kinds)
	case c.Name == "" || c.Name != filepath.Base(c.Name) || c.Name[0] == '.':
		return fmt.Errorf("name %q of a probe: %w; it must be a file name", c.Name, vectors.ErrArgument)
	case c.D < 1 || c.D > 1<<24:
		return fmt.Errorf("width %d of probe %s: %w", c.D, c.Name, vectors.ErrShape)
	case c.Site == "":
		return fmt.Errorf("probe %s names no site: %w", c.Name, vectors.ErrArgument)
	case c.Task != Binary && c.Task != Multiclass && c.Task != Regression:
		return fmt.Errorf("task %q of probe %s: %w", c.Task, c.Name, vectors.ErrArgument)
	case c.Task == Binary && len(c.Classes) != 2 || c.Task == Multiclass && len(c.Classes) < 2:
		return fmt.Errorf("%d classes of %s probe %s: %w", len(c.Classes), c.Task, c.Name, vectors.ErrClasses)
	}
	return nil
}

// outputs is the number of scores that the task needs.
func (c *Card) outputs() int { return (Target{Task: c.Task, Classes: c.Classes}).Outputs() }

// Use says what a probe is to be used on; an empty field is not checked.
type Use struct {
	Model    string // digest
	Site     string
	Position string
	D        int
}

// ErrOther is a probe of another model, site, position or width than it is used on.
var ErrOther = errors.New("the probe is for other activations")

// Fits fails unless the probe is for these activations.
func (c *Card) Fits(u Use) error {
	for _, f := range []struct{ what, got, want string }{
		{"model", c.Model.Digest, u.Model}, {"site", c.Site, u.Site}, {"position", c.Position, u.Position},
	} {
		if f.want != "" && f.got != f.want {
			return fmt.Errorf("probe: %s is a probe of %s %s, and the activations are of %s: %w; fit one to these", c.Name, f.what, f.got, f.want, ErrOther)
		}
	}
	if u.D != 0 && u.D != c.D {
		return fmt.Errorf("probe: %s is a probe of width %d, and the activations have %d: %w; fit one to these", c.Name, c.D, u.D, ErrOther)
	}
	return nil
}

// Load reads a probe by the path of its card, NAME.json, and checks the weights' digest and shapes, and that it is for the
// activations that use says.
func Load(path string, use Use) (*Saved, error) {
	b, err := readCard(path)
	if err != nil {
		return nil, err
	}
	c, err := parseCard(b)
	if err != nil {
		return nil, fmt.Errorf("probe: %s: %w", path, err)
	}
	if err := c.Fits(use); err != nil {
		return nil, err
	}
	weights := filepath.Join(filepath.Dir(path), c.Weights.File)
	digest, err := safetensors.Digest(weights)
	if err != nil {
		return nil, fmt.Errorf("probe: %s: %w; the weights belong beside the card", path, err)
	}
	if digest != c.Weights.SHA256 {
		return nil, fmt.Errorf("probe: %s has SHA-256 %s, and %s says %s; it was changed or is of another probe", weights, digest, path, c.Weights.SHA256)
	}
	s := &Saved{Card: *c}
	if err := s.read(weights); err != nil {
		return nil, fmt.Errorf("probe: %s: %w", weights, err)
	}
	return s, nil
}

func readCard(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	if info.Size() > maxCard {
		return nil, fmt.Errorf("probe: %s has %d bytes, and a probe's card has at most %d; is it a probe?", path, info.Size(), maxCard)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	return b, nil
}

// parseCard reads a card, strictly.
func parseCard(b []byte) (*Card, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var c Card
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("a probe's card: %w", err)
	}
	if dec.More() {
		return nil, errors.New("a probe's card: more after the end")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if f := c.Weights.File; f != c.Name+".safetensors" {
		return nil, fmt.Errorf("weights of probe %s are in %q: %w; they belong in %s.safetensors", c.Name, f, vectors.ErrArgument, c.Name)
	}
	return &c, nil
}
