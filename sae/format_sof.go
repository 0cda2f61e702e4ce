package sae

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// The files of a crosscoder of science-of-finetuning's dictionary_learning on the model hub. The tool's trainers write the
// same tensors to a .pt file.
const (
	sofConfig  = "config.json"
	sofWeights = "model.safetensors"
)

// sofKey is where the metadata of a crosscoder keeps the tool's configuration.
const sofKey = "crosscoder_config"

// readSoF reads a CrossCoder or BatchTopKCrossCoder: a folder with config.json and model.safetensors or ae.pt, or a .pt
// file. Tensors: encoder.weight [sites, d, F], encoder.bias [F], decoder.weight [sites, F, d], decoder.bias [sites, d],
// code_normalization_id, and for BatchTopKCrossCoder k and threshold. Without an id the norm is "crosscoder", as in the tool.
// The weights of the norm "mixed" are those of config.json, or the tool's defaults 1 and 0.1.
func readSoF(path string) (*Crosscoder, error) {
	c, err := openSoF(path)
	if err != nil {
		return nil, fmt.Errorf("sae: read %s: %w", path, err)
	}
	return c, c.Validate()
}

func openSoF(path string) (*Crosscoder, error) {
	if strings.HasSuffix(path, ".pt") {
		return torchSoF(path, map[string]any{})
	}
	raw, err := readConfig(filepath.Join(path, sofConfig))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(path, sofWeights)); err != nil {
		return torchSoF(filepath.Join(path, dictionaryWeights), raw)
	}
	f, err := safetensors.Open(filepath.Join(path, sofWeights))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fromSoF(foreignSafetensors(f), raw)
}

func torchSoF(path string, raw map[string]any) (*Crosscoder, error) {
	f, err := torchzip.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tensors, err := f.StateDict()
	if err != nil {
		return nil, err
	}
	const compiled = "_orig_mod." // what torch.compile puts before every name
	for name, tensor := range maps.Clone(tensors) {
		if rest, ok := strings.CutPrefix(name, compiled); ok && tensors[rest] == nil {
			delete(tensors, name)
			tensors[rest] = tensor
		}
	}
	return fromSoF(foreignTorch(tensors), raw)
}

// sofSettings is the part of config.json that the tensors do not say.
type sofSettings struct {
	DIn      int      `json:"activation_dim"`
	DSAE     int      `json:"dict_size"`
	Sites    int      `json:"num_layers"`
	AlphaSAE *float64 `json:"code_normalization_alpha_sae"`
	AlphaCC  *float64 `json:"code_normalization_alpha_cc"`
}

func fromSoF(t *foreign, raw map[string]any) (*Crosscoder, error) {
	var set sofSettings
	if err := decodeConfig(raw, &set); err != nil {
		return nil, fmt.Errorf("%s: %w", sofConfig, err)
	}
	c := &Crosscoder{Activation: ActivationReLU, Norm: CodeNormCrosscoder, AlphaSAE: 1, AlphaCC: 0.1, Metadata: map[string]any{sofKey: raw}}
	var err error
	if c.Sites, c.DIn, c.DSAE, err = t.cube("encoder.weight"); err != nil {
		return nil, err
	}
	if t.shapes["threshold"] != nil {
		c.Activation = ActivationBatchTopK
	}
	if err := c.sofNorm(t, set); err != nil {
		return nil, err
	}
	if err := c.checkSettings(); err != nil {
		return nil, err
	}
	if set.DIn != 0 && set.DIn != c.DIn || set.DSAE != 0 && set.DSAE != c.DSAE || set.Sites != 0 && set.Sites != c.Sites {
		return nil, fmt.Errorf("the weights have %d sites, d %d and F %d, but %s says %d, %d and %d", c.Sites, c.DIn, c.DSAE, sofConfig, set.Sites, set.DIn, set.DSAE)
	}
	var dec []float32
	if err := t.load(
		place{&c.WEnc, "encoder.weight", []int{c.Sites, c.DIn, c.DSAE}, false}, place{&dec, "decoder.weight", []int{c.Sites, c.DSAE, c.DIn}, false},
		place{&c.BEnc, "encoder.bias", []int{c.DSAE}, false}, place{&c.BDec, "decoder.bias", []int{c.Sites, c.DIn}, false},
	); err != nil {
		return nil, err
	}
	c.WDec = swapAxes(dec, c.Sites, c.DSAE, c.DIn)
	if c.Activation == ActivationBatchTopK {
		if err := c.sofThreshold(t); err != nil {
			return nil, err
		}
	}
	return c, t.rest()
}

