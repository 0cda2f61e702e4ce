package sae

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// The files of a crosscoder of ckkissane/crosscoder-model-diff-replication on the model hub. Its trainer writes N.pt and
// N_cfg.json instead.
const (
	kissaneConfig  = "cfg.json"
	kissaneWeights = "cc_weights.pt"
)

// kissaneFiles returns the places of configuration and weights: of a folder as on the hub, or beside a .pt file.
func kissaneFiles(path string) (config, weights string) {
	if base, ok := strings.CutSuffix(path, ".pt"); ok {
		return base + "_cfg.json", path
	}
	return filepath.Join(path, kissaneConfig), filepath.Join(path, kissaneWeights)
}

// readKissane reads a crosscoder of two models: W_enc [2, d, F], W_dec [F, 2, d], b_enc [F], b_dec [2, d].
func readKissane(path string) (*Crosscoder, error) {
	c, err := openKissane(path)
	if err != nil {
		return nil, fmt.Errorf("sae: read %s: %w", path, err)
	}
	return c, c.Validate()
}

func openKissane(path string) (*Crosscoder, error) {
	config, weights := kissaneFiles(path)
	raw, err := readConfig(config)
	if err != nil {
		return nil, err
	}
	f, err := torchzip.Open(weights)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tensors, err := f.StateDict()
	if err != nil {
		return nil, err
	}
	return fromKissane(foreignTorch(tensors), raw)
}

func fromKissane(t *foreign, raw map[string]any) (*Crosscoder, error) {
	var set struct {
		DIn  int `json:"d_in"`
		DSAE int `json:"dict_size"`
	}
	if err := decodeConfig(raw, &set); err != nil {
		return nil, fmt.Errorf("cfg.json: %w", err)
	}
	c := &Crosscoder{Activation: ActivationReLU, Norm: CodeNormCrosscoder, Metadata: map[string]any{sofKey: raw}}
	if name, ok := raw["model_name"].(string); ok {
		c.Metadata["model_name"] = name
	}
	if hook, ok := raw["hook_point"].(string); ok {
		c.Metadata["hook_name"] = hook
	}
	var err error
	if c.Sites, c.DIn, c.DSAE, err = t.cube("W_enc"); err == nil {
		err = c.checkSettings()
	}
	if err != nil {
		return nil, err
	}
	if c.Sites != 2 || set.DIn != 0 && set.DIn != c.DIn || set.DSAE != 0 && set.DSAE != c.DSAE {
		return nil, fmt.Errorf("the weights have %d models (want 2), d %d and F %d, and the configuration says d %d and F %d", c.Sites, c.DIn, c.DSAE, set.DIn, set.DSAE)
	}
	for _, s := range c.tensors() {
		if *s.at, err = t.floats(s.name, s.shape...); err != nil {
			return nil, err
		}
	}
	return c, t.rest()
}

// writeKissane writes what the tool's CrossCoder.load and load_from_hf read.
func writeKissane(c *Crosscoder, path string) ([]string, error) {
	if c.Activation != ActivationReLU || c.Norm != CodeNormCrosscoder || c.Sites != 2 {
		return nil, fmt.Errorf("the tool has crosscoders of two models with relu and the norm crosscoder; this is one of %d with %s and %s", c.Sites, c.Activation, c.Norm)
	}
	out, notes, err := c.unscaled()
	if err != nil {
		return nil, err
	}
	config, weights := kissaneFiles(path)
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		return nil, err
	}
	var tensors []safetensors.Tensor
	for _, s := range out.tensors() {
		tensors = append(tensors, safetensors.F32(s.name, s.shape, *s.at))
	}
	name := strings.TrimSuffix(filepath.Base(weights), ".pt")
	if err := torchzip.Write(weights, name, tensors); err != nil {
		return nil, err
	}
	// What the tool's constructor asks for, if the crosscoder did not come with it.
	settings := map[string]any{"seed": 0, "device": "cpu", "enc_dtype": "fp32", "dec_init_norm": 0.08}
	if old, ok := c.Metadata[sofKey].(map[string]any); ok {
		maps.Copy(settings, old)
	}
	settings["d_in"], settings["dict_size"] = c.DIn, c.DSAE
	return notes, writeJSON(config, settings)
}
