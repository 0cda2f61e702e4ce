package sae

import (
	"fmt"
	"os"
	"path/filepath"

	"loupe/internal/safetensors"
)

// The files of a crosscoder in loupe's own format: crosscoder.json, with the fields of crosscoderFileConfig, and
// crosscoder.safetensors, float32: W_enc [sites, d_in, F], W_dec [F, sites, d_in], b_enc [F], b_dec [sites, d_in], threshold
// ([F] for jumprelu; [1] or, decoupled, [sites] for batchtopk) and, where the crosscoder has them, scales [sites].
const (
	crosscoderConfigFile  = "crosscoder.json"
	crosscoderWeightsFile = "crosscoder.safetensors"
	crosscoderFormat      = 1
)

// crosscoderFileConfig is crosscoder.json.
type crosscoderFileConfig struct {
	Format     int            `json:"format"`
	Sites      int            `json:"sites"`
	DIn        int            `json:"d_in"`
	DSAE       int            `json:"d_sae"`
	Activation string         `json:"activation"`
	K          int            `json:"k,omitempty"`
	Norm       string         `json:"norm"`
	AlphaSAE   float64        `json:"alpha_sae,omitempty"`
	AlphaCC    float64        `json:"alpha_cc,omitempty"`
	Scaled     bool           `json:"scaled"` // scales are among the tensors
	Metadata   map[string]any `json:"metadata"`
}

// Save writes the crosscoder below dir in loupe's own format and, where density is not nil, the log10 of each latent's share
// of rows on which it is active. The bytes depend on the crosscoder alone.
func (c *Crosscoder) Save(dir string, density []float64) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if err := c.save(dir, density); err != nil {
		return fmt.Errorf("sae: save %s: %w", dir, err)
	}
	return nil
}

func (c *Crosscoder) save(dir string, density []float64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var weights []safetensors.Tensor
	for _, t := range c.tensors() {
		weights = append(weights, safetensors.F32(t.name, t.shape, *t.at))
	}
	if err := safetensors.Write(filepath.Join(dir, crosscoderWeightsFile), weights, nil); err != nil {
		return err
	}
	if err := saveDensity(dir, density, c.DSAE); err != nil {
		return err
	}
	meta := c.Metadata
	if meta == nil {
		meta = map[string]any{}
	}
	// crosscoder.json comes last: a folder that has it is whole.
	return writeJSON(filepath.Join(dir, crosscoderConfigFile), crosscoderFileConfig{
		crosscoderFormat, c.Sites, c.DIn, c.DSAE, c.Activation, c.K, c.Norm, c.AlphaSAE, c.AlphaCC, c.Scales != nil, meta,
	})
}

// LoadCrosscoder reads a folder that [Crosscoder.Save] wrote.
func LoadCrosscoder(dir string) (*Crosscoder, error) {
	c, err := loadCrosscoder(dir)
	if err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", dir, err)
	}
	return c, c.Validate()
}

func loadCrosscoder(dir string) (*Crosscoder, error) {
	raw, err := readConfig(filepath.Join(dir, crosscoderConfigFile))
	if err != nil {
		return nil, err
	}
	c, err := parseCrosscoder(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", crosscoderConfigFile, err)
	}
	f, err := safetensors.Open(filepath.Join(dir, crosscoderWeightsFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := foreignSafetensors(f)
	for _, s := range c.tensors() {
		if *s.at, err = t.floats(s.name, s.shape...); err != nil {
			return nil, fmt.Errorf("%s: %w", crosscoderWeightsFile, err)
		}
	}
	return c, t.rest()
}

// parseCrosscoder makes a crosscoder without weights of crosscoder.json.
func parseCrosscoder(raw map[string]any) (*Crosscoder, error) {
	var f crosscoderFileConfig
	if err := decodeConfig(raw, &f); err != nil {
		return nil, err
	}
	if f.Format != crosscoderFormat {
		return nil, fmt.Errorf("format is %d, want %d", f.Format, crosscoderFormat)
	}
	c := &Crosscoder{Sites: f.Sites, DIn: f.DIn, DSAE: f.DSAE, Activation: f.Activation, K: f.K, Norm: f.Norm, AlphaSAE: f.AlphaSAE, AlphaCC: f.AlphaCC, Metadata: f.Metadata}
	if c.Metadata == nil {
		c.Metadata = map[string]any{}
	}
	if err := c.checkSettings(); err != nil {
		return nil, err
	}
	if f.Scaled {
		c.Scales = []float32{}
	}
	return c, nil
}