// sofNorm reads the code norm.
func (c *Crosscoder) sofNorm(t *foreign, set sofSettings) error {
	if t.shapes["code_normalization_id"] != nil {
		id, err := t.integer("code_normalization_id")
		if err != nil {
			return err
		}
		if id < 1 || id > int64(len(codeNorms)) {
			return fmt.Errorf("code_normalization_id is %d; want 1 to %d", id, len(codeNorms))
		}
		c.Norm = codeNorms[id-1]
	}
	for at, v := range map[*float64]*float64{&c.AlphaSAE: set.AlphaSAE, &c.AlphaCC: set.AlphaCC} {
		if v != nil {
			*at = *v
		}
	}
	return nil
}

func (c *Crosscoder) sofThreshold(t *foreign) error {
	k, err := t.integer("k")
	if err != nil {
		return err
	}
	if k < 1 || k > int64(c.DSAE) {
		return fmt.Errorf("k is %d; it must be between 1 and F = %d", k, c.DSAE)
	}
	c.K = int(k)
	var shape []int
	if c.Norm == CodeNormDecoupled {
		shape = []int{c.Sites}
	}
	c.Threshold, err = t.floats("threshold", shape...)
	return err
}

// swapAxes returns x, [a, b, c], as [b, a, c].
func swapAxes(x []float32, a, b, c int) []float32 {
	out := make([]float32, 0, len(x))
	for j := range b {
		for i := range a {
			at := (i*b + j) * c
			out = append(out, x[at:at+c]...)
		}
	}
	return out
}

// writeSoF writes what CrossCoder.from_pretrained or BatchTopKCrossCoder.from_pretrained reads: a .pt file where path ends
// so, else a folder as on the model hub.
func writeSoF(c *Crosscoder, path string) ([]string, error) {
	if c.Activation != ActivationReLU && c.Activation != ActivationBatchTopK {
		return nil, fmt.Errorf("the tool has crosscoders with relu and batchtopk, and no %s", c.Activation)
	}
	out, notes, err := c.unscaled()
	if err != nil {
		return nil, err
	}
	d, f, n := c.DIn, c.DSAE, c.Sites
	tensors := []safetensors.Tensor{
		safetensors.I64("code_normalization_id", nil, []int64{int64(slices.Index(codeNorms[:], c.Norm) + 1)}),
		safetensors.F32("encoder.weight", []int{n, d, f}, out.WEnc), safetensors.F32("encoder.bias", []int{f}, out.BEnc),
		safetensors.F32("decoder.bias", []int{n, d}, out.BDec), safetensors.F32("decoder.weight", []int{n, f, d}, swapAxes(out.WDec, f, n, d)),
	}
	config := map[string]any{}
	if old, ok := c.Metadata[sofKey].(map[string]any); ok {
		maps.Copy(config, old)
	}
	config["activation_dim"], config["dict_size"], config["num_layers"] = d, f, n
	config["code_normalization"] = strings.ToUpper(c.Norm)
	config["code_normalization_alpha_sae"], config["code_normalization_alpha_cc"] = c.AlphaSAE, c.AlphaCC
	if c.Activation == ActivationBatchTopK {
		if c.K < 1 {
			return nil, errors.New("k is not known, which BatchTopKCrossCoder has")
		}
		var shape []int
		if c.Norm == CodeNormDecoupled {
			shape = []int{n}
		}
		tensors = append(tensors, safetensors.I32("k", nil, []int32{int32(c.K)}), safetensors.F32("threshold", shape, out.Threshold))
		config["k"] = c.K
	}
	if strings.HasSuffix(path, ".pt") {
		if c.Norm == CodeNormMixed {
			notes = append(notes, "a .pt file does not hold the weights of the norm mixed; pass them to from_pretrained")
		}
		return notes, torchzip.Write(path, "ae", tensors)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	if err := safetensors.Write(filepath.Join(path, sofWeights), tensors, nil); err != nil {
		return nil, err
	}
	return notes, writeJSON(filepath.Join(path, sofConfig), config)
}

// unscaled returns the crosscoder of raw activations, for formats without scales; notes say what changed.
func (c *Crosscoder) unscaled() (*Crosscoder, []string, error) {
	if c.Scales == nil {
		return c, nil, nil
	}
	out := c.clone()
	if err := out.Fold(); err != nil {
		return nil, nil, err
	}
	return out, []string{"the scales of the sites moved into the weights; relative norms of the decoder now compare raw activations"}, nil
}

// clone returns a copy that shares no tensor.
func (c *Crosscoder) clone() *Crosscoder {
	out := *c
	for _, v := range []*[]float32{&out.Scales, &out.WEnc, &out.WDec, &out.BEnc, &out.BDec, &out.Threshold} {
		*v = slices.Clone(*v)
	}
	return &out
}
