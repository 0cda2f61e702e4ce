package sae

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// exchangeSAE is a small SAE of an architecture with random weights.
func exchangeSAE(t testing.TB, arch string, d, f int) *SAE {
	t.Helper()
	s := &SAE{Arch: arch, DIn: d, DSAE: f, K: 4, Normalize: NormalizeNone, Metadata: map[string]any{"model_name": "tiny", "hook_name": "blocks.3.hook_resid_post"}}
	a, err := architectureOf(arch)
	if err != nil {
		t.Fatal(err)
	}
	if !a.usesK {
		s.K = 0
	}
	s.ApplyBDecToInput = !a.transcoder
	for i, slot := range a.tensors(s) {
		n := 1
		for _, d := range slot.shape {
			n *= d
		}
		*slot.at = normals(uint64(i+7), n)
		scaleBy(*slot.at, 0.3)
	}
	for i, v := range s.Threshold {
		s.Threshold[i] = max(v, -v)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAdapted: every change of form that writing makes keeps the function.
func TestAdapted(t *testing.T) {
	x := normals(3, 40*8)
	for _, arch := range []string{ArchStandard, ArchGated, ArchTopK, ArchJumpReLU, ArchGroupMax} {
		for _, subtract := range []bool{false, true} {
			s := exchangeSAE(t, arch, 8, 32)
			s.ApplyBDecToInput = !subtract
			s.RescaleByDecoder = arch == ArchTopK
			want, wantRecon, err := s.Reconstruct(x)
			if err != nil {
				t.Fatal(err)
			}
			c, notes, err := s.adapted(subtract)
			if err != nil {
				t.Fatal(err)
			}
			if c.ApplyBDecToInput != subtract || c.RescaleByDecoder || len(notes) == 0 {
				t.Errorf("%s: b_dec subtracted %v, rescaled %v, notes %v", arch, c.ApplyBDecToInput, c.RescaleByDecoder, notes)
			}
			got, recon, err := c.Reconstruct(x)
			if err != nil {
				t.Fatal(err)
			}
			nearly(t, arch+" activations", denseLatents(got, 32), denseLatents(want, 32), 1e-5, 1e-5)
			nearly(t, arch+" reconstruction", recon, wantRecon, 1e-5, 1e-5)
		}
	}
	s := exchangeSAE(t, ArchTopK, 8, 32)
	s.Normalize = normalizeLayerNorm
	if _, err := s.Write(filepath.Join(t.TempDir(), "x"), FormatSparsify); err == nil || !strings.Contains(err.Error(), "layer_norm") {
		t.Errorf("a normalised SAE was written as sparsify: %v", err)
	}
}

// TestFormatsRefuse: what a tool cannot express is refused with its name, and written by those that can.
func TestFormatsRefuse(t *testing.T) {
	can := map[string][]string{
		FormatSparsify:           {ArchTopK, ArchGroupMax, ArchTopKTranscoder, ArchTopKSkipTranscoder},
		FormatDictionaryLearning: {ArchStandard, ArchGated, ArchTopK, ArchJumpReLU},
		FormatOpenAI:             {ArchStandard},
		FormatGemmaScope:         {},
		"other":                  {},
	}
	for format, archs := range can {
		for _, arch := range Architectures() {
			if arch == ArchTemporal || arch == ArchMatchingPursuit {
				continue
			}
			path := filepath.Join(t.TempDir(), "out.pt")
			_, err := exchangeSAE(t, arch, 8, 32).Write(path, format)
			if ok := slices.Contains(archs, arch); (err == nil) != ok {
				t.Errorf("%s as %s: %v", arch, format, err)
			}
			if _, statErr := os.Stat(path); err != nil && statErr == nil {
				t.Errorf("%s as %s: refused, but something was written", arch, format)
			}
		}
	}
}

// editJSON changes a JSON file.
func editJSON(t *testing.T, path string, edit func(map[string]any)) {
	t.Helper()
	c, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(c)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func setKey(key string, v any) func(map[string]any) { return func(c map[string]any) { c[key] = v } }

// cut halves a file.
func cut(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw[:len(raw)/2], 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBadSparsify(t *testing.T) {
	cfg := func(edit func(map[string]any)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editJSON(t, filepath.Join(dir, configFile), edit) }
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"no d_in":            {cfg(func(c map[string]any) { delete(c, "d_in") }), "d_in is missing"},
		"d_in as text":       {cfg(setKey("d_in", "8")), "cannot unmarshal"},
		"other d_in":         {cfg(setKey("d_in", 9)), "encoder.weight has shape [32 8], want [32 9]"},
		"huge":               {cfg(setKey("num_latents", 1<<40)), "products below 2^31"},
		"k of 0":             {cfg(setKey("k", 0)), "k is 0"},
		"k above F":          {cfg(setKey("k", 33)), "k is 33"},
		"activation":         {cfg(setKey("activation", "relu")), `activation "relu"`},
		"signed":             {cfg(setKey("signed", true)), "signed"},
		"groups":             {cfg(func(c map[string]any) { c["activation"], c["k"] = "groupmax", 5 }), "does not divide"},
		"groupmax transcode": {cfg(func(c map[string]any) { c["activation"], c["transcode"] = "groupmax", true }), "groupmax is supported for autoencoders"},
		"no width":           {cfg(func(c map[string]any) { c["num_latents"], c["expansion_factor"] = 0, 0 }), "one of them must be positive"},
		"skip without":       {cfg(setKey("skip_connection", true)), "W_skip is missing"},
		"cut weights":        {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, sparsifyWeights)) }, sparsifyWeights},
		"cut config":         {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, configFile)) }, configFile},
		"list as config": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, configFile), []byte("[1]"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "cannot unmarshal array"},
		"huge config": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, configFile), make([]byte, maxConfig+1), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "above the limit"},
		"no weights": {func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, sparsifyWeights)) }, "the files of no format"},
	} {
		dir := filepath.Join(t.TempDir(), "layers.3")
		if _, err := exchangeSAE(t, ArchTopK, 8, 32).Write(dir, FormatSparsify); err != nil {
			t.Fatal(err)
		}
		if s, _, err := Read(dir); err != nil || s.Metadata["hook_name"] != "blocks.3.hook_resid_post" {
			t.Fatalf("before: %v", err)
		}
		c.spoil(t, dir)
		if _, _, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestBadDictionaryLearning(t *testing.T) {
	trainer := func(key string, v any) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, dictionaryConfig), func(c map[string]any) { c["trainer"].(map[string]any)[key] = v })
		}
	}
	weights := func(edit func([]safetensors.Tensor) []safetensors.Tensor) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			tensors, err := exchangeSAE(t, ArchTopK, 8, 32).dictionaryTensors(classTopK, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := torchzip.Write(filepath.Join(dir, dictionaryWeights), "ae", edit(tensors)); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace := func(tensor safetensors.Tensor) func(*testing.T, string) {
		return weights(func(all []safetensors.Tensor) []safetensors.Tensor {
			return append(slices.DeleteFunc(all, func(t safetensors.Tensor) bool { return t.Name == tensor.Name }), tensor)
		})
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"class":       {trainer("dict_class", "CrossCoder"), "the class is not supported"},
		"no class":    {trainer("dict_class", ""), "dict_class is missing"},
		"other class": {trainer("dict_class", classGated), "decoder_bias is missing"},
		"matrix":      {trainer("dict_class", classJumpReLU), "W_enc is missing"},
		"width":       {trainer("dict_size", 64), "says 8 and 64"},
		"k":           {trainer("k", 5), "k is 4 in the weights and 5"},
		"k above F":   {replace(safetensors.I32("k", nil, []int32{33})), "k is 33 in the weights"},
		"k as float":  {replace(safetensors.F32("k", nil, []float32{4})), "tensor k"},
		"more":        {replace(safetensors.F32("W_skip", nil, []float32{4})), "W_skip is not one"},
		"shape":       {replace(safetensors.F32("b_dec", []int{9}, make([]float32, 9))), "b_dec has shape [9], want [8]"},
		"threshold":   {replace(safetensors.F32("threshold", []int{32}, make([]float32, 32))), "threshold has shape [32]"},
		"cut weights": {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, dictionaryWeights)) }, "damaged"},
		"cut config":  {func(t *testing.T, dir string) { cut(t, filepath.Join(dir, dictionaryConfig)) }, "unexpected end"},
		"groups": {func(t *testing.T, dir string) {
			trainer("dict_class", classMatryoshka)(t, dir)
			s := exchangeSAE(t, ArchJumpReLU, 8, 32)
			tensors, err := s.dictionaryTensors(classMatryoshka, map[string]any{"k": 4.0, "group_sizes": []any{16.0, 8.0}})
			if err != nil {
				t.Fatal(err)
			}
			if err := torchzip.Write(filepath.Join(dir, dictionaryWeights), "ae", tensors); err != nil {
				t.Fatal(err)
			}
		}, "sum 24, want F = 32"},
	} {
		dir := filepath.Join(t.TempDir(), "trainer_0")
		if _, err := exchangeSAE(t, ArchTopK, 8, 32).Write(dir, FormatDictionaryLearning); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir); err != nil {
			t.Fatalf("before: %v", err)
		}
		c.spoil(t, dir)
		if _, _, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, c.want)
		}
	}
}

