package sae

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"loupe/internal/safetensors"
)

// The files of an SAE in SAELens's format (version 6).
const (
	weightsFile  = "sae_weights.safetensors"
	configFile   = "cfg.json"
	sparsityFile = "sparsity.safetensors"

	saelensFormat = "6.0.0" // the first version with this layout
)

// saelensConfig is the part of cfg.json that loupe reads, of version 6 and of the flat layout before it.
type saelensConfig struct {
	Architecture string         `json:"architecture"`
	DIn          int            `json:"d_in"`
	DSAE         int            `json:"d_sae"`
	K            float64        `json:"k"` // batchtopk may have fractions
	ApplyBDec    *bool          `json:"apply_b_dec_to_input"`
	Normalize    any            `json:"normalize_activations"` // before version 6 sometimes a bool
	Reshape      string         `json:"reshape_activations"`
	Rescale      bool           `json:"rescale_acts_by_decoder_norm"`
	Metadata     map[string]any `json:"metadata"`

	DOut              int     `json:"d_out"`
	ResidualThreshold float64 `json:"residual_threshold"`
	MaxIterations     int     `json:"max_iterations"`
	StopDuplicate     *bool   `json:"stop_on_duplicate_support"`

	Heads      int      `json:"n_heads"`
	Layers     int      `json:"n_attn_layers"`
	Bottleneck int      `json:"bottleneck_factor"`
	DiffType   string   `json:"sae_diff_type"`
	KVal       int      `json:"kval_topk"`
	Tied       *bool    `json:"tied_weights"`
	ActFactor  *float64 `json:"activation_normalization_factor"`

	ActivationFn     string          `json:"activation_fn_str"` // before version 6
	ActivationKwargs struct{ K int } `json:"activation_fn_kwargs"`
	FinetuningScale  bool            `json:"finetuning_scaling_factor"`
	HookPoint        string          `json:"hook_point"`
	HookName         string          `json:"hook_name"`
	ModelName        string          `json:"model_name"`
}

// Load reads an SAE that SAELens or [SAE.Save] wrote: cfg.json and sae_weights.safetensors in dir. cfg.json may also
// have the flat layout of SAELens before version 6. Weights of 16 bits are widened.
func Load(dir string) (*SAE, error) {
	path := filepath.Join(dir, configFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sae: load %s: %w; give a folder with %s and %s", dir, err, configFile, weightsFile)
	}
	s, err := parseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", path, err)
	}
	path = filepath.Join(dir, weightsFile)
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", dir, err)
	}
	defer f.Close()
	if err := s.readTensors(f); err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", path, err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("sae: load %s: %w", path, err)
	}
	return s, nil
}

// readTensors reads the tensors of the SAE's architecture. An SAE of batchtopk or matryoshka_batchtopk, which SAELens
// has in training only, becomes the jumprelu that it is saved as.
func (s *SAE) readTensors(f *safetensors.File) error {
	var threshold []float64
	if s.Arch == ArchBatchTopK || s.Arch == ArchMatryoshka {
		var err error
		if threshold, err = f.Float64("topk_threshold"); err != nil {
			return err
		}
		if len(threshold) != 1 || !(threshold[0] >= 0) {
			return fmt.Errorf("topk_threshold is %v; want one number of at least 0", threshold)
		}
		s.Arch = ArchStandard // its tensors are those of batchtopk
	}
	a, err := architectureOf(s.Arch)
	if err != nil {
		return err
	}
	for _, t := range a.tensors(s) {
		if *t.at, err = readTensor(f, t.name, t.shape); err != nil {
			return err
		}
		if i := firstNonFinite(*t.at); i >= 0 {
			return fmt.Errorf("element %d of %s is %v: %w", i, t.name, (*t.at)[i], ErrNonFinite)
		}
	}
	if threshold != nil {
		return s.batchTopKToJumpReLU(float32(threshold[0]))
	}
	return nil
}

