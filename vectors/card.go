package vectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
	"loupe/internal/stats"
	"loupe/probe/store"
)

// CardFormat is the version of a saved vector's files.
const CardFormat = 1

// Card says what a saved vector is: NAME.json beside NAME.safetensors.
type Card struct {
	Format  int      `json:"format"`
	Name    string   `json:"name"`
	Method  string   `json:"method"`
	Concept string   `json:"concept"`
	Classes []string `json:"classes,omitempty"`
	// Model is whose activations it is of; Family is the architecture's name, which control vector files carry.
	Model    store.Source `json:"model"`
	Family   string       `json:"family"`
	Site     string       `json:"site"`
	Layer    int          `json:"layer"` // -1 outside blocks
	Position string       `json:"position"`
	D        int          `json:"d"`          // width
	Vectors  int          `json:"directions"` // rows of the tensor directions, 0 without it
	Rank     int          `json:"rank"`       // directions that the eraser removes
	Affine   bool         `json:"affine"`     // the eraser leaves a point other than 0 in place
	Fitted   FittedOn     `json:"fitted_on"`
	// HeldOut is what a linear score along the first direction reads on the held-out rows: the AUC of a concept.
	HeldOut *stats.Interval `json:"held_out_auc,omitempty"`
	// Settings and Data are for the reader: the method's settings and where the rows came from.
	Settings json.RawMessage `json:"settings,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Tensors  FileDigest      `json:"tensors"` // filled by Save
}

// FittedOn says which rows a vector was fitted on.
type FittedOn struct {
	Store string `json:"store"` // digest
	Rows  int    `json:"rows"`
	Test  int    `json:"test"` // held-out rows
	Seed  uint64 `json:"seed"`
}

// FileDigest names a file beside the card.
type FileDigest struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// Saved is a concept's directions [r, d], an eraser, or both, with the card.
type Saved struct {
	Card
	Directions *mat.Dense
	Eraser     *Eraser
}

// maxCard bounds the card's size, maxWidth that of a vector and maxRank the number of rows, before anything is allocated.
const (
	maxCard  = 16 << 20
	maxWidth = 1 << 20
	maxRank  = 1 << 14
)

// Save writes dir/NAME.safetensors, float64, and dir/NAME.json, and returns the path of the card. Equal vectors give equal
// bytes. Tensors: directions [directions, d]; eraser.left [d, rank], eraser.right [rank, d], eraser.bias [d].
func (s *Saved) Save(dir string) (string, error) {
	c := s.Card
	c.Format, c.Vectors, c.Rank, c.Affine = CardFormat, 0, 0, false
	var tensors []safetensors.Tensor
	if s.Directions != nil {
		r, d, err := checkRows("directions", s.Directions)
		if err != nil {
			return "", fmt.Errorf("save %s: %w", c.Name, err)
		}
		if err := checkWidth("vector "+c.Name, d, c.D); err != nil {
			return "", err
		}
		c.Vectors = r
		tensors = append(tensors, safetensors.F64("directions", []int{r, d}, mat.DenseCopyOf(s.Directions).RawMatrix().Data))
	}
	if e := s.Eraser; e != nil && e.Rank() > 0 {
		if err := checkWidth("eraser "+c.Name, len(e.Bias), c.D); err != nil {
			return "", err
		}
		c.Rank = e.Rank()
		for _, b := range e.Bias {
			c.Affine = c.Affine || b != 0
		}
		tensors = append(tensors, safetensors.F64("eraser.left", []int{c.D, c.Rank}, mat.DenseCopyOf(e.Left).RawMatrix().Data),
			safetensors.F64("eraser.right", []int{c.Rank, c.D}, mat.DenseCopyOf(e.Right).RawMatrix().Data), safetensors.F64("eraser.bias", []int{c.D}, e.Bias))
	}
	if err := c.check(); err != nil {
		return "", fmt.Errorf("vectors: save: %w", err)
	}
	c.Tensors.File = c.Name + ".safetensors"
	path := filepath.Join(dir, c.Tensors.File)
	if err := safetensors.Write(path, tensors, map[string]string{"format": "loupe.vectors", "site": c.Site}); err != nil {
		return "", fmt.Errorf("vectors: save %s: %w", c.Name, err)
	}
	var err error
	if c.Tensors.SHA256, err = safetensors.Digest(path); err != nil {
		return "", fmt.Errorf("vectors: save %s: %w", c.Name, err)
	}
	card := filepath.Join(dir, c.Name+".json")
	err = atomicfile.Write(card, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(c)
	})
	if err != nil {
		return "", fmt.Errorf("vectors: save %s: %w", c.Name, err)
	}
	s.Card = c
	return card, nil
}

// check looks at what the card says by itself.
func (c *Card) check() error {
	switch {
	case c.Format != CardFormat:
		return fmt.Errorf("format %d of a vector's card: %w; this program reads %d", c.Format, ErrArgument, CardFormat)
	case c.Name == "" || c.Name != filepath.Base(c.Name) || c.Name[0] == '.':
		return fmt.Errorf("name %q of a vector: %w; it must be a file name", c.Name, ErrArgument)
	case c.D < 1 || c.D > maxWidth:
		return fmt.Errorf("width %d of vector %s: %w", c.D, c.Name, ErrShape)
	case c.Vectors < 0 || c.Vectors > maxRank || c.Rank < 0 || c.Rank > min(maxRank, c.D):
		return fmt.Errorf("vector %s of width %d has %d directions and an eraser of rank %d: %w", c.Name, c.D, c.Vectors, c.Rank, ErrShape)
	case c.Vectors+c.Rank == 0:
		return fmt.Errorf("vector %s has neither a direction nor an eraser that removes one: %w; were the classes told apart?", c.Name, ErrArgument)
	case c.Site == "":
		return fmt.Errorf("vector %s names no site: %w", c.Name, ErrArgument)
	}
	return nil
}

// Use says what a vector is to be used on; an empty field, or a width of 0, is not checked.
type Use struct {
	Model    string // digest
	Site     string
	Position string
	D        int
}

// ErrOther is a vector of another model, site, position or width than it is used on.
var ErrOther = errors.New("the vector is for other activations")

// Fits fails unless the vector is for these activations.
func (c *Card) Fits(u Use) error {
	for _, f := range []struct{ what, got, want string }{{"model", c.Model.Digest, u.Model}, {"site", c.Site, u.Site}, {"position", c.Position, u.Position}} {
		if f.want != "" && f.got != f.want {
			return fmt.Errorf("vectors: %s is of %s %s (%s), and the activations are of %s: %w; fit one to these", c.Name, f.what, f.got, c.Model.ID, f.want, ErrOther)
		}
	}
	if u.D != 0 && u.D != c.D {
		return fmt.Errorf("vectors: %s is of width %d, and the activations have %d: %w; fit one to these", c.Name, c.D, u.D, ErrOther)
	}
	return nil
}

// Load reads a vector by the path of its card, NAME.json, and checks the tensors' digest, shapes and values, and that it is
// for the activations that use says.
func Load(path string, use Use) (*Saved, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	if info.Size() > maxCard {
		return nil, fmt.Errorf("vectors: %s has %d bytes, and a vector's card has at most %d: %w; is it a vector?", path, info.Size(), maxCard, ErrArgument)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("vectors: %w", err)
	}
	c, err := parseCard(raw)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", path, err)
	}
	if err := c.Fits(use); err != nil {
		return nil, err
	}
	file := filepath.Join(filepath.Dir(path), c.Tensors.File)
	digest, err := safetensors.Digest(file)
	if err != nil {
		return nil, fmt.Errorf("vectors: %s: %w; the tensors belong beside the card", path, err)
	}
	if digest != c.Tensors.SHA256 {
		return nil, fmt.Errorf("vectors: %s has SHA-256 %s, and %s says %s: %w; it was changed or is of another vector", file, digest, path, c.Tensors.SHA256, ErrArgument)
	}
	s := &Saved{Card: *c}
	if err := s.read(file); err != nil {
		return nil, fmt.Errorf("vectors: %s: %w", file, err)
	}
	return s, nil
}

// parseCard reads a card, strictly.
func parseCard(raw []byte) (*Card, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var c Card
	if err := dec.Decode(&c); err != nil {
		return nil, fmt.Errorf("a vector's card: %w", err)
	}
	if dec.More() {
		return nil, errors.New("a vector's card: more after the end")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if f := c.Tensors.File; f != c.Name+".safetensors" {
		return nil, fmt.Errorf("tensors of vector %s are in %q: %w; they belong in %s.safetensors", c.Name, f, ErrArgument, c.Name)
	}
	return &c, nil
}

// read fills the vector from its tensors.
func (s *Saved) read(path string) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	want := 0
	matrix := func(name string, r, d int) *mat.Dense {
		if err != nil {
			return nil
		}
		want++
		info, ok := f.Info(name)
		if !ok || len(info.Shape) != 2 || info.Shape[0] != r || info.Shape[1] != d {
			err = fmt.Errorf("tensor %s has shape %v, want [%d %d]: %w", name, info.Shape, r, d, ErrShape)
			return nil
		}
		var v []float64
		if v, err = f.Float64(name); err != nil {
			return nil
		}
		m := mat.NewDense(r, d, v)
		if _, _, bad := checkRows(name, m); bad != nil {
			err = bad
		}
		return m
	}
	if s.Vectors > 0 {
		s.Directions = matrix("directions", s.Vectors, s.D)
	}
	if s.Rank > 0 {
		e := &Eraser{Left: matrix("eraser.left", s.D, s.Rank), Right: matrix("eraser.right", s.Rank, s.D)}
		if err == nil {
			want++
			e.Bias, err = f.Float64("eraser.bias")
		}
		if err == nil && len(e.Bias) != s.D {
			err = fmt.Errorf("tensor eraser.bias has %d values, want %d: %w", len(e.Bias), s.D, ErrShape)
		}
		if err == nil && !finite(e.Bias) {
			err = fmt.Errorf("tensor eraser.bias: %w", ErrNotFinite)
		}
		s.Eraser = e
	}
	if err == nil && len(f.Names()) != want {
		err = fmt.Errorf("%d tensors, want %d: %w", len(f.Names()), want, ErrShape)
	}
	return err
}

// Remover is the eraser, or the ablation of the directions where there is none.
func (s *Saved) Remover() (*Eraser, error) {
	if s.Eraser != nil {
		return s.Eraser, nil
	}
	return Ablation(s.Directions)
}

// ToControlVector makes a control vector of the first directions of some vectors of one model, one a layer.
func ToControlVector(vectors []*Saved) (*ControlVector, error) {
	out := &ControlVector{Directions: map[int][]float32{}}
	var first *Saved
	for _, v := range vectors {
		if first == nil {
			first = v
			out.ModelHint = v.Family
		}
		switch {
		case v.Directions == nil:
			return nil, fmt.Errorf("vectors: %s is an eraser without a direction: %w; fit a direction, such as method diff-means", v.Name, ErrArgument)
		case v.Layer < 0:
			return nil, fmt.Errorf("vectors: %s is of site %s, outside the blocks: %w; a control vector has layers", v.Name, v.Site, ErrArgument)
		case out.Directions[v.Layer] != nil:
			return nil, fmt.Errorf("vectors: %s is a second vector of layer %d: %w; a control vector has one a layer", v.Name, v.Layer, ErrArgument)
		}
		if err := v.Fits(Use{Model: first.Model.Digest, D: first.D}); err != nil {
			return nil, err
		}
		out.Directions[v.Layer] = float32s(v.Directions.RawRowView(0))
	}
	return out, out.Validate()
}