func TestDetectFormat(t *testing.T) {
	for file, want := range map[string]string{
		"trainer_0": "several SAEs of dictionary_learning", "state.pt": "hookpoint", "nothing": "the files of no format",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := DetectFormat(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want it to say %q", file, err, want)
		}
	}
	if _, err := DetectFormat(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a path that is not there has a format")
	}
	for _, f := range Formats() {
		if len(f.Files) == 0 && f.Suffix == "" || f.Writes == slices.Contains([]string{FormatGemmaScope, FormatLlamaScope}, f.Name) {
			t.Errorf("format %+v", f)
		}
	}
}

func FuzzSparsifyConfig(f *testing.F) {
	f.Add(`{"activation": "topk", "expansion_factor": 32, "num_latents": 96, "k": 8, "transcode": true, "skip_connection": true, "d_in": 24}`)
	f.Add(`{"activation": "groupmax", "expansion_factor": 4, "num_latents": 0, "k": 8, "d_in": 24}`)
	f.Add(`{"d_in": -1, "num_latents": 1e300}`)
	f.Fuzz(func(t *testing.T, text string) {
		var raw map[string]any
		if json.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		if s, err := parseSparsify(raw); err == nil && (s.DIn < 1 || s.K < 1 || s.K > s.DSAE || s.DSAE > math.MaxInt32/s.DIn) {
			t.Errorf("%s gave d %d, F %d, k %d", text, s.DIn, s.DSAE, s.K)
		}
	})
}

func FuzzDictionaryConfig(f *testing.F) {
	f.Add(`{"trainer": {"dict_class": "AutoEncoderTopK", "activation_dim": 8, "dict_size": 32, "k": 4, "submodule_name": "resid_post_layer_3"}}`)
	f.Add(`{"trainer": {"dict_class": "MatryoshkaBatchTopKSAE", "k": -1}, "buffer": {"ctx_len": 1e9}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var raw map[string]any
		var c dictionaryTrainer
		if json.Unmarshal([]byte(text), &raw) != nil || decodeConfig(raw, &c) != nil {
			return
		}
		path := filepath.Join(t.TempDir(), dictionaryWeights)
		tensors, err := exchangeSAE(t, ArchTopK, 8, 32).dictionaryTensors(classTopK, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := torchzip.Write(path, "ae", tensors); err != nil {
			t.Fatal(err)
		}
		file, err := torchzip.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		state, err := file.StateDict()
		if err != nil {
			t.Fatal(err)
		}
		if s, err := fromDictionary(c, raw, state); err == nil && s.Validate() != nil {
			t.Errorf("%s gave an SAE that is not valid: %v", text, s.Validate())
		}
	})
}
