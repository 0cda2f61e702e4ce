package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"loupe/internal/safetensors"
)

// openFolder opens a Hugging Face folder.
func openFolder(path string, opt Options) (*checkpoint, error) {
	f, err := matchFolder(path, opt)
	if err != nil {
		return nil, err
	}
	weights, err := weightFiles(path)
	if err != nil {
		return nil, closing(err, f.files.Close)
	}
	return &checkpoint{
		spec: f.spec, read: f.read, stored: f.tensors(), files: weights, close: f.files.Close,
		digest: func() (string, error) { return weightDigest(weights) },
	}, nil
}

// matchFolder reads a folder's configuration, opens its weight files and holds them against each other.
func matchFolder(path string, opt Options) (*folder, error) {
	c, err := readConfig(filepath.Join(path, "config.json"))
	if err != nil {
		return nil, err
	}
	spec, family, err := parseSpec(c)
	if err != nil {
		return nil, err
	}
	if spec.Sentence, err = readPooling(path); err != nil {
		return nil, err
	}
	files, err := safetensors.OpenDir(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	f := &folder{path: path, spec: spec, family: family, files: files, stored: map[string]string{}}
	if err := f.match(c, opt); err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, closing(err, files.Close))
	}
	return f, nil
}

// folder matches the tensors of a folder's files with the parameters of its Spec.
type folder struct {
	path    string
	spec    *Spec
	family  family
	files   safetensors.Reader
	stored  map[string]string // normalised -> stored name
	sources map[string]source
}

// match finds every parameter's tensor, checks the shapes that are stored as they are used, and refuses tensors that
// no parameter uses.
func (f *folder) match(c *config, opt Options) error {
	for _, stored := range f.files.Names() {
		f.stored[f.family.normalise(stored)] = stored
	}
	if f.family.fit != nil {
		f.family.fit(c, f.spec, func(name string) bool { _, ok := f.stored[name]; return ok })
	}
	f.sources = f.family.sources(f.spec)
	used := map[string]bool{}
	for _, p := range f.spec.Params() {
		src, ok := f.sources[p.Name]
		if !ok {
			return fmt.Errorf("the %s family has no source for parameter %s; this is a mistake in probe/model", f.spec.Family, p.Name)
		}
		name, ok := f.find(src)
		if !ok {
			return fmt.Errorf("tensor %s is missing (parameter %s, shape %v); the checkpoint does not fit config.json or is incomplete", src.names[0], p.Name, p.Dims)
		}
		used[name] = true
		if info, _ := f.files.Info(f.stored[name]); src.transform == nil && !slices.Equal(info.Shape, p.Dims) {
			return misshapen(f.stored[name], p, info.Shape)
		}
	}
	if opt.AllowExtra {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(f.stored)) {
		if !used[name] && !f.family.ignores(name) {
			return fmt.Errorf("tensor %s is not part of a %s model; if that is intended allow extra tensors (--allow-extra)", f.stored[name], f.spec.Family)
		}
	}
	return nil
}

// find returns the first of a source's names that is there, normalised.
func (f *folder) find(src source) (string, bool) {
	for _, name := range src.names {
		if _, ok := f.stored[name]; ok {
			return name, true
		}
	}
	return "", false
}

// misshapen is the error of a tensor that does not fit its parameter.
func misshapen(tensor string, p Param, got []int) error {
	return fmt.Errorf("tensor %s gives %s of shape %v; the configuration asks for %v: the file does not fit it", tensor, p.Name, got, p.Dims)
}

// read reads one parameter.
func (f *folder) read(p Param) (matrix, error) {
	src := f.sources[p.Name]
	name, _ := f.find(src)
	stored := f.stored[name]
	info, _ := f.files.Info(stored)
	data, err := f.files.Float32(stored)
	if err != nil {
		return matrix{}, fmt.Errorf("model: %w", err)
	}
	x := matrix{data, info.Shape}
	if src.transform != nil {
		if x, err = src.transform(x); err != nil {
			return matrix{}, fmt.Errorf("model: %s: tensor %s: %w; the file does not fit config.json", f.path, stored, err)
		}
	}
	if !slices.Equal(x.dims, p.Dims) {
		return matrix{}, fmt.Errorf("model: %s: %w", f.path, misshapen(stored, p, x.dims))
	}
	return x, nil
}

// tensors lists what is stored.
func (f *folder) tensors() []storedTensor {
	out := make([]storedTensor, 0, len(f.stored))
	for _, name := range f.files.Names() {
		info, _ := f.files.Info(name)
		out = append(out, storedTensor{info.DType, product(info.Shape)})
	}
	return out
}

// normalise removes the family's optional prefix and old names of LayerNorm weights from a tensor's name.
func (f family) normalise(name string) string {
	for _, p := range f.prefixes {
		if rest, ok := strings.CutPrefix(name, p); ok {
			name = rest
			break
		}
	}
	if rest, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return rest + "LayerNorm.weight"
	}
	if rest, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return rest + "LayerNorm.bias"
	}
	return name
}

// ignores tells whether a tensor is known to carry nothing for this architecture.
func (f family) ignores(name string) bool {
	for _, pattern := range f.ignore {
		if matchStar(pattern, name) {
			return true
		}
	}
	return false
}

// matchStar matches name against a pattern in which * stands for any run of characters.
func matchStar(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if matchStar(rest, name[i:]) {
			return true
		}
	}
	return false
}

// weightFiles lists the folder's safetensors files in name order.
func weightFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "model") && strings.HasSuffix(e.Name(), ".safetensors") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// weightDigest is the SHA-256 over the names and digests of weight files.
func weightDigest(files []string) (string, error) {
	h := sha256.New()
	for _, name := range files {
		d, err := safetensors.Digest(name)
		if err != nil {
			return "", fmt.Errorf("model: %w", err)
		}
		fmt.Fprintf(h, "%s %s\n", filepath.Base(name), d)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
