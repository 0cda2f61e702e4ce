// Package saved keeps fitted erasures in folders: edit.json says what was erased by which method and where the edit acts, and
// edit.safetensors holds its thin factors in float64.
package saved

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
	"loupe/vectors"
)

// Format is the version of the files.
const Format = 1

// The files of a folder.
const (
	cardFile    = "edit.json"
	tensorsFile = "edit.safetensors"
)

// What a saved hook is.
const (
	KindNothing = "nothing"
	KindMap     = "map"    // x' = x + left (right' x)
	KindEraser  = "eraser" // x' = x - left (right (x - bias))
)

// ErrKind says that an edit is of a kind that has no file form.
var ErrKind = errors.New("the edit has no file form")

// Edit is what edit.json holds.
type Edit struct {
	Format   int            `json:"format"`
	Method   string         `json:"method"`
	Paper    string         `json:"paper,omitempty"`
	Settings any            `json:"settings"`
	Erased   []string       `json:"erased"`
	Anchors  []string       `json:"anchors"`
	Domain   string         `json:"domain"`
	Seed     int64          `json:"seed"`
	Model    string         `json:"model"`        // that was edited
	Digest   string         `json:"model_digest"` // of its weights
	Pool     string         `json:"pool"`
	Kind     string         `json:"kind"`  // of the hook
	Layer    int            `json:"layer"` // blocks before the hook; as many as the model has: it acts on the final states
	Width    int            `json:"width"`
	Notes    map[string]any `json:"notes,omitempty"` // of the fit
	Seconds  float64        `json:"seconds"`
}

// Save writes a variant whose hook is a map or an eraser; Kind, Layer, Width, Model, Digest and Pool of the edit are filled in.
func Save(dir string, e *encoder.Encoder, v *encoder.Variant, edit Edit) error {
	edit.Format, edit.Model, edit.Digest, edit.Pool, edit.Layer, edit.Width, edit.Notes = Format, e.Model.Name, e.Model.Digest, e.Pool, v.Layer, e.Width(), v.Notes
	if v.Params != nil || v.PerText != nil {
		return fmt.Errorf("saved: %s changes weights: %w here; save the model's folder", v.Name, ErrKind)
	}
	var tensors []safetensors.Tensor
	add := func(name string, m *mat.Dense) {
		if m == nil {
			return
		}
		r, c := m.Dims()
		tensors = append(tensors, safetensors.F64(name, []int{r, c}, mat.DenseCopyOf(m).RawMatrix().Data))
	}
	switch h := v.Hook.(type) {
	case nil:
		edit.Kind = KindNothing
	case encoder.Linear:
		edit.Kind = KindMap
		add("left", h.Map.Left)
		add("right", h.Map.Right)
	case encoder.Affine:
		edit.Kind = KindEraser
		add("left", h.Eraser.Left)
		add("right", h.Eraser.Right)
		if h.Eraser.Bias != nil {
			tensors = append(tensors, safetensors.F64("bias", []int{len(h.Eraser.Bias)}, h.Eraser.Bias))
		}
	default:
		return fmt.Errorf("saved: %s acts by a %T: %w; maps and erasers have one", v.Name, v.Hook, ErrKind)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("saved: %w", err)
	}
	if len(tensors) > 0 {
		if err := safetensors.Write(filepath.Join(dir, tensorsFile), tensors, map[string]string{"format": "loupe-erase"}); err != nil {
			return err
		}
	}
	return atomicfile.Write(filepath.Join(dir, cardFile), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(edit)
	})
}

// maxCard is the largest edit.json that is read.
const maxCard = 16 << 20

// Load reads an edit for an encoder of the same model.
func Load(dir string, e *encoder.Encoder) (*encoder.Variant, *Edit, error) {
	edit, err := readCard(filepath.Join(dir, cardFile))
	if err != nil {
		return nil, nil, err
	}
	switch {
	case edit.Format != Format:
		return nil, nil, fmt.Errorf("saved: %s has format %d; this loupe reads %d", dir, edit.Format, Format)
	case edit.Digest != e.Model.Digest:
		return nil, nil, fmt.Errorf("saved: %s was fitted to %s (%.12s), not to %s (%.12s)", dir, edit.Model, edit.Digest, e.Model.Name, e.Model.Digest)
	case edit.Width != e.Width():
		return nil, nil, fmt.Errorf("saved: %s is of width %d, the encoder's states have %d", dir, edit.Width, e.Width())
	}
	v := &encoder.Variant{Name: edit.Method, Layer: edit.Layer, Notes: edit.Notes}
	if edit.Kind == KindNothing {
		return v, edit, nil
	}
	f, err := safetensors.Open(filepath.Join(dir, tensorsFile))
	if err != nil {
		return nil, nil, err
	}
	v.Hook, err = hook(f, edit)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, fmt.Errorf("saved: %s: %w", dir, err)
	}
	return v, edit, nil
}

func readCard(path string) (*Edit, error) {
	i, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("saved: %s is no folder of an edit: it has no %s", filepath.Dir(path), cardFile)
	}
	if err != nil {
		return nil, fmt.Errorf("saved: %w", err)
	}
	if i.Size() > maxCard {
		return nil, fmt.Errorf("saved: %s has %d bytes; at most %d are read", path, i.Size(), maxCard)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("saved: %w", err)
	}
	edit := new(Edit)
	if err := json.Unmarshal(body, edit); err != nil {
		return nil, fmt.Errorf("saved: %s: %w", path, err)
	}
	return edit, nil
}

func hook(f *safetensors.File, edit *Edit) (encoder.Hook, error) {
	read := func(name string, transposed bool) (*mat.Dense, error) {
		i, ok := f.Info(name)
		if !ok || len(i.Shape) != 2 {
			return nil, fmt.Errorf("tensor %s is missing or no matrix", name)
		}
		if at := map[bool]int{false: 0, true: 1}[transposed]; i.Shape[at] != edit.Width || i.Shape[1-at] < 1 {
			return nil, fmt.Errorf("tensor %s has shape %v for width %d", name, i.Shape, edit.Width)
		}
		values, err := f.Float64(name)
		if err != nil {
			return nil, err
		}
		return mat.NewDense(i.Shape[0], i.Shape[1], values), nil
	}
	left, err := read("left", false)
	if err != nil {
		return nil, err
	}
	right, err := read("right", edit.Kind == KindEraser)
	if err != nil {
		return nil, err
	}
	_, r := left.Dims()
	switch edit.Kind {
	case KindMap:
		if _, c := right.Dims(); c != r {
			return nil, fmt.Errorf("factors of %d and %d columns", r, c)
		}
		return encoder.Linear{Map: &erase.Map{Left: left, Right: right}}, nil
	case KindEraser:
		if n, _ := right.Dims(); n != r {
			return nil, fmt.Errorf("factors of rank %d and %d", r, n)
		}
		bias, err := f.Float64("bias")
		if err != nil {
			return nil, err
		}
		if len(bias) != edit.Width {
			return nil, fmt.Errorf("bias of width %d for width %d", len(bias), edit.Width)
		}
		return encoder.Affine{Eraser: &vectors.Eraser{Left: left, Right: right, Bias: bias}}, nil
	}
	return nil, fmt.Errorf("kind %q is unknown; use %s, %s or %s", edit.Kind, KindNothing, KindMap, KindEraser)
}
