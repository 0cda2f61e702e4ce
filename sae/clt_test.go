package sae

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// randomCLT is a small cross-layer transcoder with random weights.
func randomCLT(t testing.TB, layers, in, out, f int, activation string, skip bool) *CLT {
	t.Helper()
	c := &CLT{DIn: in, DOut: out, DSAE: f, Activation: activation, Layers: make([]CLTLayer, layers), Metadata: map[string]any{"model_name": "tiny"}}
	for l := range layers {
		c.Metadata["hook_names"] = append(metadataList(c.Metadata["hook_names"]), fmt.Sprintf("blocks.%d.ln2.hook_normalized", l))
	}
	if activation == ActivationTopK {
		c.K = 2 * layers
	}
	for l := range c.Layers {
		if skip {
			c.Layers[l].WSkip = []float32{}
		}
		for i, s := range c.tensors(l) {
			n := 1
			for _, d := range s.shape {
				n *= d
			}
			*s.at = normals(uint64(100*l+i+1), n)
			scaleBy(*s.at, 0.4)
		}
		for i, v := range c.Layers[l].Threshold {
			c.Layers[l].Threshold[i] = max(v, -v)
		}
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func metadataList(v any) []any {
	list, _ := v.([]any)
	return list
}

// TestCLTEncodes by hand: two layers of width 1, two latents each. Layer 0 reads x_0 = 2 by (1, 3) with thresholds (3, 5): pre is
// (2, 6), of which 6 is active; layer 1 reads x_1 = 1 by (2, -1), thresholds 0: 2 is active. Latent 1 of layer 0 writes 1 and 10,
// latent 0 of layer 1 writes 100; biases 0.5 and 0.25, linear paths 4 and 8.
func TestCLTEncodes(t *testing.T) {
	c := &CLT{DIn: 1, DOut: 1, DSAE: 2, Activation: ActivationJumpReLU, Layers: []CLTLayer{
		{WEnc: []float32{1, 3}, BEnc: []float32{0, 0}, WDec: []float32{7, 7, 1, 10}, BDec: []float32{0.5}, Threshold: []float32{3, 5}, WSkip: []float32{4}},
		{WEnc: []float32{2, -1}, BEnc: []float32{0, 0}, WDec: []float32{100, 7}, BDec: []float32{0.25}, Threshold: []float32{0, 0}, WSkip: []float32{8}},
	}}
	lat, y, err := c.Reconstruct([]float32{2, 1})
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "latents", denseLatents(lat, 4), []float32{0, 6, 2, 0}, 0, 0)
	nearly(t, "outputs", y, []float32{0.5 + 6 + 8, 0.25 + 60 + 200 + 8}, 1e-6, 0)
	c.Activation, c.K = ActivationTopK, 1
	for l := range c.Layers {
		c.Layers[l].Threshold, c.Layers[l].WSkip = nil, nil
	}
	if lat, y, err = c.Reconstruct([]float32{2, 1}); err != nil {
		t.Fatal(err)
	}
	nearly(t, "topk: latents", denseLatents(lat, 4), []float32{0, 6, 0, 0}, 0, 0)
	nearly(t, "topk: outputs", y, []float32{6.5, 60.25}, 1e-6, 0)
	c.K, c.PerLayer = 2, true
	if lat, err = c.Encode([]float32{2, 1}); err != nil {
		t.Fatal(err)
	}
	nearly(t, "topk by layer: latents", denseLatents(lat, 4), []float32{0, 6, 2, 0}, 0, 0)
}

// TestCLTForms: every form computes on the backend what it does on the host, and one saved and loaded is the same to the bit;
// layer by layer it is a transcoder that writes to more layers.
func TestCLTForms(t *testing.T) {
	const n = 30
	for _, c := range []struct {
		activation string
		out        int
		skip, per  bool
	}{
		{ActivationReLU, 5, false, false}, {ActivationJumpReLU, 5, true, false}, {ActivationTopK, 5, false, false}, {ActivationTopK, 4, true, true},
	} {
		t.Run(fmt.Sprintf("%s/%d/skip=%v", c.activation, c.out, c.skip), func(t *testing.T) {
			x := randomCLT(t, 3, 5, c.out, 12, c.activation, c.skip)
			x.PerLayer = c.per
			rows := normals(9, n*3*5)
			lat, y, err := x.Reconstruct(rows)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if err := x.Save(dir, make([]float64, 36)); err != nil {
				t.Fatal(err)
			}
			got, format, err := ReadCoder(dir)
			if err != nil || format != FormatCLT {
				t.Fatalf("%s: %v", format, err)
			}
			again := got.(*CLT)
			for l := range x.Layers {
				for i, s := range x.tensors(l) {
					nearly(t, "saved "+s.name, *again.tensors(l)[i].at, *s.at, 0, 0)
				}
			}
			if again.Shape() != x.Shape() || again.PerLayer != x.PerLayer || again.Metadata["model_name"] != "tiny" || again.Metadata["feature_input_hook"] != "ln2.hook_normalized" || len(metadataList(again.Metadata["hook_names"])) != 3 {
				t.Errorf("loaded %+v, saved %+v", again.Shape(), x.Shape())
			}
			second := t.TempDir()
			if _, err := WriteCoder(again, second, FormatCLT); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, sparsityFile)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(treeBytes(t, dir), treeBytes(t, second)) {
				t.Error("the bytes changed on the way")
			}
			run, err := NewCoderRunner(graphtest.Backend(t), x, 32)
			if err != nil {
				t.Fatal(err)
			}
			defer run.Close()
			bl, by, err := run.Reconstruct(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			nearly(t, "latents on the backend", denseLatents(bl, 36), denseLatents(lat, 36), 1e-5, 1e-5)
			nearly(t, "outputs on the backend", by, y, 1e-5, 1e-5)
			if c.activation == ActivationTopK {
				return
			}
			// The first layer alone is a transcoder.
			one := &SAE{Arch: ArchTranscoder, DIn: 5, DOut: c.out, DSAE: 12, Normalize: NormalizeNone, WEnc: turned(x.Layers[0].WEnc, 12, 5), BEnc: x.Layers[0].BEnc, BDec: x.Layers[0].BDec}
			if c.activation == ActivationJumpReLU {
				one.Arch, one.Threshold, one.WSkip = ArchJumpReLUSkip, x.Layers[0].Threshold, turned(x.Layers[0].WSkip, 5, c.out)
			}
			for i := range 12 {
				one.WDec = append(one.WDec, x.Decoder(0, i, 0)...)
			}
			_, want, err := one.Reconstruct(takeColumns(rows, 15, 0, 5))
			if err != nil {
				t.Fatal(err)
			}
			nearly(t, "layer 0 as a transcoder", takeColumns(y, 3*c.out, 0, c.out), want, 1e-5, 1e-5)
		})
	}
}

// TestBadCLT: each damage is an error that names file and tensor.
func TestBadCLT(t *testing.T) {
	replace := func(file string, tensors ...safetensors.Tensor) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := safetensors.Write(filepath.Join(dir, file), tensors, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := func(text string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, cltConfigFile), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(file string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	nan := make([]float32, 4*2*3)
	nan[5] = float32(math.NaN())
	for name, c := range map[string]struct {
		want   string
		damage func(*testing.T, string)
	}{
		"kind":         {`model_kind is "transcoder_set"`, config("model_kind: transcoder_set\n")},
		"yaml":         {cltConfigFile, config("a: [")},
		"own kind":     {`activation "x"`, config("model_kind: " + cltLoupeKind + "\nactivation: x\n")},
		"k":            {"k is 99", config("model_kind: " + cltLoupeKind + "\nactivation: topk\nk: 99\n")},
		"missing file": {cltDecoderFile(1), remove(cltDecoderFile(1))},
		"shape of a decoder": {"W_dec_0.safetensors: tensor W_dec_0 has shape [4 1 3], want [4 2 3]",
			replace(cltDecoderFile(0), safetensors.F32("W_dec_0", []int{4, 1, 3}, make([]float32, 12)))},
		"fewer layers": {"want [4 1 3]", remove(cltEncoderFile(1))},
		"not finite":   {"element 5 of tensor W_dec_0 is NaN", replace(cltDecoderFile(0), safetensors.F32("W_dec_0", []int{4, 2, 3}, nan))},
		"missing tensor": {"b_enc_1 is missing", replace(cltEncoderFile(1),
			safetensors.F32("W_enc_1", []int{4, 3}, make([]float32, 12)), safetensors.F32("b_dec_1", []int{3}, make([]float32, 3)))},
		"more": {"tensor threshold_1 is not", replace(cltEncoderFile(1), safetensors.F32("W_enc_1", []int{4, 3}, make([]float32, 12)),
			safetensors.F32("b_enc_1", []int{4}, make([]float32, 4)), safetensors.F32("b_dec_1", []int{3}, make([]float32, 3)), safetensors.F32("threshold_1", []int{4}, make([]float32, 4)))},
		"cut": {cltEncoderFile(1), func(t *testing.T, dir string) { cut(t, filepath.Join(dir, cltEncoderFile(1))) }},
	} {
		dir := t.TempDir()
		if err := randomCLT(t, 2, 3, 3, 4, ActivationReLU, false).Save(dir, nil); err != nil {
			t.Fatal(err)
		}
		c.damage(t, dir)
		if _, err := LoadCLT(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestCLTConfigErrors(t *testing.T) {
	for field, edit := range map[string]func(*Config){
		"layers":                func(c *Config) { c.Layers = 2000 },
		"k":                     func(c *Config) { c.CLT.PerLayer, c.K = true, 3 },
		"normalize_activations": func(c *Config) { c.Normalize = normalizeLayerNorm },
		"d_sae":                 func(c *Config) { c.DSAE = 1 << 30 },
	} {
		c := DefaultConfig()
		c.Arch, c.Layers, c.DSAE, c.AuxK, c.K = ArchTopKCLT, 2, 64, 8, 4
		edit(&c)
		if _, err := c.Resolve(16 * max(c.Layers, 1)); err == nil || !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("wrong %s: %v", field, err)
		}
	}
}

func FuzzCLTConfig(f *testing.F) {
	f.Add([]byte("model_kind: cross_layer_transcoder\nmodel_name: google/gemma-2-2b\nfeature_input_hook: hook_resid_mid\n"))
	f.Add([]byte("model_kind: loupe_cross_layer_transcoder\nactivation: topk\nk: 4\nper_layer: true\n"))
	f.Add([]byte("a: &a [1]\nb: [*a, *a]\nmodel_kind: [x]\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCLT(raw)
		if err != nil {
			return
		}
		c.Layers = make([]CLTLayer, 2)
		c.DIn, c.DOut, c.DSAE = 2, 2, 3
		if err := c.checkSettings(); err != nil {
			return
		}
		if err := c.Validate(); err == nil {
			t.Fatal("a transcoder without weights is valid")
		}
	})
}
