package train

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/probe/model"
)

// perturbed adds noise to the named parameters.
func perturbed(t testing.TB, e *model.Engine, m *model.Model, names []string) *model.Params {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	changed := map[string][]float32{}
	for _, name := range names {
		v := values(t, m.Params, name)
		for i := range v {
			v[i] += float32(0.01 * r.NormFloat64())
		}
		changed[name] = v
	}
	p, err := m.Params.WithValues(e.Backend(), changed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.FreeUnshared(m.Params) })
	return p
}

func paramNames(s *model.Spec) []string {
	var names []string
	for _, p := range s.Params() {
		names = append(names, p.Name)
	}
	return names
}

// TestSaveFolder: every tiny model of every family, with every parameter or a single one changed, is loaded again with those
// very weights; nothing else in the folder's tensors changes a bit.
func TestSaveFolder(t *testing.T) {
	e := engine(t)
	root := filepath.Join(graphtest.Golden(t), "models", "tiny")
	folders, err := filepath.Glob(filepath.Join(root, "*", "config.json"))
	if err != nil || len(folders) < 20 {
		t.Fatalf("%d tiny models, %v", len(folders), err)
	}
	families := map[string]bool{}
	for _, file := range folders {
		name := filepath.Base(filepath.Dir(file))
		m := tiny(t, e, name)
		families[m.Spec.Family] = true
		for what, names := range map[string][]string{"all": paramNames(m.Spec), "one": {"blocks.0.W_K"}, "none": nil} {
			p, dir := perturbed(t, e, m, names), filepath.Join(t.TempDir(), "out")
			if err := SaveFolder(m, p, dir, map[string]string{"edit": what}); err != nil {
				t.Fatal(err)
			}
			again, err := model.Load(t.Context(), e.Backend(), dir, model.Options{})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, got := all(t, m.Spec, p), all(t, m.Spec, again.Params)
			for _, q := range m.Spec.Params() {
				if !same(want, got, q.Name) {
					t.Errorf("%s, %s: %s is not what was saved", name, what, q.Name)
				}
			}
			if again.Spec.Digest() != m.Spec.Digest() {
				t.Errorf("%s: another architecture", name)
			}
			if err := again.Params.Free(); err != nil {
				t.Error(err)
			}
			compareFiles(t, m, dir, what)
		}
	}
	if len(families) < 15 {
		t.Errorf("only %d families: %v", len(families), families)
	}
}

// compareFiles holds a saved folder's tensors and edit.json against the parent's.
func compareFiles(t *testing.T, m *model.Model, dir, what string) {
	t.Helper()
	before, err := safetensors.OpenDir(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	after, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	if !slices.Equal(before.Names(), after.Names()) {
		t.Fatalf("%s: tensors %v, were %v", m.Name, after.Names(), before.Names())
	}
	changed := 0
	for _, name := range before.Names() {
		a, errA := before.Bytes(name)
		b, errB := after.Bytes(name)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) {
			changed++
		}
	}
	if want := map[string]int{"one": 1, "none": 0}; what != "all" && changed != want[what] {
		t.Errorf("%s, %s: %d tensors of the file changed", m.Name, what, changed)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "edit.json"))
	if err != nil {
		t.Fatal(err)
	}
	var edit Edit
	if err := json.Unmarshal(raw, &edit); err != nil {
		t.Fatal(err)
	}
	if edit.Parent.Weights != m.Digest || (len(edit.Changed) == 0) != (what == "none") || edit.Note.(map[string]any)["edit"] != what {
		t.Errorf("%s, %s: edit.json %s", m.Name, what, raw)
	}
}

// TestSaveFolderTied: a copy of tied embeddings that the folder keeps changes with them.
func TestSaveFolderTied(t *testing.T) {
	e := engine(t)
	src := tiny(t, e, "llama-tied")
	files, err := safetensors.OpenDir(src.Dir)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var list []safetensors.Tensor
	for _, name := range files.Names() {
		info, _ := files.Info(name)
		raw, err := files.Bytes(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, safetensors.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: slices.Clone(raw)})
		if name == "model.embed_tokens.weight" {
			list = append(list, safetensors.Tensor{Name: "lm_head.weight", DType: info.DType, Shape: info.Shape, Data: slices.Clone(raw)})
		}
	}
	if err := errors.Join(files.Close(), safetensors.Write(filepath.Join(dir, "model.safetensors"), list, nil), copyFile(filepath.Join(src.Dir, "config.json"), filepath.Join(dir, "config.json"))); err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(t.Context(), e.Backend(), dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Params.Free()
	p := perturbed(t, e, m, []string{"W_E"})
	out := filepath.Join(t.TempDir(), "out")
	if err := SaveFolder(m, p, out, nil); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.OpenDir(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"lm_head.weight", "model.embed_tokens.weight"} {
		if got, err := f.Float32(name); err != nil || !slices.Equal(got, values(t, p, "W_E")) {
			t.Errorf("%s is not the edited table, %v", name, err)
		}
	}
}

