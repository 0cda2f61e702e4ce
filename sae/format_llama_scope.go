package sae

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"loupe/internal/safetensors"
)

const (
	llamaScopeConfig  = "hyperparams.json"
	llamaScopeWeights = "checkpoints/final.safetensors"
)

// llamaScope is what is read of hyperparams.json.
type llamaScope struct {
	DModel    int      `json:"d_model"`
	DSAE      int      `json:"d_sae"`
	HookIn    string   `json:"hook_point_in"`
	HookOut   string   `json:"hook_point_out"`
	Threshold *float64 `json:"jump_relu_threshold"`
	Norm      struct {
		In float64 `json:"in"`
	} `json:"dataset_average_activation_norm"`
}

// readLlamaScope reads a folder of Llama Scope (arXiv:2410.20526): hyperparams.json and checkpoints/final.safetensors with
// encoder.weight [F, d], encoder.bias [F], decoder.weight [d, F] and decoder.bias [d], a JumpReLU with one threshold for all
// latents, trained on inputs scaled to the norm sqrt(d). As SAELens does, the scale s = sqrt(d) / mean norm is folded into the
// weights and the threshold is multiplied by it.
func readLlamaScope(path string) (*SAE, error) {
	fail := func(err error) (*SAE, error) { return nil, fmt.Errorf("sae: read %s: %w", path, err) }
	raw, err := readConfig(filepath.Join(path, llamaScopeConfig))
	if err != nil {
		return fail(err)
	}
	var c llamaScope
	if err := decodeConfig(raw, &c); err != nil {
		return fail(fmt.Errorf("%s: %w", llamaScopeConfig, err))
	}
	switch {
	case c.Threshold == nil:
		return fail(fmt.Errorf("%s has no jump_relu_threshold; only the JumpReLU SAEs of Llama Scope are read", llamaScopeConfig))
	case !(c.Norm.In > 0) || math.IsInf(c.Norm.In, 0):
		return fail(fmt.Errorf("%s: dataset_average_activation_norm.in is %v; the scale of the input is sqrt(d_model) over it", llamaScopeConfig, c.Norm.In))
	case c.HookOut != "" && c.HookOut != c.HookIn:
		return fail(fmt.Errorf("it reads %s and writes %s; the transcoders of Llama Scope are not read", c.HookIn, c.HookOut))
	}
	s := &SAE{Arch: ArchJumpReLU, DIn: c.DModel, DSAE: c.DSAE, Normalize: NormalizeNone, Metadata: map[string]any{"prepend_bos": true}}
	if c.HookIn != "" {
		s.Metadata["hook_name"] = c.HookIn
	}
	if err := checkSizes(s); err != nil {
		return fail(err)
	}
	file, err := safetensors.Open(filepath.Join(path, filepath.FromSlash(llamaScopeWeights)))
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	t := foreignSafetensors(file)
	f, d := []int{s.DSAE}, []int{s.DIn}
	err = t.load(
		place{&s.WEnc, "encoder.weight", []int{s.DSAE, s.DIn}, true}, place{&s.WDec, "decoder.weight", []int{s.DIn, s.DSAE}, true},
		place{&s.BEnc, "encoder.bias", f, false}, place{&s.BDec, "decoder.bias", d, false},
	)
	if err == nil {
		if err = t.rest(); err != nil {
			err = errors.Join(err, errors.New("only the four tensors of Llama Scope are read"))
		}
	}
	if err != nil {
		return fail(err)
	}
	scale := math.Sqrt(float64(s.DIn)) / c.Norm.In
	if err := s.FoldScale(scale); err != nil {
		return fail(err)
	}
	s.Threshold = make([]float32, s.DSAE)
	for i := range s.Threshold {
		s.Threshold[i] = float32(*c.Threshold * scale)
	}
	return s, s.Validate()
}
