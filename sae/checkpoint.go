package sae

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

// A checkpoint is a folder step-NNNNNNNNN with state.safetensors (weights, both moments, rows since each latent fired)
// and state.json (everything else, and the digest of the former). Nothing in training is random after the start, so
// there is no random state to keep. It appears by a rename, whole or not at all.
const (
	checkpointPrefix = "step-"
	stateTensors     = "state.safetensors"
	stateFile        = "state.json"
	keptCheckpoints  = 2
)

// trainerState is state.json.
type trainerState struct {
	Format   int            `json:"format"`
	Step     int64          `json:"step"`
	Scale    float64        `json:"scale"`
	Config   Config         `json:"config"`
	Metadata map[string]any `json:"metadata,omitempty"`
	Cursor   []byte         `json:"cursor"`
	Digest   string         `json:"state_sha256"`
}

const stateFormat = 1

// Save writes a checkpoint below dir, with the data's cursor, and removes all but the newest two.
func (t *Trainer) Save(dir string, cursor []byte) error {
	name := fmt.Sprintf("%s%09d", checkpointPrefix, t.step)
	if err := t.save(dir, name, cursor); err != nil {
		return fmt.Errorf("sae: write checkpoint %s: %w", filepath.Join(dir, name), err)
	}
	names, err := checkpoints(dir)
	if err != nil {
		return err
	}
	for _, old := range names[:max(0, len(names)-keptCheckpoints)] {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return fmt.Errorf("sae: remove old checkpoint: %w", err)
		}
	}
	return nil
}

func (t *Trainer) save(dir, name string, cursor []byte) error {
	p, err := t.eng.snapshot()
	if err != nil {
		return err
	}
	tmp, final := filepath.Join(dir, "."+name+".tmp"), filepath.Join(dir, name)
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	path := filepath.Join(tmp, stateTensors)
	if err := safetensors.Write(path, t.stateTensors(p), nil); err != nil {
		return err
	}
	digest, err := safetensors.Digest(path)
	if err != nil {
		return err
	}
	state := trainerState{stateFormat, t.step, t.scale, t.cfg, t.meta, cursor, digest}
	if err := writeJSON(filepath.Join(tmp, stateFile), state); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil { // left by a run that went on from an earlier one
		return err
	}
	return os.Rename(tmp, final)
}

func (t *Trainer) stateTensors(p params) []safetensors.Tensor {
	out := []safetensors.Tensor{safetensors.I64("silent", []int{t.cfg.DSAE}, t.silent)}
	for i, w := range []weights{p.w, p.m, p.v} {
		for j, s := range w.slices() {
			out = append(out, safetensors.F32(stateName(i, j), t.stateShape(j), s))
		}
	}
	return out
}

// stateName is the name of weight j's value (i = 0), first (1) or second moment (2).
func stateName(i, j int) string { return [3]string{"w.", "m.", "v."}[i] + weightNames[j] }

// stateShape is the shape of weight j in a checkpoint, where the encoder lies as [F, d].
func (t *Trainer) stateShape(j int) []int {
	return [4][]int{{t.cfg.DSAE, t.cfg.DIn}, {t.cfg.DSAE, t.cfg.DIn}, {t.cfg.DSAE}, {t.cfg.DIn}}[j]
}

// Checkpoint says what [Resume] found.
type Checkpoint struct {
	Path    string // the folder that was read
	Cursor  []byte // the data's cursor, for [Rows.Restore]
	Skipped error  // why newer checkpoints could not be used; nil if there were none
}

// ErrNoCheckpoint says that a folder holds no checkpoint that can be read.
var ErrNoCheckpoint = errors.New("no usable checkpoint")

// Resume returns a trainer that goes on from the newest whole checkpoint below dir, with the configuration it was
// saved with. A damaged checkpoint is passed over for the one before and reported.
func Resume(b compute.Backend, dir string) (*Trainer, Checkpoint, error) {
	names, err := checkpoints(dir)
	if err != nil {
		return nil, Checkpoint{}, err
	}
	var found Checkpoint
	for _, name := range slices.Backward(names) {
		path := filepath.Join(dir, name)
		t, cursor, err := readCheckpoint(b, path)
		if err == nil {
			found.Path, found.Cursor = path, cursor
			return t, found, nil
		}
		found.Skipped = errors.Join(found.Skipped, fmt.Errorf("sae: checkpoint %s: %w", path, err))
	}
	err = fmt.Errorf("sae: %w in %s; start the run anew", ErrNoCheckpoint, dir)
	return nil, found, errors.Join(err, found.Skipped)
}

func readCheckpoint(b compute.Backend, path string) (*Trainer, []byte, error) {
	raw, err := os.ReadFile(filepath.Join(path, stateFile))
	if err != nil {
		return nil, nil, err
	}
	var s trainerState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", stateFile, err)
	}
	if s.Format != stateFormat {
		return nil, nil, fmt.Errorf("%s: format %d, want %d", stateFile, s.Format, stateFormat)
	}
	if err := s.Config.Validate(); err != nil {
		return nil, nil, err
	}
	if s.Step < 0 || !(s.Scale > 0) {
		return nil, nil, fmt.Errorf("%s: step %d, scale %v", stateFile, s.Step, s.Scale)
	}
	tensors := filepath.Join(path, stateTensors)
	digest, err := safetensors.Digest(tensors)
	if err != nil {
		return nil, nil, err
	}
	if digest != s.Digest {
		return nil, nil, fmt.Errorf("%s has SHA-256 %s, want %s: the file is damaged", stateTensors, digest, s.Digest)
	}
	f, err := safetensors.Open(tensors)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	t := &Trainer{cfg: s.Config}
	var p params
	for i, w := range []*weights{&p.w, &p.m, &p.v} {
		var parts [4][]float32
		for j := range parts {
			if parts[j], err = readTensor(f, stateName(i, j), t.stateShape(j)); err != nil {
				return nil, nil, err
			}
		}
		*w = weights{parts[0], parts[1], parts[2], parts[3]}
	}
	silent, err := f.Int64("silent")
	if err != nil {
		return nil, nil, err
	}
	if len(silent) != s.Config.DSAE {
		return nil, nil, fmt.Errorf("silent has %d values, want %d", len(silent), s.Config.DSAE)
	}
	if t, err = newTrainer(b, s.Config, p, s.Scale); err != nil {
		return nil, nil, err
	}
	t.step, t.meta = s.Step, s.Metadata
	copy(t.silent, silent)
	return t, s.Cursor, nil
}

// checkpoints returns the names of the checkpoints below dir, oldest first.
func checkpoints(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sae: checkpoints: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), checkpointPrefix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// newestCheckpoint names the newest checkpoint below dir, or "none".
func newestCheckpoint(dir string) string {
	names, err := checkpoints(dir)
	if err != nil || len(names) == 0 {
		return "none"
	}
	return filepath.Join(dir, names[len(names)-1])
}

// writeJSON writes v as indented JSON, atomically.
func writeJSON(path string, v any) error {
	return atomicfile.Write(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// readTensor returns the values of a tensor that must have the given shape.
func readTensor(f *safetensors.File, name string, shape []int) ([]float32, error) {
	info, ok := f.Info(name)
	if !ok {
		return nil, fmt.Errorf("tensor %s is missing; the file has %v", name, f.Names())
	}
	if !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("tensor %s has shape %v, want %v", name, info.Shape, shape)
	}
	return f.Float32(name)
}
