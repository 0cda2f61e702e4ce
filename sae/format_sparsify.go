package sae

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"

	"loupe/internal/safetensors"
)

const sparsifyWeights = "sae.safetensors"

// sparsifyKey is where the metadata of an SAE keeps sparsify's configuration, so that writing it back loses nothing.
const sparsifyKey = "sparsify"

// sparsifyConfig is cfg.json of sparsify.
type sparsifyConfig struct {
	Activation     string `json:"activation"` // "topk", "groupmax"; before version 1.2 absent
	Expansion      int    `json:"expansion_factor"`
	Latents        int    `json:"num_latents"` // 0: expansion_factor * d_in
	K              int    `json:"k"`
	SkipConnection bool   `json:"skip_connection"`
	Transcode      bool   `json:"transcode"`
	Signed         bool   `json:"signed"` // of old versions
	DIn            int    `json:"d_in"`
}

// readSparsify reads a folder of EleutherAI/sparsify: a hookpoint's cfg.json and sae.safetensors. encoder.weight is
// [F, d], W_dec is [F, d] too and W_skip [d, d]. b_dec is subtracted from the input unless it transcodes; multi_topk and
// normalize_decoder matter in training only. A hookpoint that is a block of a model gives the metadata's hook_name.
func readSparsify(dir string) (*SAE, error) {
	fail := func(err error) (*SAE, error) { return nil, fmt.Errorf("sae: read %s: %w", dir, err) }
	raw, err := readConfig(filepath.Join(dir, configFile))
	if err != nil {
		return fail(err)
	}
	s, err := parseSparsify(raw)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", configFile, err))
	}
	f, err := safetensors.Open(filepath.Join(dir, sparsifyWeights))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	t := foreignSafetensors(f)
	err = t.load(
		place{&s.WEnc, "encoder.weight", []int{s.DSAE, s.DIn}, true},
		place{&s.BEnc, "encoder.bias", []int{s.DSAE}, false},
		place{&s.WDec, "W_dec", []int{s.DSAE, s.DIn}, false},
		place{&s.BDec, "b_dec", []int{s.DIn}, false},
	)
	skip := raw["skip_connection"] == true
	if err == nil && skip {
		s.WSkip, err = t.floats("W_skip", s.DIn, s.DIn)
	}
	if err == nil {
		err = t.rest()
	}
	if err != nil {
		return fail(fmt.Errorf("%s: %w", sparsifyWeights, err))
	}
	if skip && raw["transcode"] != true { // an autoencoder with a linear path: loupe's form of it does not subtract b_dec
		s.Arch, s.ApplyBDecToInput = ArchTopK, true
		if err := s.moveBDec(false); err != nil {
			return fail(err)
		}
		s.Arch = ArchTopKSkipTranscoder
	}
	hook := filepath.Base(filepath.Clean(dir))
	raw["hookpoint"] = hook
	if site := siteOfModule(hook); site != "" && raw["transcode"] != true {
		s.Metadata["hook_name"] = site
	}
	return s, s.Validate()
}

// parseSparsify reads cfg.json into an SAE without weights.
func parseSparsify(raw map[string]any) (*SAE, error) {
	var c sparsifyConfig
	if err := decodeConfig(raw, &c); err != nil {
		return nil, err
	}
	s := &SAE{
		Arch: ArchTopK, DIn: c.DIn, DSAE: c.Latents, K: c.K, ApplyBDecToInput: !c.Transcode, Normalize: NormalizeNone,
		Metadata: map[string]any{sparsifyKey: raw},
	}
	if s.DIn < 1 {
		return nil, errors.New("d_in is missing or not positive")
	}
	if s.DSAE == 0 {
		if c.Expansion < 1 || c.Expansion > maxConfig {
			return nil, fmt.Errorf("num_latents is 0 and expansion_factor %d; one of them must be positive", c.Expansion)
		}
		s.DSAE = c.DIn * c.Expansion
	}
	switch linear := c.Transcode || c.SkipConnection; {
	case c.Signed:
		return nil, errors.New("signed activations, of old versions of sparsify, are not supported")
	case c.Activation == "groupmax" && linear:
		return nil, errors.New("groupmax is supported for autoencoders without a linear path only")
	case c.Activation == "groupmax":
		s.Arch = ArchGroupMax
	case c.Activation != "" && c.Activation != "topk":
		return nil, fmt.Errorf("activation %q is not supported; supported: topk, groupmax", c.Activation)
	case c.SkipConnection:
		s.Arch = ArchTopKSkipTranscoder
	case c.Transcode:
		s.Arch = ArchTopKTranscoder
	}
	a, err := architectureOf(s.Arch)
	if err != nil {
		return nil, err
	}
	return s, s.checkSettings(a)
}

