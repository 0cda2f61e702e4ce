package sae

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"loupe/internal/safetensors"
)

// pythonScript loads each exported SAE with the tool that the format belongs to and stores what it computes.
const pythonScript = `
import json, os, sys
os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
import torch
from safetensors.torch import load_file, save_file
x = load_file(sys.argv[1])["x"]
for job in json.load(open(sys.argv[2])):
    path, name = job["path"], job["format"]
    if name == "saelens":
        from sae_lens import SAE
        s = SAE.load_from_disk(path, device="cpu")
        f = s.encode(x)
        y = s(x)
    elif name == "sparsify":
        from sparsify import SparseCoder
        s = SparseCoder.load_from_disk(path)
        e = s.encode(x)
        f = torch.zeros(x.shape[0], s.num_latents).scatter_(-1, e.top_indices, e.top_acts)
        y = s.decode(e.top_acts, e.top_indices)
        if s.W_skip is not None:
            y = y + x @ s.W_skip.mT
    else:
        from dictionary_learning.utils import load_dictionary
        s, _ = load_dictionary(path, device="cpu")
        f = s.encode(x)
        y = s.decode(f)
    save_file({"feature_acts": f.detach().contiguous(), "recon": y.detach().contiguous()}, job["out"])
`

// TestPythonReads: sae-lens, sparsify and dictionary_learning load what loupe exports, and encode and decode it alike.
// It runs where python3, or LOUPE_PYTHON, has all three.
func TestPythonReads(t *testing.T) {
	python := "python3"
	if p := os.Getenv("LOUPE_PYTHON"); p != "" {
		python = p
	}
	if exec.Command(python, "-c", "import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ['torch', 'sae_lens', 'sparsify', 'dictionary_learning'])))").Run() != nil {
		t.Skip("python3 lacks torch, sae_lens, sparsify or dictionary_learning")
	}
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
		s      *SAE
	}
	var jobs []job
	add := func(format string, s *SAE) {
		name := fmt.Sprintf("%s_%s_%d", format, s.Arch, len(jobs))
		j := job{format, filepath.Join(dir, name), filepath.Join(dir, name+".safetensors"), s}
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
	}
	t.Logf("%d exported SAEs compared", len(jobs))
}
