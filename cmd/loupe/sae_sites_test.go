package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/probe/store"
	"loupe/sae"
	"loupe/sae/training"
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

// layeredStore is a store of 100 documents of 20 rows with inputs and outputs of two layers, of width 8: sums of two of six
// directions for each site, of the same two at all of them.
func layeredStore(t *testing.T) string {
	t.Helper()
	const docs, length, d, features = 100, 20, 8, 6
	rng := rand.New(rand.NewPCG(5, 6))
	var sites []store.Site
	for _, name := range []string{"hook_resid_mid", "hook_mlp_out"} {
		for l := range 2 {
			sites = append(sites, store.Site{Name: fmt.Sprintf("blocks.%d.%s", l, name), Per: store.Token, Shape: []int{d}, DType: store.Float32})
		}
	}
	dictionary := make([][]float32, features)
	for i := range dictionary {
		dictionary[i] = make([]float32, len(sites)*d)
		for j := range dictionary[i] {
			dictionary[i][j] = float32(rng.NormFloat64())
		}
	}
	dir := filepath.Join(t.TempDir(), "store")
	w, err := store.Create(dir, store.Spec{Model: store.Source{ID: "tiny", Digest: "m"}, Tokenizer: "t", Corpus: store.Source{ID: "text", Digest: "c"}, Sites: sites})
	if err != nil {
		t.Fatal(err)
	}
	for doc := range int64(docs) {
		rows := store.Rows{Sites: make([][]float32, len(sites))}
		for p := range int32(length) {
			rows.Doc, rows.Pos, rows.Token, rows.Special = append(rows.Doc, doc), append(rows.Pos, p), append(rows.Token, p), append(rows.Special, false)
			row := make([]float32, len(sites)*d)
			for _, i := range rng.Perm(features)[:2] {
				strength := float32(0.5 + rng.Float64())
				for j, v := range dictionary[i] {
					row[j] += strength * v
				}
			}
			for i := range sites {
				rows.Sites[i] = append(rows.Sites[i], row[i*d:(i+1)*d]...)
			}
		}
		if err := w.Append(t.Context(), store.Batch{Docs: []store.Doc{{ID: doc}}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSAETrainSites trains a crosscoder and a cross-layer transcoder in one run, which measures them, and measures the saved ones
// with `loupe sae eval`.
func TestSAETrainSites(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("the dense programs are for XLA")
	}
	dir, runs := layeredStore(t), t.TempDir()
	path := filepath.Join(t.TempDir(), "sae.yaml")
	text := fmt.Sprintf("kind: sae\nname: layers\nstore: %s\neval_tokens: 1000\nd_sae: 12\nk: 2\ntokens: 64000\nbatch: 128\nlr: 5e-3\n"+
		"sites: [blocks.0.hook_mlp_out, blocks.1.hook_mlp_out]\n"+
		"pairs: [{input: blocks.0.hook_resid_mid, target: blocks.0.hook_mlp_out}, {input: blocks.1.hook_resid_mid, target: blocks.1.hook_mlp_out}]\n"+
		"archs: [topk_crosscoder, topk_clt]\n", dir)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, errs := loupeOn(t, "--json", "sae", "train", path, "--runs", runs)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	var trained training.Report
	if err := json.Unmarshal([]byte(out), &trained); err != nil || len(trained.SAEs) != 2 {
		t.Fatalf("%v in %s", err, out)
	}
	for _, got := range trained.SAEs {
		if got.Result.Rows != 1000 || got.Result.FVU > 0.4 || got.Result.L0 > 2 || len(got.Result.Sites) != 2 {
			t.Errorf("%s: %d rows, FVU %v, L0 %v, %d sites; want 1000, below 0.4, up to 2, and 2", got.Name, got.Result.Rows, got.Result.FVU, got.Result.L0, len(got.Result.Sites))
		}
		code, out, errs := loupeOn(t, "sae", "eval", got.Path, dir, "--tokens", "1000", "--identity-rows", "0", "--suite", "core", "--random-seeds", "0")
		if code != 0 || !strings.Contains(strings.ToLower(out), "fvu") {
			t.Errorf("eval of %s: exit %d: %s%s", got.Name, code, out, errs)
		}
	}
}
