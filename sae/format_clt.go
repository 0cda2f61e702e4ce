package sae

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"loupe/internal/atomicfile"
	"loupe/internal/safetensors"
)

// The files of a cross-layer transcoder in circuit-tracer's format (mntss_clt_layer in SAELens): config.yaml and, for each
// layer i of n, W_enc_i.safetensors with W_enc_i [F, d], b_enc_i [F], b_dec_i [d], threshold_i [F] for JumpReLU and W_skip_i
// [d, d] for a linear path, and W_dec_i.safetensors with W_dec_i [F, n - i, d].
//
// What circuit-tracer cannot express - topk, and d_out other than d_in - has the same files with a model_kind of loupe's own,
// which that tool refuses, and the keys activation, k and per_layer. The metadata are further keys of config.yaml.
const (
	cltConfigFile = "config.yaml"

	cltKind      = "cross_layer_transcoder"
	cltLoupeKind = "loupe_cross_layer_transcoder"
)

func cltEncoderFile(layer int) string { return fmt.Sprintf("W_enc_%d.safetensors", layer) }
func cltDecoderFile(layer int) string { return fmt.Sprintf("W_dec_%d.safetensors", layer) }

func cltFormatRow() format {
	return format{
		name: FormatCLT, files: []string{cltConfigFile, cltEncoderFile(0), cltDecoderFile(0)},
		readCoder: func(path string) (Coder, error) { return coderOf(LoadCLT(path)) },
		writeCoder: func(c Coder, path string) ([]string, error) {
			x, ok := c.(*CLT)
			if !ok {
				return nil, fmt.Errorf("the format is for cross-layer transcoders, not for %s", c.Shape().Arch)
			}
			var notes []string
			if x.kind() != cltKind {
				notes = []string{fmt.Sprintf("circuit-tracer has no %s with d_in %d and d_out %d; loupe reads the folder", x.Shape().Arch, x.DIn, x.DOut)}
			}
			return notes, x.save(path)
		},
	}
}

// kind is the model_kind of config.yaml.
func (c *CLT) kind() string {
	if c.Activation == ActivationTopK || c.DIn != c.DOut {
		return cltLoupeKind
	}
	return cltKind
}

// cltFile is the part of config.yaml that says what the transcoder is; the sizes are those of the tensors.
type cltFile struct {
	Kind       string `yaml:"model_kind"`
	Activation string `yaml:"activation"`
	K          int    `yaml:"k"`
	PerLayer   bool   `yaml:"per_layer"`
}

// Save writes the transcoder below dir in circuit-tracer's format and, where density is not nil, the log10 of each latent's
// share of rows on which it is active, layer after layer. The bytes depend on the transcoder alone.
func (c *CLT) Save(dir string, density []float64) error {
	if err := c.Validate(); err != nil {
		return err
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = saveDensity(dir, density, len(c.Layers)*c.DSAE)
	}
	if err == nil {
		err = c.save(dir)
	}
	if err != nil {
		return fmt.Errorf("sae: save %s: %w", dir, err)
	}
	return nil
}

func (c *CLT) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for l := range c.Layers {
		var enc, dec []safetensors.Tensor
		for _, t := range c.tensors(l) {
			if t.at == &c.Layers[l].WDec {
				dec = append(dec, safetensors.F32(t.name, t.shape, *t.at))
			} else {
				enc = append(enc, safetensors.F32(t.name, t.shape, *t.at))
			}
		}
		if err := safetensors.Write(filepath.Join(dir, cltEncoderFile(l)), enc, nil); err != nil {
			return err
		}
		if err := safetensors.Write(filepath.Join(dir, cltDecoderFile(l)), dec, nil); err != nil {
			return err
		}
	}
	config := map[string]any{"feature_input_hook": commonHook(c.Metadata["hook_names"], "hook_resid_mid"), "feature_output_hook": commonHook(c.Metadata["hook_names_out"], "hook_mlp_out")}
	maps.Copy(config, c.Metadata)
	config["model_kind"] = c.kind()
	if c.kind() == cltLoupeKind {
		config["activation"], config["k"], config["per_layer"] = c.Activation, c.K, c.PerLayer
	}
	// config.yaml comes last: a folder that has it is whole.
	return atomicfile.Write(filepath.Join(dir, cltConfigFile), func(w io.Writer) error {
		enc := yaml.NewEncoder(w)
		if err := enc.Encode(config); err != nil {
			return err
		}
		return enc.Close()
	})
}