// TestSaveFolderErrors: a folder in use, a GGUF source and a source that changed since are errors, and leave nothing behind.
func TestSaveFolderErrors(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "note.txt"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SaveFolder(m, m.Params, used, nil); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a folder in use: %v", err)
	}
	gguf, other := *m, *m
	gguf.Dir, other.Digest = filepath.Join(used, "m.gguf"), "other"
	parent := t.TempDir()
	if err := SaveFolder(&gguf, m.Params, filepath.Join(parent, "a"), nil); err == nil || !strings.Contains(err.Error(), "GGUF") {
		t.Errorf("a GGUF source: %v", err)
	}
	if err := SaveFolder(&other, m.Params, filepath.Join(parent, "a"), nil); err == nil || !strings.Contains(err.Error(), "no longer") {
		t.Errorf("a changed source: %v", err)
	}
	if err := SaveFolder(m, m.Params, filepath.Join(parent, "a"), func() {}); err == nil {
		t.Error("a note that is not JSON was written")
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// transformersScript prints the final states of each folder as transformers computes them.
const transformersScript = `
import json, sys, torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer
for job in json.load(open(sys.argv[1])):
    m = AutoModel.from_pretrained(job["dir"], dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.tensor([job["ids"]])
    if job["text"]:
        assert AutoTokenizer.from_pretrained(job["dir"])(job["text"])["input_ids"] == job["ids"]
    with torch.no_grad():
        h = m(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    save_file({"h": h.contiguous()}, job["out"])
`

// TestTransformersReads: transformers loads what SaveFolder writes and computes the same final states: for MiniLM, whose
// tokenizer and sentence-transformers files come along, and for tiny models of three families. It runs where a python has
// transformers; make peers installs one.
func TestTransformersReads(t *testing.T) {
	python := graphtest.Python(t, "torch", "transformers")
	e := engine(t)
	type job struct {
		Dir  string  `json:"dir"`
		Out  string  `json:"out"`
		IDs  []int32 `json:"ids"`
		Text string  `json:"text"`
	}
	dir := t.TempDir()
	models := map[string]*model.Model{}
	for _, name := range []string{"gpt2", "phi3", "pythia"} {
		models[name] = tiny(t, e, name)
	}
	minilm, err := model.Load(t.Context(), e.Backend(), graphtest.Model(t, "minilm"), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer minilm.Params.Free()
	models["minilm"] = minilm
	models["new-gpt"] = fresh(t, e, TinyGPT, Size{Layers: 2, DModel: 24, Heads: 3, Context: 16, Vocab: 40})
	models["new-bert"] = fresh(t, e, TinyBERT, Size{Layers: 2, DModel: 24, Heads: 3, Context: 16, Vocab: 40})
	var jobs []job
	want := map[string][]float32{}
	for name, m := range models {
		p := perturbed(t, e, m, []string{"blocks.1.W_Q", "blocks.0.W_K", "blocks.1.W_in", "W_E"})
		out := filepath.Join(dir, name)
		save := SaveFolder
		if m.Dir == "" {
			save = func(m *model.Model, p *model.Params, dir string, note any) error {
				return SaveNew(m, p, nil, dir, note)
			}
		}
		if err := save(m, p, out, name); err != nil {
			t.Fatal(err)
		}
		j := job{Dir: out, Out: out + ".safetensors", IDs: []int32{5, 9, 12, 7, 30, 4}}
		if name == "minilm" {
			j.Text, j.IDs = "a photo of a dog", []int32{101, 1037, 6302, 1997, 1037, 3899, 102}
			for _, file := range []string{"modules.json", "1_Pooling/config.json", "vocab.txt", "tokenizer.json"} {
				if _, err := os.Stat(filepath.Join(out, file)); err != nil {
					t.Error(err)
				}
			}
			if again, err := model.Inspect(out, model.Options{}); err != nil || again.Spec.Sentence != m.Spec.Sentence {
				t.Errorf("sentence pooling %+v, %v", again, err)
			}
		}
		jobs = append(jobs, j)
		plan := lastHidden()
		plan.Batch, plan.Seq = 1, len(j.IDs)
		if m.Spec.Decoder {
			plan.Captures[0].Site = model.Site{Kind: model.LNFinalOut}
		}
		program, err := e.Compile(m.Spec, plan)
		if err != nil {
			t.Fatal(err)
		}
		states, err := program.Run(t.Context(), p, model.Inputs{IDs: j.IDs})
		if err != nil {
			t.Fatal(err)
		}
		if want[j.Out], err = tensors.CopyFlatData[float32](states.Capture(plan.Captures[0])); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "jobs.json")
	if err := writeJSON(file, jobs); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), python, "-c", transformersScript, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, j := range jobs {
		f, err := safetensors.Open(j.Out)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Float32("h")
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want[j.Out]) {
			t.Fatalf("%s: %d values, want %d", j.Dir, len(got), len(want[j.Out]))
		}
		worst := 0.0
		for i, v := range got {
			worst = max(worst, float64(max(v-want[j.Out][i], want[j.Out][i]-v)))
		}
		if !(worst < 2e-4) { // two float32 implementations of up to six layers
			t.Errorf("%s: states differ by %g", filepath.Base(j.Dir), worst)
		}
		t.Logf("%s: largest difference %.2g", filepath.Base(j.Dir), worst)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
