package sae

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// pythonScript loads each exported SAE with the tool that the format belongs to and stores what it computes.
const pythonScript = `
import json, os, shutil, sys
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
import torch
from safetensors.torch import load_file, save_file

def llama_scope(path):
    # As SAE.from_pretrained does, with files of this machine and the scale of hyperparams.json, which the registry repeats.
    import sae_lens.loading.pretrained_sae_loaders as loaders
    from sae_lens import SAE
    loaders.hf_hub_download = lambda repo_id, filename, subfolder="", **_: os.path.join(os.path.dirname(path), subfolder, filename)
    cfg, state, _ = loaders.llama_scope_sae_huggingface_loader("repo", os.path.basename(path), device="cpu", cfg_overrides={"dtype": "float32"})
    cfg = loaders.handle_config_defaulting(cfg) if hasattr(loaders, "handle_config_defaulting") else cfg
    made = SAE.get_sae_config_class_for_architecture(cfg["architecture"]).from_dict(cfg)
    s = SAE.get_sae_class_for_architecture(made.architecture())(made)
    s.process_state_dict_for_loading(state)
    s.load_state_dict(state)
    hyper = json.load(open(os.path.join(path, "hyperparams.json")))
    s.fold_activation_norm_scaling_factor(cfg["d_in"] ** 0.5 / hyper["dataset_average_activation_norm"]["in"])
    return s

x = load_file(sys.argv[1])["x"]
for job in json.load(open(sys.argv[2])):
    path, name, again = job["path"], job["format"], job["again"]
    if name in ("saelens", "llama_scope"):
        from sae_lens import SAE
        s = SAE.load_from_disk(path, device="cpu") if name == "saelens" else llama_scope(path)
        f = s.encode(x)
        y = s(x)
        s.save_model(again)
    elif name == "sparsify":
        from sparsify import SparseCoder
        s = SparseCoder.load_from_disk(path)
        e = s.encode(x)
        f = torch.zeros(x.shape[0], s.num_latents).scatter_(-1, e.top_indices, e.top_acts)
        y = s.decode(e.top_acts, e.top_indices)
        if s.W_skip is not None:
            y = y + x @ s.W_skip.mT
        s.save_to_disk(again)
    else:
        from dictionary_learning.utils import load_dictionary
        s, _ = load_dictionary(path, device="cpu")
        f = s.encode(x)
        y = s.decode(f)
        os.makedirs(again)
        torch.save(s.state_dict(), os.path.join(again, "ae.pt"))
        shutil.copy(os.path.join(path, "config.json"), again)
    save_file({"feature_acts": f.detach().contiguous(), "recon": y.detach().contiguous()}, job["out"])
`

// TestPythonReads: sae-lens, sparsify and dictionary_learning load what loupe exports, and encode and decode it alike; what they
// then save loupe reads and encodes alike; and sae-lens's loader of Llama Scope reads as loupe does. It runs where a python has
// them; `make peers` installs one.
func TestPythonReads(t *testing.T) {
	python := graphtest.Python(t, "torch", "sae_lens", "sparsify", "dictionary_learning")
	const d, f, rows = 8, 32, 64
	dir := t.TempDir()
	x := normals(11, rows*d)
	if err := safetensors.Write(filepath.Join(dir, "x.safetensors"), []safetensors.Tensor{safetensors.F32("x", []int{rows, d}, x)}, nil); err != nil {
		t.Fatal(err)
	}
	type job struct {
		Format string `json:"format"`
		Path   string `json:"path"`
		Out    string `json:"out"`
		Again  string `json:"again"` // where the tool saves what it loaded
		s      *SAE
	}
	var jobs []job
	add := func(format string, s *SAE) {
		name := fmt.Sprintf("%s_%s_%d", format, s.Arch, len(jobs))
		at := filepath.Join(dir, name)
		j := job{format, at, at + ".safetensors", at + "_again", s}
		if _, err := s.Write(j.Path, format); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j)
	}
	for format, archs := range map[string][]string{
		FormatSAELens:            {ArchStandard, ArchTopK, ArchAbsTopK, ArchJumpReLU, ArchGated, ArchTranscoder, ArchSkipTranscoder, ArchJumpReLUTranscoder, ArchJumpReLUSkip},
		FormatSparsify:           {ArchTopK, ArchGroupMax, ArchTopKTranscoder, ArchTopKSkipTranscoder},
		FormatDictionaryLearning: {ArchStandard, ArchGated, ArchTopK, ArchJumpReLU},
	} {
		for _, arch := range archs {
			for _, subtract := range []bool{true, false} {
				s := exchangeSAE(t, arch, d, f)
				if s.Transcoder() && subtract {
					continue
				}
				s.ApplyBDecToInput = subtract
				if arch == ArchStandard && format == FormatDictionaryLearning && subtract {
					if err := s.FoldDecoderNorm(); err != nil { // the tool does so when it loads
						t.Fatal(err)
					}
				}
				add(format, s)
			}
		}
		rescaled := exchangeSAE(t, ArchTopK, d, f)
		rescaled.RescaleByDecoder = true
		add(format, rescaled)
	}
	for _, normalize := range []string{normalizeLayerNorm, normalizeConstantNorm} {
		s := exchangeSAE(t, ArchTopK, d, f)
		s.Normalize = normalize
		add(FormatSAELens, s)
	}
	scope := filepath.Join(dir, "Llama3_1-8B-Base-L3R-8x")
	plain := exchangeSAE(t, ArchStandard, d, f)
	llamaScopeFolder(t, scope, plain, 0.3, 2)
	read, _, err := Read(scope)
	if err != nil {
		t.Fatal(err)
	}
	jobs = append(jobs, job{FormatLlamaScope, scope, scope + ".safetensors", scope + "_again", read})
	raw, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "jobs.json")
	if err := os.WriteFile(list, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", pythonScript, filepath.Join(dir, "x.safetensors"), list).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, j := range jobs {
		got, err := safetensors.Open(j.Out)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		acts, err := got.Float32("feature_acts")
		if err != nil {
			t.Fatal(err)
		}
		recon, err := got.Float32("recon")
		if err != nil {
			t.Fatal(err)
		}
		lat, want, err := j.s.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(j.Path)
		nearly(t, name+" feature_acts", acts, denseLatents(lat, f), 2e-5, 2e-5)
		nearly(t, name+" recon", recon, want, 2e-5, 2e-5)
		back, _, err := Read(j.Again)
		if err != nil {
			t.Errorf("%s, saved by its tool: %v", name, err)
			continue
		}
		lat, y, err := back.Reconstruct(x)
		if err != nil {
			t.Fatal(err)
		}
		nearly(t, name+" feature_acts of what the tool saved", denseLatents(lat, f), acts, 2e-5, 2e-5)
		nearly(t, name+" recon of what the tool saved", y, recon, 2e-5, 2e-5)
	}
	t.Logf("%d SAEs compared, both ways", len(jobs))
}
