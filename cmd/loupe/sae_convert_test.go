package main

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/hub"
	"loupe/internal/safetensors"
	"loupe/sae"
)

// randomTopK is a TopK SAE with random weights.
func randomTopK(d, f int) *sae.SAE {
	rng := rand.New(rand.NewPCG(4, 4))
	values := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(rng.NormFloat64() / 4)
		}
		return out
	}
	return &sae.SAE{
		Arch: sae.ArchTopK, DIn: d, DSAE: f, K: 4, ApplyBDecToInput: true, Normalize: sae.NormalizeNone,
		WEnc: values(d * f), WDec: values(f * d), BEnc: values(f), BDec: values(d),
		Metadata: map[string]any{"hook_name": testSite, "model_name": "tiny"},
	}
}

// TestSAEConvert: an SAE goes through every format that is written and comes back with the same weights.
func TestSAEConvert(t *testing.T) {
	dir := t.TempDir()
	s := randomTopK(16, 64)
	at := filepath.Join(dir, "first")
	if err := s.Save(at, nil); err != nil {
		t.Fatal(err)
	}
	for i, format := range []string{"sparsify", "dictionary_learning", "saelens"} {
		to := filepath.Join(dir, format)
		code, out, errOut := loupeOn(t, "sae", "convert", at, to, "--to", format)
		if code != 0 || !strings.Contains(out, "to "+format) {
			t.Fatalf("convert to %s: %d\n%s%s", format, code, out, errOut)
		}
		var info saeInfo
		code, out, errOut = loupeOn(t, "sae", "info", to, "--json")
		if err := json.Unmarshal([]byte(out), &info); code != 0 || err != nil {
			t.Fatalf("info: %d %v\n%s%s", code, err, out, errOut)
		}
		if info.Format != format || info.Arch != "topk" || info.DIn != 16 || info.DSAE != 64 || info.K != 4 || info.Params != 2*16*64+64+16 {
			t.Errorf("step %d: info is %+v", i, info)
		}
		at = to
	}
	got, _, err := sae.Read(at)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range s.WEnc {
		if got.WEnc[i] != v {
			t.Fatalf("W_enc[%d] is %v after the journey, want %v", i, got.WEnc[i], v)
		}
	}
	if code, out, _ := loupeOn(t, "sae", "info", filepath.Join(dir, "first")); code != 0 || !strings.Contains(out, "decoder norms") || !strings.Contains(out, testSite) {
		t.Errorf("info: %d\n%s", code, out)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"format":    {[]string{"convert", at, filepath.Join(dir, "x"), "--to", "gemma_scope"}, 2, "--to"},
		"there":     {[]string{"convert", at, at}, 2, "exists"},
		"refused":   {[]string{"convert", at, filepath.Join(dir, "x.pt"), "--to", "openai"}, 1, "layer_norm"},
		"no SAE":    {[]string{"info", dir}, 1, "the files of no format"},
		"nothing":   {[]string{"check", at}, 2, "--golden or --store"},
		"no golden": {[]string{"check", at, "--golden", filepath.Join(dir, "x")}, 1, "no such file"},
	} {
		if code, out, errOut := loupeOn(t, append([]string{"sae"}, c.args...)...); code != c.code || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: code %d, want %d and %q\n%s%s", name, code, c.code, c.want, out, errOut)
		}
	}
}

