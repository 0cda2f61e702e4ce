package vectors

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

// Translator is an affine map of one layer's residual stream: h' = h + h Weightᵀ + Bias. Zeros are the identity.
type Translator struct {
	Weight *mat.Dense // [d, d], out by in
	Bias   []float64  // [d]
}

// TunedLens reads each layer's residual stream (hook_resid_post) through a translator of its own and then the model's final norm
// and unembedding (Belrose et al., arXiv:2303.08112). With zero translators it is the logit lens.
type TunedLens struct {
	Lens        *Lens
	Translators map[int]*Translator // by layer; a layer without one reads as the logit lens does
	Model       string              // digest of the model's weights, so that a lens is not used with another model; "" is not checked
}

// Layers lists the layers with a translator, ascending.
func (t *TunedLens) Layers() []int { return slices.Sorted(maps.Keys(t.Translators)) }

// Translate returns h' of a layer's h [t, d].
func (t *TunedLens) Translate(layer int, h *mat.Dense) (*mat.Dense, error) {
	n, d, err := checkRows("h", h)
	if err != nil {
		return nil, err
	}
	out := mat.DenseCopyOf(h)
	tr, ok := t.Translators[layer]
	if !ok {
		return out, nil
	}
	if err := checkWidth(fmt.Sprintf("translator of layer %d", layer), len(tr.Bias), d); err != nil {
		return nil, err
	}
	var moved mat.Dense
	moved.Mul(h, tr.Weight.T())
	out.Add(out, &moved)
	for i := range n {
		floats.Add(out.RawRowView(i), tr.Bias)
	}
	return out, nil
}

// Read is Lens.Read of the translated rows.
func (t *TunedLens) Read(layer int, h *mat.Dense, k int) (*Reading, error) {
	moved, err := t.Translate(layer, h)
	if err != nil {
		return nil, err
	}
	return t.Lens.Read(moved, k)
}

// The files of a tuned lens's folder.
const (
	tunedLensFile   = "lens.safetensors"
	tunedLensConfig = "config.json"
	tunedLensFormat = 1
)

// tunedLensMeta is config.json of a tuned lens.
type tunedLensMeta struct {
	Format int    `json:"format"`
	Kind   string `json:"kind"`
	Model  string `json:"model"` // digest of the model's weights
	DModel int    `json:"d_model"`
	Layers []int  `json:"layers"`
}

// Write saves the translators in a folder: lens.safetensors with float32 tensors LAYER.weight [d, d] and LAYER.bias [d], as the
// reference's state has them, and config.json.
func (t *TunedLens) Write(dir string) error {
	var list []safetensors.Tensor
	meta := tunedLensMeta{Format: tunedLensFormat, Kind: "tuned_lens", Model: t.Model, Layers: t.Layers()}
	for _, l := range meta.Layers {
		tr := t.Translators[l]
		meta.DModel = len(tr.Bias)
		list = append(list, safetensors.F32(strconv.Itoa(l)+".weight", []int{meta.DModel, meta.DModel}, float32s(mat.DenseCopyOf(tr.Weight).RawMatrix().Data)),
			safetensors.F32(strconv.Itoa(l)+".bias", []int{meta.DModel}, float32s(tr.Bias)))
	}
	if len(list) == 0 {
		return fmt.Errorf("vectors: tuned lens without a translator: %w; train one", ErrArgument)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("vectors: write tuned lens: %w", err)
	}
	if err := safetensors.Write(filepath.Join(dir, tunedLensFile), list, nil); err != nil {
		return fmt.Errorf("vectors: write tuned lens: %w", err)
	}
	err := atomicfile.Write(filepath.Join(dir, tunedLensConfig), func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(meta)
	})
	if err != nil {
		return fmt.Errorf("vectors: write tuned lens: %w", err)
	}
	return nil
}

// ReadTunedLens reads the translators of a folder for a model's lens. It refuses those of another width, and, when both digests
// are known, those of a model with other weights.
func ReadTunedLens(dir string, lens *Lens, digest string) (*TunedLens, error) {
	raw, err := os.ReadFile(filepath.Join(dir, tunedLensConfig))
	if err != nil {
		return nil, fmt.Errorf("vectors: read tuned lens: %w; `loupe vectors lens --train` makes one", err)
	}
	var meta tunedLensMeta
	if err := json.Unmarshal(raw, &meta); err != nil {
		return nil, fmt.Errorf("vectors: read tuned lens %s: %w", dir, err)
	}
	if err := lens.Validate(); err != nil {
		return nil, err
	}
	d, _ := lens.Unembed.Dims()
	switch {
	case meta.Format != tunedLensFormat || meta.Kind != "tuned_lens":
		return nil, fmt.Errorf("vectors: read tuned lens %s: it is %q of format %d, not tuned_lens of format %d: %w", dir, meta.Kind, meta.Format, tunedLensFormat, ErrArgument)
	case meta.DModel != d:
		return nil, checkWidth("tuned lens "+dir, meta.DModel, d)
	case meta.Model != "" && digest != "" && meta.Model != digest:
		return nil, fmt.Errorf("vectors: read tuned lens %s: it was trained for weights %.12s, the model has %.12s: %w", dir, meta.Model, digest, ErrArgument)
	}
	f, err := safetensors.Open(filepath.Join(dir, tunedLensFile))
	if err != nil {
		return nil, fmt.Errorf("vectors: read tuned lens: %w", err)
	}
	defer f.Close()
	t := &TunedLens{Lens: lens, Translators: map[int]*Translator{}, Model: meta.Model}
	for _, l := range meta.Layers {
		weight, err := lensTensor(f, strconv.Itoa(l)+".weight", d, d)
		if err != nil {
			return nil, fmt.Errorf("vectors: read tuned lens %s: %w", dir, err)
		}
		bias, err := lensTensor(f, strconv.Itoa(l)+".bias", d)
		if err != nil {
			return nil, fmt.Errorf("vectors: read tuned lens %s: %w", dir, err)
		}
		t.Translators[l] = &Translator{Weight: mat.NewDense(d, d, weight), Bias: bias}
	}
	return t, nil
}

// lensTensor reads a float32 tensor of the given shape with finite values.
func lensTensor(f *safetensors.File, name string, dims ...int) ([]float64, error) {
	info, ok := f.Info(name)
	if !ok || !slices.Equal(info.Shape, dims) {
		return nil, fmt.Errorf("tensor %s has shape %v and needs %v: %w", name, info.Shape, dims, ErrShape)
	}
	values, err := f.Float32(name)
	if err != nil {
		return nil, err
	}
	out := float64s(values)
	for i, v := range out {
		if v-v != 0 {
			return nil, fmt.Errorf("tensor %s: entry %d is %v: %w", name, i, v, ErrNotFinite)
		}
	}
	return out, nil
}