// parseConfig reads cfg.json into an SAE without weights.
func parseConfig(raw []byte) (*SAE, error) {
	var c saelensConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	s := &SAE{
		Arch: c.Architecture, DIn: c.DIn, DSAE: c.DSAE, K: int(c.K),
		ApplyBDecToInput: c.ApplyBDec == nil || *c.ApplyBDec,
		RescaleByDecoder: c.Rescale, DOut: c.DOut, HookZ: c.Reshape == "hook_z", Metadata: c.Metadata,
	}
	if s.Arch == "" {
		s.Arch = ArchStandard
	}
	if c.ActivationFn == "topk" && (c.Architecture == "" || c.Architecture == "standard") {
		s.Arch, s.K = ArchTopK, c.ActivationKwargs.K
	}
	switch v := c.Normalize.(type) {
	case nil:
		s.Normalize = NormalizeNone
	case string:
		s.Normalize = v
	case bool:
		s.Normalize = map[bool]string{false: NormalizeNone, true: NormalizeExpected}[v]
	default:
		return nil, fmt.Errorf("normalize_activations is %v; want a name", v)
	}
	if !slices.Contains([]string{"", "none", "hook_z"}, c.Reshape) {
		return nil, fmt.Errorf("reshape_activations %q is not supported", c.Reshape)
	}
	if c.FinetuningScale {
		return nil, fmt.Errorf("finetuning_scaling_factor is not supported; fold it into W_dec")
	}
	if s.Metadata == nil {
		s.Metadata = map[string]any{}
	}
	for key, v := range map[string]string{"hook_name": cmp.Or(c.HookName, c.HookPoint), "model_name": c.ModelName} {
		if _, ok := s.Metadata[key]; !ok && v != "" {
			s.Metadata[key] = v
		}
	}
	if s.Arch == ArchBatchTopK || s.Arch == ArchMatryoshka {
		return s, checkSizes(s)
	}
	a, err := architectureOf(s.Arch)
	if err != nil {
		return nil, err
	}
	if err := checkSizes(s); err != nil {
		return nil, err
	}
	if a.usesK && c.K != 0 && float64(s.K) != c.K {
		return nil, fmt.Errorf("k is %v; %s wants a whole number", c.K, s.Arch)
	}
	if a.read != nil {
		if err := a.read(&c, s); err != nil {
			return nil, err
		}
	}
	return s, s.checkSettings(a)
}

// Save writes the SAE below dir in SAELens's format and, where density is not nil, the log10 of each latent's share
// of rows on which it is active. The bytes depend on the SAE alone.
func (s *SAE) Save(dir string, density []float64) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if err := s.save(dir, density); err != nil {
		return fmt.Errorf("sae: save %s: %w", dir, err)
	}
	return nil
}

func (s *SAE) save(dir string, density []float64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	a, err := architectureOf(s.Arch)
	if err != nil {
		return err
	}
	var weights []safetensors.Tensor
	for _, t := range a.tensors(s) {
		weights = append(weights, safetensors.F32(t.name, t.shape, *t.at))
	}
	if err := safetensors.Write(filepath.Join(dir, weightsFile), weights, nil); err != nil {
		return err
	}
	if err := saveDensity(dir, density, s.DSAE); err != nil {
		return err
	}
	meta := maps.Clone(s.Metadata)
	if meta == nil {
		meta = map[string]any{}
	}
	if meta["sae_lens_version"] == nil { // without it SAELens takes the file for the flat layout of version 5
		meta["sae_lens_version"] = saelensFormat
	}
	cfg := map[string]any{
		"architecture": s.Arch, "d_in": s.DIn, "d_sae": s.DSAE,
		"dtype": "float32", "device": "cpu",
		"apply_b_dec_to_input":  s.ApplyBDecToInput,
		"normalize_activations": s.Normalize,
		"reshape_activations":   map[bool]string{false: "none", true: "hook_z"}[s.HookZ],
		"metadata":              meta,
	}
	if a.write != nil {
		a.write(s, cfg)
	}
	// cfg.json comes last: a folder that has it is whole.
	return writeJSON(filepath.Join(dir, configFile), cfg)
}

// saveDensity writes log10 of the densities of f latents, if there are any.
func saveDensity(dir string, density []float64, f int) error {
	if density == nil {
		return nil
	}
	if len(density) != f {
		return fmt.Errorf("%d densities for %d latents", len(density), f)
	}
	logs := make([]float32, f)
	for i, v := range density {
		logs[i] = float32(math.Log10(v + logDensityFloor))
	}
	return safetensors.Write(filepath.Join(dir, sparsityFile), []safetensors.Tensor{safetensors.F32("sparsity", []int{f}, logs)}, nil)
}
