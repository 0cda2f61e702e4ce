package vectors

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"loupe/internal/atomicfile"
	"loupe/internal/gguf"
)

// What a control vector's GGUF file holds (llama.cpp's cvector-generator and --control-vector, repeng's export_gguf).
const (
	ggufArchitecture = "controlvector"
	ggufModelHint    = "controlvector.model_hint"
	ggufLayerCount   = "controlvector.layer_count"
	ggufDirection    = "direction."

	ggufVersion   = 3
	ggufAlignment = 32
	ggufUint32    = 4
	ggufString    = 8
	ggufF32       = 0
)

// WriteGGUF writes the control vector to path atomically, as llama.cpp reads it: float32 tensors direction.LAYER in
// ascending order. The bytes are those of repeng 0.4.0. llama.cpp refuses layer 0.
func (c *ControlVector) WriteGGUF(path string) error {
	if err := c.Validate(); err != nil {
		return err
	}
	file := c.encodeGGUF()
	err := atomicfile.Write(path, func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	})
	if err != nil {
		return fmt.Errorf("vectors: write %s: %w", path, err)
	}
	return nil
}

func (c *ControlVector) encodeGGUF() []byte {
	order := binary.LittleEndian
	text := func(b []byte, s string) []byte { return append(order.AppendUint64(b, uint64(len(s))), s...) }
	pad := func(b []byte) []byte {
		return append(b, make([]byte, (ggufAlignment-len(b)%ggufAlignment)%ggufAlignment)...)
	}
	layers := c.Layers()
	b := append([]byte("GGUF"), order.AppendUint32(nil, ggufVersion)...)
	b = order.AppendUint64(b, uint64(len(layers)))
	keys := uint64(3)
	if c.ModelHint == "" { // gguf's writer leaves out a key whose text is empty
		keys--
	}
	b = order.AppendUint64(b, keys)
	b = text(order.AppendUint32(text(b, "general.architecture"), ggufString), ggufArchitecture)
	if c.ModelHint != "" {
		b = text(order.AppendUint32(text(b, ggufModelHint), ggufString), c.ModelHint)
	}
	b = order.AppendUint32(order.AppendUint32(text(b, ggufLayerCount), ggufUint32), uint32(len(layers)))
	offset := 0
	for _, l := range layers {
		width := len(c.Directions[l])
		b = order.AppendUint32(text(b, ggufDirection+strconv.Itoa(l)), 1) // one axis
		b = order.AppendUint64(b, uint64(width))
		b = order.AppendUint32(b, ggufF32)
		b = order.AppendUint64(b, uint64(offset))
		offset += (4*width + ggufAlignment - 1) / ggufAlignment * ggufAlignment
	}
	b = pad(b)
	for _, l := range layers {
		start := len(b)
		b, _ = binary.Append(b, order, c.Directions[l]) // it fails only for types without a size
		b = append(b, make([]byte, (ggufAlignment-(len(b)-start)%ggufAlignment)%ggufAlignment)...)
	}
	return b
}

// ReadControlVectorGGUF reads a control vector that repeng, llama.cpp or WriteGGUF wrote.
func ReadControlVectorGGUF(path string) (*ControlVector, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("vectors: read control vector: %w", err)
	}
	defer f.Close()
	if arch, _ := f.String("general.architecture"); arch != ggufArchitecture {
		return nil, fmt.Errorf("vectors: read %s: architecture is %q, not %q: %w; is it a model?", path, arch, ggufArchitecture, ErrArgument)
	}
	c := &ControlVector{Directions: make(map[int][]float32)}
	c.ModelHint, _ = f.String(ggufModelHint)
	for _, t := range f.Tensors() {
		number, found := strings.CutPrefix(t.Name, ggufDirection)
		layer, err := strconv.Atoi(number)
		if !found || err != nil || strconv.Itoa(layer) != number {
			return nil, fmt.Errorf("vectors: read %s: tensor %q is not %sLAYER: %w", path, t.Name, ggufDirection, ErrArgument)
		}
		if len(t.Shape) != 1 {
			return nil, fmt.Errorf("vectors: read %s: tensor %s has shape %v, not one axis: %w", path, t.Name, t.Shape, ErrShape)
		}
		if c.Directions[layer], err = f.Float32(t.Name); err != nil {
			return nil, fmt.Errorf("vectors: read %s: %w", path, err)
		}
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}
