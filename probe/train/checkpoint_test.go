package train

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// resumeConfig uses everything that a checkpoint must bring back: moments, schedule, clipping, decay.
func resumeConfig() Config {
	cfg := DefaultConfig()
	cfg.Steps, cfg.Schedule, cfg.Warmup, cfg.WeightDecay, cfg.ClipNorm = 8, ScheduleCosine, 3, 0.01, 1
	return cfg
}

// TestResume: a run that is saved, dropped and resumed ends with the bytes of an unbroken one, masks included.
func TestResume(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "gpt2")
	mask := map[string][]float32{"blocks.1.b_in": make([]float32, m.Spec.DMLP)}
	mask["blocks.1.b_in"][3] = 0.5
	start := func(masked bool) *Trainer {
		tr := trainer(t, e, m, resumeConfig(), "all")
		if masked {
			if err := tr.Mask(mask); err != nil {
				t.Fatal(err)
			}
		}
		return tr
	}
	whole := start(true)
	steps(t, whole, 1, 8)
	dir := t.TempDir()
	broken := start(true)
	steps(t, broken, 1, 2)
	if err := broken.Save(dir); err != nil {
		t.Fatal(err)
	}
	steps(t, broken, 3, 2)
	if err := broken.Save(dir); err != nil {
		t.Fatal(err)
	}
	steps(t, broken, 5, 1) // lost
	resumed := start(false)
	if err := resumed.Resume(dir); err != nil {
		t.Fatal(err)
	}
	if resumed.StepsDone() != 4 {
		t.Fatalf("resumed at step %d", resumed.StepsDone())
	}
	steps(t, resumed, 5, 4)
	want, got := all(t, m.Spec, whole.Params()), all(t, m.Spec, resumed.Params())
	for name := range want {
		if !same(want, got, name) {
			t.Errorf("%s differs from the unbroken run's", name)
		}
	}
	if err := resumed.Apply(resumed.m); err == nil {
		t.Error("a step after the last was made")
	}
	other := [2]string{t.TempDir(), t.TempDir()}
	for i, tr := range []*Trainer{whole, resumed} {
		if err := tr.Save(other[i]); err != nil {
			t.Fatal(err)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 2 {
		t.Errorf("the checkpoint holds %v, %v", files, err)
	}
	for _, name := range []string{"state.json", "state-000000000008.safetensors"} {
		a, err := os.ReadFile(filepath.Join(other[0], name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(other[1], name)); err != nil || string(a) != string(b) {
			t.Errorf("%s of the resumed run differs, %v", name, err)
		}
	}
}

// TestResumeErrors: another model, subset or configuration, and damaged files, are errors that leave the trainer alone. A kill
// between the tensors' file and state.json leaves the old checkpoint.
func TestResumeErrors(t *testing.T) {
	e := engine(t)
	m := tiny(t, e, "bert")
	tr := trainer(t, e, m, resumeConfig(), "blocks.0.W_in")
	steps(t, tr, 1, 1)
	dir := t.TempDir()
	if err := tr.Save(dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "state-000000000001.safetensors")
	torn := filepath.Join(dir, "state-000000000002.safetensors") // what a kill leaves behind
	if err := os.WriteFile(torn, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := trainer(t, e, m, resumeConfig(), "blocks.0.W_in")
	if err := fresh.Resume(dir); err != nil || fresh.StepsDone() != 1 {
		t.Errorf("after a kill: step %d, %v", fresh.StepsDone(), err)
	}
	changed := resumeConfig()
	changed.LR *= 2
	for word, other := range map[string]*Trainer{
		"settings": trainer(t, e, m, changed, "blocks.0.W_in"), "it trains": trainer(t, e, m, resumeConfig(), "blocks.1.W_in"),
		"another architecture": trainer(t, e, tiny(t, e, "gpt2"), resumeConfig(), "blocks.0.W_in"),
	} {
		if err := other.Resume(dir); err == nil || !strings.Contains(err.Error(), word) || other.StepsDone() != 0 {
			t.Errorf("%s: step %d, error %v", word, other.StepsDone(), err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-3] ^= 1
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	damaged := trainer(t, e, m, resumeConfig(), "blocks.0.W_in")
	if err := damaged.Resume(dir); err == nil || !strings.Contains(err.Error(), "damaged") || damaged.StepsDone() != 0 {
		t.Errorf("a flipped bit: step %d, error %v", damaged.StepsDone(), err)
	}
}

// FuzzParseState: no state.json makes the reader panic or name a file outside the checkpoint.
func FuzzParseState(f *testing.F) {
	f.Add([]byte(`{"format": 1, "step": 3, "config": {"steps": 8, "lr": 0.1, "schedule": "linear", "warmup": 0, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8,
		"weight_decay": 0, "clip_norm": 0, "seed": 1}, "names": ["W_E"], "spec_sha256": "a", "parent_sha256": "b", "file": "state-3.safetensors", "file_sha256": "c"}`))
	f.Add([]byte(`{"format": 1, "file": "state-../../x"}`))
	f.Add([]byte(`{"format": 2}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := parseState(raw); err == nil && (s.Step < 0 || strings.ContainsAny(s.File, "/\\")) {
			t.Errorf("%+v", s)
		}
	})
}
