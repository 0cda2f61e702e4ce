package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/safetensors"
)

// A checkpoint is a folder with state.json and the one file of tensors that it names: the trained weights, both moments and
// the masks. The tensors are written under a new name first and state.json, which holds their digest, takes its name last, so
// that a kill at any moment leaves the old checkpoint or the new one.
const (
	stateFile   = "state.json"
	statePrefix = "state-"
	stateFormat = 1
	stateLimit  = 16 << 20 // bytes of state.json
)

// state is state.json.
type state struct {
	Format int      `json:"format"`
	Step   int      `json:"step"`
	Config Config   `json:"config"`
	Names  []string `json:"names"`
	Spec   string   `json:"spec_sha256"`
	Parent string   `json:"parent_sha256"` // of the weights that training began from
	File   string   `json:"file"`
	Digest string   `json:"file_sha256"`
}

// Save writes a checkpoint to dir, replacing an older one of this run.
func (t *Trainer) Save(dir string) error {
	if err := t.save(dir); err != nil {
		return fmt.Errorf("train: save checkpoint %s: %w", dir, err)
	}
	return nil
}

func (t *Trainer) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var list []safetensors.Tensor
	for _, name := range t.names {
		values, err := t.params.Values(name)
		if err != nil {
			return err
		}
		shape := t.params.Get(name).Shape().Dimensions
		list = append(list, safetensors.F32("w."+name, shape, values), safetensors.F32("m."+name, shape, t.m[name]), safetensors.F32("v."+name, shape, t.v[name]))
		if mask := t.masks[name]; mask != nil {
			list = append(list, safetensors.F32("mask."+name, shape, mask))
		}
	}
	s := state{Format: stateFormat, Step: t.step, Config: t.cfg, Names: t.names, Spec: t.model.Spec.Digest(), Parent: t.model.Digest,
		File: fmt.Sprintf("%s%012d.safetensors", statePrefix, t.step)}
	path := filepath.Join(dir, s.File)
	if err := safetensors.Write(path, list, nil); err != nil {
		return err
	}
	var err error
	if s.Digest, err = safetensors.Digest(path); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(dir, stateFile), s); err != nil {
		return err
	}
	old, err := filepath.Glob(filepath.Join(dir, statePrefix+"*.safetensors"))
	for _, name := range old {
		if filepath.Base(name) != s.File {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

// Resume puts a new trainer where [Trainer.Save] stood. It must have been made with the same model, parameters and settings;
// a difference or a damaged file is an error that leaves the trainer as it was.
func (t *Trainer) Resume(dir string) error {
	if err := t.resume(dir); err != nil {
		return fmt.Errorf("train: resume from %s: %w", dir, err)
	}
	return nil
}

func (t *Trainer) resume(dir string) error {
	info, err := os.Stat(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	if info.Size() > stateLimit {
		return fmt.Errorf("%s has %d bytes: it is not a checkpoint's", stateFile, info.Size())
	}
	raw, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return err
	}
	s, err := parseState(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", stateFile, err)
	}
	switch {
	case s.Spec != t.model.Spec.Digest():
		return fmt.Errorf("it is of another architecture than this %s model", t.model.Spec.Family)
	case s.Parent != t.model.Digest:
		return fmt.Errorf("training began from weights %s, not %s: resume with the same model", s.Parent, t.model.Digest)
	case s.Config != t.cfg:
		return fmt.Errorf("it was made with settings %+v, not %+v: resume with the same ones", s.Config, t.cfg)
	case !slices.Equal(s.Names, t.names):
		return fmt.Errorf("it trains %s, not %s", strings.Join(s.Names, ", "), strings.Join(t.names, ", "))
	}
	path := filepath.Join(dir, s.File)
	digest, err := safetensors.Digest(path)
	if err != nil {
		return err
	}
	if digest != s.Digest {
		return fmt.Errorf("%s has SHA-256 %s, want %s: the file is damaged; train again or resume from a copy", s.File, digest, s.Digest)
	}
	return t.load(path, s.Step)
}

// load reads a checkpoint's tensors and, when all are right, takes them over.
func (t *Trainer) load(path string, step int) error {
	f, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w, m, v, masks := Gradients{}, Gradients{}, Gradients{}, Gradients{}
	for _, name := range t.names {
		for prefix, set := range map[string]Gradients{"w.": w, "m.": m, "v.": v, "mask.": masks} {
			info, ok := f.Info(prefix + name)
			if !ok && prefix == "mask." {
				continue
			}
			if shape := t.params.Get(name).Shape().Dimensions; !ok || info.DType != "F32" || !slices.Equal(info.Shape, shape) {
				return fmt.Errorf("%s: tensor %s is missing or not float32 of shape %v", filepath.Base(path), prefix+name, shape)
			}
			if set[name], err = f.Float32(prefix + name); err != nil {
				return err
			}
		}
	}
	for _, name := range t.names {
		if err := tensors.MutableFlatData(t.params.Get(name), func(flat []float32) { copy(flat, w[name]) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	t.m, t.v, t.masks, t.step = m, v, masks, step
	return nil
}

// parseState reads and checks state.json.
func parseState(raw []byte) (state, error) {
	var s state
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, err
	}
	switch {
	case s.Format != stateFormat:
		return s, fmt.Errorf("format %d, want %d", s.Format, stateFormat)
	case s.Step < 0:
		return s, fmt.Errorf("step %d", s.Step)
	case filepath.Base(s.File) != s.File || !strings.HasPrefix(s.File, statePrefix):
		return s, fmt.Errorf("file %q is not a name of a checkpoint's tensors", s.File)
	}
	return s, s.Config.Validate()
}
