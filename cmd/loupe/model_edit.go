package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/npy"
	"loupe/internal/safetensors"
	"loupe/probe/model"
)

// addition is a vector that is added at a site with a strength: --edit SITE=FILE[#TENSOR]:STRENGTH.
type addition struct {
	site     model.Site
	vector   []float32
	strength float32
}

const editForm = "use --edit SITE=FILE:STRENGTH with a .npy file, or a .safetensors file and its tensor as FILE#TENSOR"

// parseAddition reads the value of --edit and the vector that it names.
func parseAddition(arg string) (addition, error) {
	name, rest, ok := strings.Cut(arg, "=")
	at := strings.LastIndexByte(rest, ':')
	if !ok || at < 1 {
		return addition{}, usagef("--edit %q: %s", arg, editForm)
	}
	strength, err := strconv.ParseFloat(rest[at+1:], 32)
	if err != nil || math.IsNaN(strength) || math.IsInf(strength, 0) {
		return addition{}, usagef("--edit %q: the strength %q is not a number; %s", arg, rest[at+1:], editForm)
	}
	site, err := model.ParseSite(name)
	if err != nil {
		return addition{}, usagef("--edit %q: %w", arg, err)
	}
	vector, err := readVector(rest[:at])
	return addition{site, vector, float32(strength)}, err
}

// readVector reads a vector ([d] or [1,d]) from a .npy file or from a tensor of a .safetensors file, FILE#TENSOR; of a
// file with one tensor the name may be left out.
func readVector(ref string) ([]float32, error) {
	path, name, _ := strings.Cut(ref, "#")
	var shape []int
	var values []float32
	switch strings.ToLower(filepath.Ext(path)) {
	case ".npy":
		array, err := npy.Read(path)
		if err != nil {
			return nil, err
		}
		if values, err = array.Float32s(); err != nil {
			return nil, err
		}
		shape = array.Shape
	case ".safetensors":
		file, err := safetensors.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		if names := file.Names(); name == "" && len(names) == 1 {
			name = names[0]
		}
		info, ok := file.Info(name)
		if !ok {
			return nil, fmt.Errorf("%s has no tensor %q; it has %s; name one as %s#TENSOR", path, name, strings.Join(file.Names(), ", "), path)
		}
		if values, err = file.Float32(name); err != nil {
			return nil, err
		}
		shape = info.Shape
	default:
		return nil, usagef("%s is neither a .npy nor a .safetensors file; %s", path, editForm)
	}
	if len(shape) == 0 || len(values) != shape[len(shape)-1] {
		return nil, fmt.Errorf("%s has shape %v; one vector is needed", ref, shape)
	}
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("%s: component %d is %v; make the vector again", ref, i, v)
		}
	}
	return values, nil
}

// check holds the addition against a model.
func (a addition) check(s *model.Spec) error {
	if err := s.Has(a.site); err != nil {
		return err
	}
	if !a.site.Kind.InBlock() && a.site.Kind != model.Embed {
		return usagef("--edit %s: text is generated with edits inside the blocks or at hook_embed", a.site)
	}
	if width := s.Width(a.site.Kind, 1); width != len(a.vector) {
		return fmt.Errorf("--edit %s: the vector has %d components; the site has %d", a.site, len(a.vector), width)
	}
	return nil
}

// edit is the compiled class of the addition.
func (a addition) edit() model.Edit {
	e := model.Edit{Site: a.site.Kind, Add: true}
	if a.site.Kind.InBlock() {
		e.Layers = []int{a.site.Layer}
	}
	return e
}

// values are the edit's run-time tensors for a pass over [batch, seq] positions: the strength everywhere.
func (a addition) values(s *model.Spec, batch, seq int) map[string]*tensors.Tensor {
	dims := s.Dims(a.site.Kind, batch, seq)
	place := append([]int{1}, dims[:len(dims)-1]...)
	n := 1
	for _, d := range place {
		n *= d
	}
	return map[string]*tensors.Tensor{
		"strength":  tensors.FromFlatDataAndDimensions(slices.Repeat([]float32{a.strength}, n), place...),
		"direction": tensors.FromFlatDataAndDimensions(slices.Clone(a.vector), len(a.vector)),
	}
}
