package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/safetensors"
	"loupe/probe/store"
	"loupe/vectors"
)

func savedCard(name string, t Target, d int) Card {
	return Card{
		Name: name, Task: t.Task, Classes: t.Classes, Model: store.Source{ID: "toy", Digest: "abc"}, Site: "blocks.1.hook_resid_post", Position: "mean", D: d,
		Method: name, Settings: json.RawMessage(`{"c":1}`), Calibrator: &Calibrator{Slope: 2, Offset: 0.5},
	}
}

// TestSavedProbes: every method's probe comes back with the same scores, bit for bit, and equal probes give equal bytes.
func TestSavedProbes(t *testing.T) {
	x, y, _ := plantedRows(60, 8)
	target := NewBinary("y", y)
	use := Use{Model: "abc", Site: "blocks.1.hook_resid_post", Position: "mean", D: 8}
	for _, name := range Methods() {
		fits, err := DefaultMethod(name).Fit(t.Context(), x, []Target{target}, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		s := &Saved{Card: savedCard(name, target, 8), Function: fits[0]}
		own := use
		if name == MethodCCS {
			s.D, own.D = 4, 4
		}
		dir, again := t.TempDir(), t.TempDir()
		path, err := s.Save(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := s.Save(again); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{name + ".json", name + ".safetensors"} {
			a, errA := os.ReadFile(filepath.Join(dir, file))
			b, errB := os.ReadFile(filepath.Join(again, file))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s: two saves differ, %v, %v", file, errA, errB)
			}
		}
		back, err := Load(path, own)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, errWant := fits[0].Scores(x)
		got, errGot := back.Function.Scores(x)
		if errWant != nil || errGot != nil || !slices.Equal(got, want) {
			t.Errorf("%s: scores differ after a round trip, %v, %v", name, errWant, errGot)
		}
		if back.Calibrator == nil || *back.Calibrator != *s.Calibrator || back.Method != name || back.Model.ID != "toy" {
			t.Errorf("%s: card %+v", name, back.Card)
		}
	}
	seq, class, _ := plantedTokens(30, 8, 2)
	several := Target{Name: "c", Task: Binary, Class: class, Classes: []string{"a", "b"}}
	a, err := FitAttention(t.Context(), seq, several, DefaultAttention(), 1)
	if err != nil {
		t.Fatal(err)
	}
	path, err := (&Saved{Card: savedCard("attention", several, 8), Attention: a}).Save(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	back, err := Load(path, use)
	if err != nil {
		t.Fatal(err)
	}
	want, _, errWant := a.Scores(seq)
	got, _, errGot := back.Attention.Scores(seq)
	if errWant != nil || errGot != nil || !slices.Equal(got, want) {
		t.Errorf("attention: scores differ after a round trip, %v, %v", errWant, errGot)
	}
}

func TestSavedProbeRefused(t *testing.T) {
	x, y, _ := plantedRows(60, 8)
	target := NewBinary("y", y)
	fits, err := DefaultMethod(MethodLogistic).Fit(t.Context(), x, []Target{target}, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	save := func(t *testing.T) (path, weights string) {
		path, err := (&Saved{Card: savedCard("p", target, 8), Function: fits[0]}).Save(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return path, filepath.Join(filepath.Dir(path), "p.safetensors")
	}
	for name, use := range map[string]Use{"model": {Model: "abd"}, "site": {Site: "blocks.2.hook_resid_post"}, "position": {Position: "last"}, "width 8": {D: 9}} {
		path, _ := save(t)
		if _, err := Load(path, use); !errors.Is(err, ErrOther) || !strings.Contains(err.Error(), name) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	edit := func(old, new string) func(path, weights string) error {
		return func(path, _ string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("the card has no %s", old)
			}
			return os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(new), 1), 0o644)
		}
	}
	for name, c := range map[string]struct {
		change func(path, weights string) error
		says   string
	}{
		"flipped bit": {func(_, weights string) error {
			b, err := os.ReadFile(weights)
			if err != nil {
				return err
			}
			b[len(b)-1] ^= 1
			return os.WriteFile(weights, b, 0o644)
		}, "SHA-256"},
		"no weights":    {func(_, weights string) error { return os.Remove(weights) }, "beside the card"},
		"wrong width":   {edit(`"d": 8`, `"d": 7`), "shape [1 8], want [1 7]"},
		"unknown key":   {edit(`"task"`, `"tusk"`), "tusk"},
		"format":        {edit(`"format": 1`, `"format": 2`), "reads 1"},
		"kind":          {edit(`"kind": "linear"`, `"kind": "mlp"`), "0 layers"},
		"unknown kind":  {edit(`"kind": "linear"`, `"kind": "pickle"`), "pickle"},
		"other folder":  {edit(`"file": "p.safetensors"`, `"file": "../p.safetensors"`), "belong in p.safetensors"},
		"more classes":  {edit(`"task": "binary"`, `"task": "multiclass"`), "want [2 8]"},
		"not an object": {func(path, _ string) error { return os.WriteFile(path, []byte("[1]"), 0o644) }, "card"},
		"large":         {func(path, _ string) error { return os.WriteFile(path, make([]byte, maxCard+1), 0o644) }, "at most"},
		"extra tensor": {func(path, weights string) error {
			if err := safetensors.Write(weights, []safetensors.Tensor{safetensors.F64("weight", []int{1, 8}, make([]float64, 8)), safetensors.F64("bias", []int{1}, []float64{0}), safetensors.F64("more", []int{1}, []float64{0})}, nil); err != nil {
				return err
			}
			return redigest(path, weights)
		}, "3 tensors"},
	} {
		path, weights := save(t)
		if err := c.change(path, weights); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, Use{}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want one that says %q", name, err, c.says)
		}
	}
	if _, err := (&Saved{Card: savedCard("../p", target, 8), Function: fits[0]}).Save(t.TempDir()); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a name that leaves the folder: %v", err)
	}
}

// redigest makes the card say the weights' new digest.
func redigest(path, weights string) error {
	digest, err := safetensors.Digest(weights)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var c Card
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	c.Weights.SHA256 = digest
	if b, err = json.Marshal(c); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

func FuzzCard(f *testing.F) {
	card := savedCard("p", NewBinary("y", []bool{true, false}), 8)
	card.Format, card.Kind, card.Weights.File = CardFormat, KindLinear, "p.safetensors"
	b, err := json.Marshal(card)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1}`))
	f.Add([]byte(`{"format":1,"kind":"linear","name":"/","d":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCard(b)
		if err == nil && (c.D < 1 || c.Name != filepath.Base(c.Name)) {
			t.Errorf("accepted %+v", c)
		}
	})
}
