package sae

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// trained returns an SAE of every part of the export: input scale, free decoder folded by its norms, density.
func trained(t *testing.T) (*SAE, []float32, []float64) {
	t.Helper()
	b := graphtest.Backend(t)
	cfg := small(t, func(c *Config) { c.Decoder, c.RescaleByDecoder = DecoderFree, true })
	x := plant(5, cfg.DIn, 24, 3, 400, 0.05).x
	scaleBy(x, 7)
	rows, err := NewMemoryRows(x, cfg.DIn, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := Start(b, cfg, rows)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	tr.SetMetadata(map[string]any{"model_name": "tiny", "hook_name": "blocks.4.hook_resid_post"})
	var last StepStats
	if err := tr.Train(t.Context(), rows, TrainOptions{OnStep: func(s StepStats) error { last = s; return nil }}); err != nil {
		t.Fatal(err)
	}
	s, err := tr.SAE()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := NewMemoryRows(x, cfg.DIn, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Evaluate(t.Context(), b, s, whole, 64, 0)
	if err != nil {
		t.Fatal(err)
	}
	// The folded SAE on raw data must do what the trainer reported on scaled data.
	if res.FVU > 1.3*last.FVU || res.FVU < last.FVU/1.3 {
		t.Errorf("FVU of the folded SAE is %v, the last batch's was %v", res.FVU, last.FVU)
	}
	return s, x, res.Density
}

func TestSaveLoad(t *testing.T) {
	s, _, density := trained(t)
	dir := t.TempDir()
	if err := s.Save(dir, density); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]float32{
		"W_enc": {got.WEnc, s.WEnc}, "W_dec": {got.WDec, s.WDec}, "b_enc": {got.BEnc, s.BEnc}, "b_dec": {got.BDec, s.BDec},
	} {
		nearly(t, name, pair[0], pair[1], 0, 0)
	}
	if got.K != s.K || got.RescaleByDecoder != s.RescaleByDecoder || got.Metadata["hook_name"] != "blocks.4.hook_resid_post" {
		t.Errorf("loaded %+v", got.Metadata)
	}
	f, err := safetensors.Open(filepath.Join(dir, sparsityFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if v, err := readTensor(f, "sparsity", []int{s.DSAE}); err != nil || v[0] > 0 {
		t.Errorf("sparsity: %v, %v", v, err)
	}
}

// TestSAELensReads lets SAELens load what loupe saved and compares activations and reconstructions. It needs a python
// with sae_lens: LOUPE_PYTHON, else python3.
func TestSAELensReads(t *testing.T) {
	python := os.Getenv("LOUPE_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import sae_lens").Run(); err != nil {
		t.Skipf("%s has no sae_lens: %v", python, err)
	}
	s, x, density := trained(t)
	dir := t.TempDir()
	if err := s.Save(dir, density); err != nil {
		t.Fatal(err)
	}
	n := len(x) / s.DIn
	if err := safetensors.Write(filepath.Join(dir, "x.safetensors"), []safetensors.Tensor{safetensors.F32("x", []int{n, s.DIn}, x)}, nil); err != nil {
		t.Fatal(err)
	}
	const script = `
import sys
from safetensors.torch import load_file, save_file
from sae_lens import SAE
sae = SAE.load_from_disk(sys.argv[1])
assert type(sae).__name__ == "TopKSAE", type(sae)
assert sae.cfg.metadata.hook_name == "blocks.4.hook_resid_post"
x = load_file(sys.argv[1] + "/x.safetensors")["x"]
f = sae.encode(x)
save_file({"f": f.detach().contiguous(), "y": sae.decode(f).detach().contiguous()}, sys.argv[1] + "/out.safetensors")
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := safetensors.Open(filepath.Join(dir, "out.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	wantF, err := readTensor(f, "f", []int{n, s.DSAE})
	if err != nil {
		t.Fatal(err)
	}
	wantY, err := readTensor(f, "y", []int{n, s.DIn})
	if err != nil {
		t.Fatal(err)
	}
	run, err := NewRunner(graphtest.Backend(t), s, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	lat, y, err := run.Reconstruct(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	nearly(t, "activations", denseLatents(lat, s.DSAE), wantF, 1e-4, 1e-4)
	nearly(t, "reconstructions", y, wantY, 1e-4, 1e-4)
}

func TestLoadErrors(t *testing.T) {
	good := `{"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 2}`
	weights := func(wDec []int) []safetensors.Tensor {
		n := wDec[0] * wDec[1]
		return []safetensors.Tensor{
			safetensors.F32("W_enc", []int{4, 8}, make([]float32, 32)), safetensors.F32("W_dec", wDec, make([]float32, n)),
			safetensors.F32("b_enc", []int{8}, make([]float32, 8)), safetensors.F32("b_dec", []int{4}, make([]float32, 4)),
		}
	}
	for _, c := range []struct {
		name, config string
		weights      []safetensors.Tensor
		want         string
	}{
		{"architecture", `{"architecture": "magic", "d_in": 4, "d_sae": 8, "k": 2}`, weights([]int{8, 4}), `"magic"`},
		{"missing keys", `{"architecture": "topk", "k": 2}`, weights([]int{8, 4}), "d_in 0"},
		{"k", `{"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 9}`, weights([]int{8, 4}), "k is 9"},
		{"normalisation", `{"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 2, "normalize_activations": "whiten"}`, weights([]int{8, 4}), `"whiten"`},
		{"reshape", `{"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 2, "reshape_activations": "x"}`, weights([]int{8, 4}), `"x"`},
		{"JSON", `{`, weights([]int{8, 4}), configFile},
		{"transposed decoder", good, weights([]int{4, 8}), "W_dec has shape [4 8], want [8 4]"},
		{"missing tensor", good, weights([]int{8, 4})[1:], "W_enc is missing"},
		{"no weights", good, nil, weightsFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, configFile), []byte(c.config), 0o644); err != nil {
				t.Fatal(err)
			}
			if c.weights != nil {
				if err := safetensors.Write(filepath.Join(dir, weightsFile), c.weights, nil); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"architecture": "topk", "d_in": 4, "d_sae": 8, "k": 2, "normalize_activations": true}`))
	f.Add([]byte(`{"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}, "d_in": 1, "d_sae": 9, "hook_point": "a"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseConfig(raw)
		if err != nil {
			return
		}
		if s.K < 1 || s.K > s.DSAE || s.DIn < 1 || s.DIn*s.DSAE < s.DSAE {
			t.Fatalf("accepted %+v", s)
		}
		if _, err := json.Marshal(s.Metadata); err != nil {
			t.Fatal(err)
		}
	})
}
