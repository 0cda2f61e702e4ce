package sae

import (
	"archive/zip"
	"bytes"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/npy"
	"loupe/internal/safetensors"
	"loupe/internal/torchzip"
)

// TestGemmaScope: the arrays of params.npz, in folders of the published names.
func TestGemmaScope(t *testing.T) {
	s := exchangeSAE(t, ArchJumpReLU, 8, 32)
	s.ApplyBDecToInput = false
	arrays := map[string]*npy.Array{
		"W_enc": npy.F32([]int{8, 32}, s.WEnc), "W_dec": npy.F32([]int{32, 8}, s.WDec), "b_enc": npy.F32([]int{32}, s.BEnc),
		"b_dec": npy.F32([]int{8}, s.BDec), "threshold": npy.F32([]int{32}, s.Threshold),
	}
	x := normals(5, 10*8)
	want, recon, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	for where, hook := range map[string]string{
		"/google/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz":        "blocks.20.hook_resid_post",
		"/google/gemma-scope-9b-it-mlp/layer_3/width_16k/average_l0_71/params.npz":         "blocks.3.hook_mlp_out",
		"/google/gemma-scope-2b-pt-att/layer_3/width_16k/average_l0_71/params.npz":         "blocks.3.attn.hook_z",
		"/google/gemma-scope-2b-pt-transcoders/layer_3/width_16k/average_l0_71/params.npz": "blocks.3.ln2.hook_normalized",
		"/google/gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6/params.npz":         "hook_embed",
		"/somewhere/params.npz": "",
	} {
		got, err := fromGemmaScope(foreignArchive(arrays), where)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Validate(); err != nil {
			t.Fatal(err)
		}
		if name, _ := got.Metadata["hook_name"].(string); name != hook {
			t.Errorf("%s: hook_name is %q, want %q", where, name, hook)
		}
		in, scale := slices.Clone(x), float32(1)
		if hook == "hook_embed" { // trained on embeddings times sqrt(d): W_enc / sqrt(d) sees them as they are
			scale = float32(math.Sqrt(8))
			scaleBy(in, scale)
		}
		lat, out, err := got.Reconstruct(in)
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, where+" activations", denseLatents(lat, 32), denseLatents(want, 32), 1e-5, 1e-5)
		if scale == 1 {
			nearly(t, where+" reconstruction", out, recon, 1e-5, 1e-5)
		}
	}
	folder := filepath.Join(t.TempDir(), "gemma-scope-2b-pt-res", "layer_20", "width_16k")
	writeArchive(t, folder, arrays)
	got, format, err := Read(folder)
	if err != nil || format != FormatGemmaScope || got.Metadata["model_name"] != "gemma-2-2b" {
		t.Fatal(format, err)
	}
	lat, out, err := got.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "file: activations", denseLatents(lat, 32), denseLatents(want, 32), 0, 0)
	nearly(t, "file: reconstruction", out, recon, 0, 0)
	cut(t, filepath.Join(folder, gemmaScopeWeights))
	if _, _, err := Read(folder); err == nil || !strings.Contains(err.Error(), gemmaScopeWeights) {
		t.Errorf("a cut file: %v", err)
	}
	for name, c := range map[string]struct {
		edit func(map[string]*npy.Array)
		want string
	}{
		"missing": {func(a map[string]*npy.Array) { delete(a, "threshold") }, "threshold is missing"},
		"shape":   {func(a map[string]*npy.Array) { a["b_enc"] = npy.F32([]int{8}, make([]float32, 8)) }, "b_enc has shape [8], want [32]"},
		"more":    {func(a map[string]*npy.Array) { a["affine_skip"] = a["b_dec"] }, "affine_skip is not one"},
		"not finite": {func(a map[string]*npy.Array) {
			a["b_dec"] = npy.F32([]int{8}, []float32{0, float32(math.NaN()), 0, 0, 0, 0, 0, 0})
		}, "element 1 of tensor b_dec is NaN"},
		"not numbers": {func(a map[string]*npy.Array) { a["b_dec"] = npy.I64([]int{8}, make([]int64, 8)) }, "b_dec"},
		"scalar":      {func(a map[string]*npy.Array) { a["W_enc"] = npy.F32(nil, []float32{1}) }, "want a matrix"},
	} {
		broken := maps.Clone(arrays)
		c.edit(broken)
		if _, err := fromGemmaScope(foreignArchive(broken), "/x/params.npz"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want it to say %q", name, err, c.want)
		}
	}
}