// commonHook is what the hooks of all layers have in common, blocks.i.X for layer i, which is how circuit-tracer names them;
// otherwise, where they are not known or not such.
func commonHook(names any, otherwise string) string {
	var list []string
	switch v := names.(type) {
	case []string:
		list = v
	case []any:
		for _, name := range v {
			s, _ := name.(string)
			list = append(list, s)
		}
	}
	common := otherwise
	for i, name := range list {
		rest, ok := strings.CutPrefix(name, fmt.Sprintf("blocks.%d.", i))
		if !ok || i > 0 && rest != common {
			return otherwise
		}
		common = rest
	}
	return common
}

// LoadCLT reads a folder in circuit-tracer's format, or one that [CLT.Save] wrote. Weights of 16 bits are widened.
func LoadCLT(dir string) (*CLT, error) {
	c, err := loadCLT(dir)
	if err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", dir, err)
	}
	return c, c.Validate()
}

func loadCLT(dir string) (*CLT, error) {
	raw, err := readBounded(filepath.Join(dir, cltConfigFile))
	if err != nil {
		return nil, err
	}
	c, err := parseCLT(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cltConfigFile, err)
	}
	n := 0
	for n <= 1024 && exists(filepath.Join(dir, cltEncoderFile(n))) {
		n++
	}
	c.Layers = make([]CLTLayer, n)
	for l := range n {
		if err := c.loadLayer(dir, l); err != nil {
			return nil, err
		}
	}
	return c, c.checkSettings()
}

// parseCLT makes a transcoder without sizes and weights of config.yaml.
func parseCLT(raw []byte) (*CLT, error) {
	var f cltFile
	if err := yaml.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	c := &CLT{Activation: ActivationReLU, Metadata: map[string]any{}}
	config := map[string]any{}
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return nil, err
	}
	switch f.Kind {
	case cltKind:
	case cltLoupeKind:
		c.Activation, c.K, c.PerLayer = f.Activation, f.K, f.PerLayer
	default:
		return nil, fmt.Errorf("model_kind is %q; want %s", f.Kind, cltKind)
	}
	for key, v := range config {
		if !slices.Contains([]string{"model_kind", "activation", "k", "per_layer"}, key) {
			c.Metadata[key] = v
		}
	}
	return c, nil
}

// loadLayer reads one layer. The first gives the widths and tells whether there are thresholds and a linear path.
func (c *CLT) loadLayer(dir string, layer int) error {
	enc, err := safetensors.Open(filepath.Join(dir, cltEncoderFile(layer)))
	if err != nil {
		return err
	}
	defer enc.Close()
	dec, err := safetensors.Open(filepath.Join(dir, cltDecoderFile(layer)))
	if err != nil {
		return err
	}
	defer dec.Close()
	e, d := foreignSafetensors(enc), foreignSafetensors(dec)
	if layer == 0 {
		if err := c.sizes(e, d); err != nil {
			return err
		}
	}
	if c.Layers[0].WSkip != nil {
		c.Layers[layer].WSkip = []float32{} // there is one to read
	}
	for _, t := range c.tensors(layer) {
		from, file := e, cltEncoderFile(layer)
		if t.at == &c.Layers[layer].WDec {
			from, file = d, cltDecoderFile(layer)
		}
		if *t.at, err = from.floats(t.name, t.shape...); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return errors.Join(e.rest(), d.rest())
}

// sizes takes the transcoder's sizes and form from the headers of the first layer.
func (c *CLT) sizes(e, d *foreign) error {
	var err error
	if c.DSAE, c.DIn, err = e.matrix("W_enc_0"); err != nil {
		return err
	}
	if _, _, c.DOut, err = d.cube("W_dec_0"); err != nil {
		return err
	}
	if e.shapes["threshold_0"] != nil {
		if c.Activation == ActivationTopK {
			return errors.New("there are thresholds, and config.yaml says topk")
		}
		c.Activation = ActivationJumpReLU
	}
	if e.shapes["W_skip_0"] != nil {
		c.Layers[0].WSkip = []float32{}
	}
	return c.checkSettings()
}