// writeSparsify writes a folder that sparsify's SparseCoder.load_from_disk reads.
func writeSparsify(s *SAE, dir string) ([]string, error) {
	cfg := map[string]any{
		"activation": "topk", "expansion_factor": max(1, s.DSAE/s.DIn), "normalize_decoder": false, "multi_topk": false,
		"skip_connection": false, "transcode": false,
	}
	if before, ok := s.Metadata[sparsifyKey].(map[string]any); ok {
		maps.Copy(cfg, before)
		delete(cfg, "hookpoint")
	}
	cfg["d_in"], cfg["k"], cfg["activation"] = s.DIn, s.K, "topk"
	if n, ok := cfg["num_latents"].(float64); !ok || n != 0 || cfg["expansion_factor"] != float64(s.DSAE/s.DIn) || s.DSAE%s.DIn != 0 {
		cfg["num_latents"] = s.DSAE // else 0 stays: the expansion factor says it
	}
	cfg["transcode"], cfg["skip_connection"] = s.Transcoder(), s.Arch == ArchTopKSkipTranscoder
	switch s.Arch {
	case ArchTopK, ArchTopKTranscoder, ArchTopKSkipTranscoder:
	case ArchGroupMax:
		cfg["activation"] = "groupmax"
	default:
		return nil, fmt.Errorf("sparsify has no architecture %q; it has topk, groupmax and their transcoders", s.Arch)
	}
	if s.Width() != s.DIn {
		return nil, fmt.Errorf("sparsify's transcoders have one width, this one has d_in %d and d_out %d", s.DIn, s.Width())
	}
	c, notes, err := s.adapted(true)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	tensors := []safetensors.Tensor{
		safetensors.F32("encoder.weight", []int{s.DSAE, s.DIn}, turned(c.WEnc, s.DIn, s.DSAE)),
		safetensors.F32("encoder.bias", []int{s.DSAE}, c.BEnc),
		safetensors.F32("W_dec", []int{s.DSAE, s.DIn}, c.WDec),
		safetensors.F32("b_dec", []int{s.DIn}, c.BDec),
	}
	if c.WSkip != nil {
		tensors = append(tensors, safetensors.F32("W_skip", []int{s.DIn, s.DIn}, c.WSkip))
	}
	if err := safetensors.Write(filepath.Join(dir, sparsifyWeights), tensors, nil); err != nil {
		return nil, err
	}
	return notes, writeJSON(filepath.Join(dir, configFile), cfg)
}

// siteOfModule returns the site that a Hugging Face module of a block writes, such as blocks.3.hook_resid_post for
// "model.layers.3" and blocks.3.hook_mlp_out for "layers.3.mlp"; "" where it is not known.
func siteOfModule(module string) string {
	m := regexp.MustCompile(`^(?:(?:model|transformer|gpt_neox)\.)?(?:layers|h)[._](\d+)(?:\.(mlp|self_attn|attn|attention))?$`).FindStringSubmatch(module)
	switch {
	case m == nil:
		return ""
	case m[2] == "":
		return "blocks." + m[1] + ".hook_resid_post"
	case m[2] == "mlp":
		return "blocks." + m[1] + ".hook_mlp_out"
	}
	return "blocks." + m[1] + ".hook_attn_out"
}