// writeArchive writes params.npz.
func writeArchive(t *testing.T, dir string, arrays map[string]*npy.Array) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		one := filepath.Join(t.TempDir(), name+".npy")
		if err := npy.Write(one, arrays[name]); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(one)
		if err != nil {
			t.Fatal(err)
		}
		w, err := z.Create(name + ".npy")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, gemmaScopeWeights), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAI: written and read again, with and without layer norm, and what is refused.
func TestOpenAI(t *testing.T) {
	x := normals(5, 10*8)
	for _, arch := range []string{ArchStandard, ArchTopK} {
		s := exchangeSAE(t, arch, 8, 32)
		if arch == ArchTopK {
			s.Normalize = normalizeLayerNorm
		}
		path := filepath.Join(t.TempDir(), "ae.pt")
		if notes, err := s.Write(path, FormatOpenAI); err != nil || len(notes) > 0 {
			t.Fatal(notes, err)
		}
		got, format, err := Read(path)
		if err != nil || format != FormatOpenAI {
			t.Fatal(format, err)
		}
		if got.Arch != arch || got.K != s.K || got.Normalize != s.Normalize || !got.ApplyBDecToInput {
			t.Errorf("%s was read as %+v", arch, got)
		}
		for name, pair := range map[string][2][]float32{"W_enc": {got.WEnc, s.WEnc}, "W_dec": {got.WDec, s.WDec}, "b_enc": {got.BEnc, s.BEnc}, "b_dec": {got.BDec, s.BDec}} {
			if !slices.Equal(pair[0], pair[1]) {
				t.Errorf("%s: %s differs", arch, name)
			}
		}
	}
	// By hand: the layer norm of the tool is (x - mean) / (std + 1e-5) with n - 1, and undone at the output.
	s := exchangeSAE(t, ArchTopK, 8, 32)
	s.Normalize = normalizeLayerNorm
	got, _, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	row := x[:8]
	var mean, variance float64
	for _, v := range row {
		mean += float64(v) / 8
	}
	for _, v := range row {
		variance += (float64(v) - mean) * (float64(v) - mean) / 7
	}
	index, value := got.Row(0)
	for j, i := range index {
		h := float64(s.BEnc[i])
		for q, v := range row {
			h += ((float64(v)-mean)/(math.Sqrt(variance)+1e-5) - float64(s.BDec[q])) * float64(s.WEnc[q*32+int(i)])
		}
		if math.Abs(h-float64(value[j])) > 1e-5 {
			t.Errorf("latent %d is %v, want %v", i, value[j], h)
		}
	}

	crosscoder := filepath.Join(t.TempDir(), "cc.pt")
	err = torchzip.Write(crosscoder, "cc", []safetensors.Tensor{safetensors.F32("W_enc", []int{2, 4, 8}, make([]float32, 64))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Read(crosscoder); err == nil || !strings.Contains(err.Error(), "a crosscoder of 2 sites") {
		t.Errorf("a crosscoder: %v", err)
	}
}

// llamaScopeFolder writes a folder as Llama Scope has them.
func llamaScopeFolder(t *testing.T, dir string, s *SAE, threshold, norm float64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "checkpoints"), 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`{"d_model": %d, "d_sae": %d, "expansion_factor": 4, "hook_point_in": "blocks.3.hook_resid_post", "hook_point_out": "blocks.3.hook_resid_post",
		"jump_relu_threshold": %v, "dataset_average_activation_norm": {"in": %v, "out": %v}, "act_fn": "jumprelu"}`, s.DIn, s.DSAE, threshold, norm, norm)
	if err := os.WriteFile(filepath.Join(dir, "hyperparams.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	err := safetensors.Write(filepath.Join(dir, "checkpoints", "final.safetensors"), []safetensors.Tensor{
		safetensors.F32("encoder.weight", []int{s.DSAE, s.DIn}, turned(s.WEnc, s.DIn, s.DSAE)), safetensors.F32("encoder.bias", []int{s.DSAE}, s.BEnc),
		safetensors.F32("decoder.weight", []int{s.DIn, s.DSAE}, turned(s.WDec, s.DSAE, s.DIn)), safetensors.F32("decoder.bias", []int{s.DIn}, s.BDec),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

// TestLlamaScope: what is read computes, on raw inputs, the JumpReLU of the file on inputs scaled to norm sqrt(d), with the
// threshold times the scale, as SAELens does; files that say otherwise are refused.
func TestLlamaScope(t *testing.T) {
	const d, f, threshold, norm = 8, 32, 0.3, 2.0
	s := exchangeSAE(t, ArchStandard, d, f)
	s.ApplyBDecToInput = false
	dir := filepath.Join(t.TempDir(), "Llama3_1-8B-Base-L3R-8x")
	llamaScopeFolder(t, dir, s, threshold, norm)
	got, format, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if format != FormatLlamaScope || got.Arch != ArchJumpReLU || got.Metadata["hook_name"] != "blocks.3.hook_resid_post" {
		t.Errorf("format %s, %s, %v", format, got.Arch, got.Metadata)
	}
	x := normals(5, 10*d)
	scale := math.Sqrt(d) / norm
	acts, recon, err := got.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	scaled := slices.Clone(x)
	scaleBy(scaled, float32(scale))
	raw := s.clone()
	raw.Arch, raw.Threshold = ArchJumpReLU, slices.Repeat([]float32{float32(threshold * scale)}, f)
	want, out, err := raw.Reconstruct(scaled)
	if err != nil {
		t.Fatal(err)
	}
	scaleBy(out, float32(1/scale))
	nearly(t, "activations", denseLatents(acts, f), denseLatents(want, f), 1e-5, 1e-5)
	nearly(t, "reconstructions", recon, out, 1e-5, 1e-5)

	for says, config := range map[string]string{
		"jump_relu_threshold": `{"d_model": 8, "d_sae": 32, "dataset_average_activation_norm": {"in": 2}}`,
		"average_activation":  `{"d_model": 8, "d_sae": 32, "jump_relu_threshold": 1}`,
		"transcoders":         `{"d_model": 8, "d_sae": 32, "jump_relu_threshold": 1, "dataset_average_activation_norm": {"in": 2}, "hook_point_in": "a", "hook_point_out": "b"}`,
		"shape [32 8]":        `{"d_model": 9, "d_sae": 32, "jump_relu_threshold": 1, "dataset_average_activation_norm": {"in": 2}}`,
		"must be positive":    `{"d_model": -8, "d_sae": 32, "jump_relu_threshold": 1, "dataset_average_activation_norm": {"in": 2}}`,
		"cannot unmarshal":    `{"d_model": "8"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, "hyperparams.json"), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(dir); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// FuzzLlamaScope: any hyperparams.json beside good weights gives an SAE that validates, or an error.
func FuzzLlamaScope(f *testing.F) {
	f.Add([]byte(`{"d_model": 8, "d_sae": 32, "jump_relu_threshold": 1, "dataset_average_activation_norm": {"in": 2}}`))
	f.Add([]byte(`{"d_model": 1e99, "d_sae": -1, "jump_relu_threshold": null}`))
	f.Fuzz(func(t *testing.T, config []byte) {
		dir := t.TempDir()
		s := &SAE{DIn: 2, DSAE: 3, WEnc: make([]float32, 6), WDec: make([]float32, 6), BEnc: make([]float32, 3), BDec: make([]float32, 2)}
		llamaScopeFolder(t, dir, s, 1, 1)
		if err := os.WriteFile(filepath.Join(dir, llamaScopeConfig), config, 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := readLlamaScope(dir); err == nil && got.Validate() != nil {
			t.Errorf("%s gives an SAE that is not one: %v", config, got.Validate())
		}
	})
}
