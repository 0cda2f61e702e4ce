package sae

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/gomlx/compute"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

// A checkpoint is a folder with state.safetensors (weights, both moments, rows since each latent fired
// and rows seen when it was resampled) and state.json
// (everything else, and the digest of the former). Nothing in training is random after the start, so there is no random
// state to keep.
const (
	stateTensors = "state.safetensors"
	stateFile    = "state.json"
)

// trainerState is state.json.
type trainerState struct {
	Format    int            `json:"format"`
	Step      int64          `json:"step"`
	Scales    []float64      `json:"scales"`
	OutScales []float64      `json:"out_scales"`
	Threshold []float64      `json:"threshold"` // batchtopk's
	Near      float64        `json:"near"`      // latents with a gradient in the last step
	Control   controller     `json:"control"`
	Config    Config         `json:"config"`
	Metadata  map[string]any `json:"metadata,omitempty"`
	Cursor    []byte         `json:"cursor"`
	Digest    string         `json:"state_sha256"`
}

const stateFormat = 4

// WriteCheckpoint writes the trainer's whole state and the data's cursor into dir, an existing empty folder. The caller
// makes the folder appear under its final name when it is whole, as [loupe/internal/run.Dir.SaveCheckpoint] does.
func (t *Trainer) WriteCheckpoint(dir string, cursor []byte) error {
	p, err := t.eng.snapshot()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateTensors)
	if err := safetensors.Write(path, t.stateTensors(p), nil); err != nil {
		return fmt.Errorf("sae: write checkpoint: %w", err)
	}
	digest, err := safetensors.Digest(path)
	if err != nil {
		return fmt.Errorf("sae: write checkpoint: %w", err)
	}
	state := trainerState{stateFormat, t.step, t.scales, t.outScales, t.threshold, t.near, t.control, t.cfg, t.meta, cursor, digest}
	if err := writeJSON(filepath.Join(dir, stateFile), state); err != nil {
		return fmt.Errorf("sae: write checkpoint: %w", err)
	}
	return nil
}

func (t *Trainer) stateTensors(p params) []safetensors.Tensor {
	out := []safetensors.Tensor{
		safetensors.I64("silent", []int{t.cfg.latents()}, t.silent), safetensors.I64("born", []int{t.cfg.latents()}, t.born),
	}
	for i, v := range t.standards() {
		out = append(out, safetensors.F32(standardNames[i], []int{len(*v)}, *v))
	}
	for i, w := range []weights{p.w, p.m, p.v} {
		for j, info := range layout(t.cfg) {
			out = append(out, safetensors.F32(momentNames[i]+info.name, info.shape, w.slices()[j]))
		}
	}
	return out
}

// standards are the means and deviations of the data, none without NormalizePerDimension.
func (t *Trainer) standards() []*[]float32 {
	if t.cfg.Normalize != NormalizePerDimension {
		return nil
	}
	return []*[]float32{&t.standard.mean, &t.standard.sd, &t.outStandard.mean, &t.outStandard.sd}
}

// standardNames are those of standards.
var standardNames = [4]string{"in.mean", "in.sd", "out.mean", "out.sd"}

// momentNames are the prefixes of a weight's value, first and second moment.
var momentNames = [3]string{"w.", "m.", "v."}

// ReadCheckpoint returns a trainer that goes on where [Trainer.WriteCheckpoint] stood, with the configuration it was
// saved with, and the data's cursor for [Rows.Restore]. A damaged checkpoint is an error that names the file.
func ReadCheckpoint(b compute.Backend, dir string) (*Trainer, []byte, error) {
	t, cursor, err := readCheckpoint(b, dir)
	if err != nil {
		return nil, nil, fmt.Errorf("sae: checkpoint %s: %w; resume from an earlier one", dir, err)
	}
	return t, cursor, nil
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
	every := func(values []float64, want int, least float64) bool {
		return len(values) == want && !slices.ContainsFunc(values, func(v float64) bool { return !(v >= least) })
	}
	if s.Step < 0 || !every(s.Scales, s.Config.inSites(), math.SmallestNonzeroFloat64) ||
		!every(s.OutScales, s.Config.outSites(), math.SmallestNonzeroFloat64) || !every(s.Threshold, s.Config.selections(), 0) {
		return nil, nil, fmt.Errorf("%s: step %d, scales %v and %v, threshold %v", stateFile, s.Step, s.Scales, s.OutScales, s.Threshold)
	}
	if err := s.Control.valid(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", stateFile, err)
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
	var p params
	for i, w := range []*weights{&p.w, &p.m, &p.v} {
		*w = newWeights(s.Config)
		for j, info := range layout(s.Config) {
			values, err := readTensor(f, momentNames[i]+info.name, info.shape)
			if err != nil {
				return nil, nil, err
			}
			copy(w.slices()[j], values)
		}
	}
	var counts [2][]int64
	for i, name := range []string{"silent", "born"} {
		if counts[i], err = f.Int64(name); err != nil {
			return nil, nil, err
		}
		if len(counts[i]) != s.Config.latents() {
			return nil, nil, fmt.Errorf("%s has %d values, want %d", name, len(counts[i]), s.Config.latents())
		}
	}
	t := &Trainer{
		cfg: s.Config, step: s.Step, scales: s.Scales, outScales: s.OutScales, threshold: s.Threshold, near: s.Near, control: s.Control, meta: s.Metadata,
	}
	for i, v := range t.standards() {
		want := []int{s.Config.inWidth()}
		if i >= 2 {
			want[0] = s.Config.width()
		}
		if *v, err = readTensor(f, standardNames[i], want); err != nil {
			return nil, nil, err
		}
		if i%2 == 1 && slices.ContainsFunc(*v, func(sd float32) bool { return !(sd > 0) }) {
			return nil, nil, fmt.Errorf("%s holds a value that is not positive", standardNames[i])
		}
	}
	if err := t.open(b, p); err != nil {
		return nil, nil, err
	}
	copy(t.silent, counts[0])
	copy(t.born, counts[1])
	return t, s.Cursor, nil
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