// TestSAECheckGolden: the certificate passes for the SAE's own outputs and fails when one value is off.
func TestSAECheckGolden(t *testing.T) {
	dir := t.TempDir()
	s := randomTopK(16, 64)
	at, golden := filepath.Join(dir, "sae"), filepath.Join(dir, "golden.safetensors")
	if _, err := s.Write(at, sae.FormatSparsify); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(9, 9))
	const rows = 30
	x := make([]float32, rows*16)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	lat, recon, err := s.Reconstruct(x)
	if err != nil {
		t.Fatal(err)
	}
	acts := make([]float32, rows*64)
	for r := range rows {
		index, value := lat.Row(r)
		for j, i := range index {
			acts[r*64+int(i)] = value[j]
		}
	}
	write := func() {
		err := safetensors.Write(golden, []safetensors.Tensor{
			safetensors.F32("x", []int{rows, 16}, x), safetensors.F32("feature_acts", []int{rows, 64}, acts), safetensors.F32("recon", []int{rows, 16}, recon),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() (int, parity) {
		code, out, errOut := loupeOn(t, "sae", "check", at, "--golden", golden, "--json")
		var p parity
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("%v\n%s%s", err, out, errOut)
		}
		return code, p
	}
	write()
	if code, p := check(); code != 0 || !p.OK || len(p.Comparisons) != 2 || p.Comparisons[0].Compared != rows*64 || p.Format != sae.FormatSparsify {
		t.Errorf("code %d, certificate %+v", code, p)
	}
	recon[17] += 0.01
	write()
	if code, p := check(); code != 1 || p.OK || !p.Comparisons[0].OK || p.Comparisons[1].OK || p.Comparisons[1].Beyond != 1 {
		t.Errorf("a wrong value: code %d, certificate %+v", code, p)
	}
	x = x[:16*(rows-1)]
	err = safetensors.Write(golden, []safetensors.Tensor{
		safetensors.F32("x", []int{rows - 1, 16}, x), safetensors.F32("feature_acts", []int{rows, 64}, acts), safetensors.F32("recon", []int{rows, 16}, recon),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := loupeOn(t, "sae", "check", at, "--golden", golden); code != 1 || !strings.Contains(errOut, "feature_acts has") {
		t.Errorf("rows that do not fit: code %d, %s", code, errOut)
	}
}

// TestSAECheckStore: random weights do not belong to a store, and that is said.
func TestSAECheckStore(t *testing.T) {
	dir := plantedStore(t)
	at := filepath.Join(t.TempDir(), "sae")
	if err := randomTopK(16, 64).Save(at, nil); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := loupeOn(t, "sae", "check", at, "--store", dir, "--rows", "500")
	if code != 1 || !strings.Contains(out, "does not fit") || !strings.Contains(out, "rows of special tokens are") || !strings.Contains(out, "special tokens included") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := loupeOn(t, "sae", "check", at, "--store", dir, "--site", "blocks.9.hook_resid_post"); code == 0 || !strings.Contains(errOut, "blocks.9.hook_resid_post") {
		t.Errorf("a site that is not there: code %d, %s", code, errOut)
	}
}

// TestSAEOfHub: a folder of a repository in the hub's cache, without a network.
func TestSAEOfHub(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_HUB_OFFLINE", "1")
	const commit = "0123456789abcdef0123456789abcdef01234567"
	repo := filepath.Join(cache, "models--org--saes")
	if err := os.MkdirAll(filepath.Join(repo, "refs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo, "refs", "main"), []byte(commit), 0o644); err != nil {
		t.Fatal(err)
	}
	s := randomTopK(16, 64)
	if _, err := s.Write(filepath.Join(repo, "snapshots", commit, "layers.3"), sae.FormatSparsify); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(filepath.Join(repo, "snapshots", commit, "run", "trainer_0"), sae.FormatDictionaryLearning); err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"hf:org/saes/layers.3": "sparsify", "hf:org/saes@main#layers.3": "sparsify", "hf:org/saes@" + commit + "/run/trainer_0": "dictionary_learning",
	} {
		if code, out, errOut := loupeOn(t, "sae", "info", ref); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: code %d\n%s%s", ref, code, out, errOut)
		}
	}
	for _, ref := range []string{"hf:org/saes/layers.4", "hf:org/other/x", "hf:org", "hf:org/saes/../../x"} {
		if code, _, errOut := loupeOn(t, "sae", "info", ref); code == 0 || !strings.Contains(errOut, ref) && !strings.Contains(errOut, "org/name") {
			t.Errorf("%s: code %d, %s", ref, code, errOut)
		}
	}
}

// TestSAEOfRegistry: names of SAELens's registry, without a network: the SAE of the hub's cache, with the registry's scale folded
// and its metadata; unknown names and loaders are said.
func TestSAEOfRegistry(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("HF_HUB_CACHE", cache)
	t.Setenv("HF_HUB_OFFLINE", "1")
	const commit = "0123456789abcdef0123456789abcdef01234567"
	repo := filepath.Join(cache, "models--org--saes")
	if err := os.MkdirAll(filepath.Join(repo, "refs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repo, "refs", "main"), []byte(commit), 0o644); err != nil {
		t.Fatal(err)
	}
	s := randomTopK(16, 64)
	s.Normalize = sae.NormalizeExpected
	delete(s.Metadata, "model_name")
	if err := s.Save(filepath.Join(repo, "snapshots", commit, "layer_1"), nil); err != nil {
		t.Fatal(err)
	}
	registry := filepath.Join(t.TempDir(), "registry.yaml")
	t.Setenv(hub.RegistryVar, registry)
	text := "rel:\n  conversion_func: null\n  model: tiny-1\n  repo_id: org/saes\n  config_overrides: {dataset_path: text}\n  saes:\n" +
		"  - {id: blocks.1.hook_resid_post, path: layer_1, norm_scaling_factor: 4}\nodd:\n  conversion_func: goodfire\n  repo_id: org/saes\n  saes: [{id: a, path: a.pt}]\n"
	if err := os.WriteFile(registry, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "converted")
	if code, out, errOut := loupeOn(t, "sae", "convert", "saelens:rel/blocks.1.hook_resid_post", to); code != 0 {
		t.Fatalf("code %d\n%s%s", code, out, errOut)
	}
	got, _, err := sae.Read(to)
	if err != nil {
		t.Fatal(err)
	}
	if got.Metadata["model_name"] != "tiny-1" || got.Metadata["dataset_path"] != "text" || got.Normalize != sae.NormalizeNone || got.WEnc[5] != 4*s.WEnc[5] || got.WDec[5] != s.WDec[5]/4 {
		t.Errorf("%v, %s, W_enc %v of %v", got.Metadata, got.Normalize, got.WEnc[5], s.WEnc[5])
	}
	for ref, want := range map[string]string{
		"saelens:rel/blocks.1.hook_resid_pre": "blocks.1.hook_resid_post", "saelens:rell/x": `"rel"`, "saelens:odd/a": "save_model", "saelens:rel": "RELEASE/ID",
	} {
		if code, _, errOut := loupeOn(t, "sae", "info", ref); code == 0 || !strings.Contains(errOut, want) {
			t.Errorf("%s: code %d, %s", ref, code, errOut)
		}
	}
}

// TestSAEFromTheNetwork fetches a small published SAE by its name in SAELens's registry. It runs where LOUPE_NETWORK is 1 only.
func TestSAEFromTheNetwork(t *testing.T) {
	if os.Getenv("LOUPE_NETWORK") != "1" {
		t.Skip("LOUPE_NETWORK is not 1")
	}
	t.Setenv("LOUPE_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", t.TempDir())
	code, out, errOut := loupeOn(t, "sae", "info", "saelens:sae_bench_pythia70m_sweep_topk_ctx128_0730/blocks.3.hook_resid_post__trainer_0")
	if code != 0 || !strings.Contains(out, "dictionary_learning") || !strings.Contains(out, "blocks.3.hook_resid_post") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
}
