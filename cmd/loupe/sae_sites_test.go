package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/safetensors"
	"loupe/sae"
)

// TestSAESites converts, describes and checks a crosscoder and a cross-layer transcoder.
func TestSAESites(t *testing.T) {
	dir := t.TempDir()
	flat := randomTopK(8, 16) // its weights, in two sites of width 4
	c := &sae.Crosscoder{
		Sites: 2, DIn: 4, DSAE: 16, Activation: sae.ActivationBatchTopK, K: 4, Norm: sae.CodeNormCrosscoder, Threshold: []float32{0.1},
		WEnc: flat.WEnc, WDec: flat.WDec, BEnc: flat.BEnc, BDec: flat.BDec, Metadata: map[string]any{"model_name": "tiny"},
	}
	clear(c.Decoder(0, 1)) // latent 0 is of site 0 alone
	at := filepath.Join(dir, "own")
	if err := c.Save(at, nil); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errOut := loupeOn(t, append([]string{"sae"}, args...)...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, code, want, out, errOut)
		}
		return out + errOut
	}
	to := filepath.Join(dir, "sof")
	run(0, "convert", at, to, "--to", sae.FormatSoFCrosscoder)
	if out := run(0, "convert", at, filepath.Join(dir, "flat"), "--to", sae.FormatSAELens); !strings.Contains(out, "an SAE of the 2 sites' activations") {
		t.Errorf("converted to an SAE: %s", out)
	}
	if out := run(1, "convert", at, filepath.Join(dir, "clt"), "--to", sae.FormatCLT); !strings.Contains(out, "not for batchtopk_crosscoder") {
		t.Errorf("converted to a transcoder: %s", out)
	}
	var info sitesInfo
	if err := json.Unmarshal([]byte(run(0, "info", to, "--json")), &info); err != nil {
		t.Fatal(err)
	}
	if info.Format != sae.FormatSoFCrosscoder || info.Arch != sae.ArchBatchTopKCrosscoder || info.InSites != 2 || info.Latents != 16 || len(info.Diffs) != 1 || info.Diffs[0].OnlyA != 1 {
		t.Errorf("info is %+v", info)
	}
	if out := run(0, "info", to); !strings.Contains(out, "1 latents of 0 alone") {
		t.Errorf("info prints\n%s", out)
	}

	x := randomTopK(10, 8).WEnc[:80]
	lat, y, err := c.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	acts := make([]float32, 10*16)
	for r := range 10 {
		index, value := lat.Row(r)
		for j, i := range index {
			acts[r*16+int(i)] = value[j]
		}
	}
	golden := filepath.Join(dir, "golden.safetensors")
	err = safetensors.Write(golden, []safetensors.Tensor{
		safetensors.F32("x", []int{10, 8}, x), safetensors.F32("feature_acts", []int{10, 16}, acts), safetensors.F32("recon", []int{10, 8}, y),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	run(0, "check", to, "--golden", golden)
	acts[3] += 1
	if err := safetensors.Write(golden, []safetensors.Tensor{
		safetensors.F32("x", []int{10, 8}, x), safetensors.F32("feature_acts", []int{10, 16}, acts), safetensors.F32("recon", []int{10, 8}, y),
	}, nil); err != nil {
		t.Fatal(err)
	}
	run(1, "check", to, "--golden", golden)
	run(2, "check", to, "--store", dir)

	clt := &sae.CLT{DIn: 2, DOut: 2, DSAE: 2, Activation: sae.ActivationReLU, Metadata: map[string]any{"model_name": "tiny"}, Layers: []sae.CLTLayer{
		{WEnc: make([]float32, 4), BEnc: make([]float32, 2), WDec: make([]float32, 8), BDec: make([]float32, 2)},
		{WEnc: make([]float32, 4), BEnc: make([]float32, 2), WDec: make([]float32, 4), BDec: make([]float32, 2)},
	}}
	at = filepath.Join(dir, "clt")
	if err := clt.Save(at, nil); err != nil {
		t.Fatal(err)
	}
	if out := run(0, "info", at); !strings.Contains(out, "2 in, 2 out") || !strings.Contains(out, "model_name") {
		t.Errorf("info prints\n%s", out)
	}
}
