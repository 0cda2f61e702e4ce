package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
	"loupe/probe/model"
	"loupe/probe/token"
)

// Edit is edit.json, which SaveFolder puts beside the weights.
type Edit struct {
	Format  int        `json:"format"`
	Parent  EditParent `json:"parent"`
	Changed []string   `json:"changed"`           // parameters that differ from the parent's, by canonical name
	Weights string     `json:"model_file_sha256"` // of model.safetensors
	Note    any        `json:"note,omitempty"`    // what was edited and how
}

// EditParent is the model that an edited one came from.
type EditParent struct {
	Name    string `json:"name"`
	Weights string `json:"weights_sha256"` // as model.Model.Digest
}

const editFormat = 1

// SaveFolder writes m with the weights p as a Hugging Face folder that loupe and transformers load. Configuration, tokenizer and
// sentence-transformers files are the parent's, the weights are one model.safetensors under the parent's tensor names, and
// edit.json holds note, the parent's digest and the names of what changed. The model card, other weight files and code are
// left out: they tell of the parent. dir must not exist or be empty; it appears whole or not at all. A model from a GGUF file
// is an error.
func SaveFolder(m *model.Model, p *model.Params, dir string, note any) error {
	if err := saveFolder(m, p, dir, note); err != nil {
		return fmt.Errorf("train: save model folder %s: %w", dir, err)
	}
	return nil
}

func saveFolder(m *model.Model, p *model.Params, dir string, note any) error {
	if err := free(dir); err != nil {
		return err
	}
	published, err := model.Publish(m, p)
	if err != nil {
		return err
	}
	return writeFolder(dir, func(tmp string) error {
		if err := copyModelFiles(m.Dir, tmp); err != nil {
			return err
		}
		return writeWeights(tmp, published, m, note)
	})
}

// writeWeights writes model.safetensors and edit.json.
func writeWeights(dir string, published *model.Published, m *model.Model, note any) error {
	path := filepath.Join(dir, "model.safetensors")
	if err := safetensors.Write(path, published.Tensors, published.Metadata); err != nil {
		return err
	}
	digest, err := safetensors.Digest(path)
	if err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "edit.json"), Edit{editFormat, EditParent{m.Name, m.Digest}, published.Changed, digest, note})
}

// free checks that a folder does not exist or is empty.
func free(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = errors.New("the folder is not empty; name a new one or remove it first")
	}
	return err
}

// writeFolder fills a folder beside dir and then gives it its name.
func writeFolder(dir string, fill func(tmp string) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// modelFiles are the kinds of files of a model folder that hold no weights and no code.
var modelFiles = []string{".json", ".txt", ".model", ".jinja"}

// copyModelFiles copies configuration and tokenizer: files of the known kinds in the folder and, where modules.json names
// parts of a sentence-transformers model, in their folders.
func copyModelFiles(from, to string) error {
	dirs := []string{"."}
	if raw, err := os.ReadFile(filepath.Join(from, "modules.json")); err == nil {
		var modules []struct{ Path string }
		if err := json.Unmarshal(raw, &modules); err != nil {
			return fmt.Errorf("modules.json: %w", err)
		}
		for _, m := range modules {
			if m.Path != "" && filepath.IsLocal(m.Path) {
				dirs = append(dirs, m.Path)
			}
		}
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(from, dir))
		if errors.Is(err, fs.ErrNotExist) && dir != "." {
			continue // Normalize needs no folder
		}
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, dir), 0o755); err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if !slices.Contains(modelFiles, filepath.Ext(name)) || slices.Contains(staleFiles, name) {
				continue
			}
			if err := copyFile(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// staleFiles tell of the parent's weights.
var staleFiles = []string{"model.safetensors.index.json", "pytorch_model.bin.index.json", "edit.json"}

func copyFile(from, to string) error {
	info, err := os.Stat(from) // through links, as hub caches have them
	if err != nil || info.IsDir() {
		return err
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	return errors.Join(atomicfile.Write(to, func(w io.Writer) error { _, err := io.Copy(w, f); return err }), f.Close())
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(path, func(w io.Writer) error { _, err := w.Write(append(raw, '\n')); return err })
}

// SaveNew writes a model that was made from a Spec, with weights p, as a Hugging Face folder: config.json, model.safetensors,
// tokenizer.json where there is one (nil: none) and edit.json, whose parent is the random start. dir must not exist or be empty.
func SaveNew(m *model.Model, p *model.Params, tokenizer []byte, dir string, note any) error {
	if err := saveNew(m, p, tokenizer, dir, note); err != nil {
		return fmt.Errorf("train: save new model folder %s: %w", dir, err)
	}
	return nil
}

func saveNew(m *model.Model, p *model.Params, tokenizer []byte, dir string, note any) error {
	if err := free(dir); err != nil {
		return err
	}
	config, published, err := model.PublishNew(m.Spec, p)
	if err != nil {
		return err
	}
	return writeFolder(dir, func(tmp string) error {
		if err := writeJSON(filepath.Join(tmp, "config.json"), config); err != nil {
			return err
		}
		if tokenizer != nil {
			if _, err := token.Parse(tokenizer); err != nil {
				return err
			}
			if err := atomicfile.Write(filepath.Join(tmp, "tokenizer.json"), func(w io.Writer) error { _, err := w.Write(tokenizer); return err }); err != nil {
				return err
			}
		}
		return writeWeights(tmp, published, m, note)
	})
}
