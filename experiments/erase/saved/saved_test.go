package saved_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/saved"
	"loupe/probe/model"
	"loupe/vectors"
)

// bare is an encoder without weights: saving needs its name and width alone.
func bare(digest string) *encoder.Encoder {
	return &encoder.Encoder{Model: &model.Model{Name: "tiny", Digest: digest, Spec: &model.Spec{DModel: 3, Layers: 2}}, Pool: "mean"}
}

type other struct{ encoder.Linear }

// TestRoundTrip: maps and erasers come back with the same bits, for the same model alone, and damaged folders are errors.
func TestRoundTrip(t *testing.T) {
	e := bare("abc")
	x := mat.NewDense(2, 3, []float64{1, 2, 3, -1, 0.5, 4})
	er, err := vectors.RandomProjection(3, 1, 7)
	if err != nil {
		t.Fatal(err)
	}
	m := &erase.Map{Left: mat.NewDense(3, 1, []float64{0.1, 1. / 3, -2}), Right: mat.NewDense(3, 1, []float64{1, 0, 5})}
	for name, hook := range map[string]encoder.Hook{"map": encoder.Linear{Map: m}, "eraser": encoder.Affine{Eraser: er}} {
		dir := filepath.Join(t.TempDir(), name)
		if err := saved.Save(dir, e, &encoder.Variant{Name: "uce", Hook: hook, Layer: 2}, saved.Edit{Method: "uce", Erased: []string{"dog"}}); err != nil {
			t.Fatal(err)
		}
		v, edit, err := saved.Load(dir, e)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := hook.Apply(erase.Text{X: x, Length: 2})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := v.Hook.Apply(erase.Text{X: x, Length: 2}); err != nil || !mat.Equal(got, want) || edit.Kind != name || v.Layer != 2 {
			t.Errorf("%s: %v, want %v (%v); kind %s, layer %d", name, got, want, err, edit.Kind, v.Layer)
		}
		if _, _, err := saved.Load(dir, bare("def")); err == nil || !strings.Contains(err.Error(), "was fitted to tiny (abc)") {
			t.Errorf("another model: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, "edit.safetensors"), []byte("nonsense"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := saved.Load(dir, e); err == nil {
			t.Error("a damaged file was read")
		}
	}
	if _, _, err := saved.Load(t.TempDir(), e); err == nil || !strings.Contains(err.Error(), "edit.json") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := saved.Save(t.TempDir(), e, &encoder.Variant{Name: "x", Hook: other{}, Layer: 2}, saved.Edit{}); !errors.Is(err, saved.ErrKind) {
		t.Errorf("a hook without a file form: %v", err)
	}
}

// FuzzLoad: no folder makes Load panic.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"format":1,"kind":"map","width":3,"model_digest":"abc"}`), []byte("nonsense"))
	f.Add([]byte(`{"format":1,"kind":"eraser","width":-1,"model_digest":"abc"}`), []byte{})
	f.Fuzz(func(t *testing.T, card, tensors []byte) {
		dir := t.TempDir()
		for name, body := range map[string][]byte{"edit.json": card, "edit.safetensors": tensors} {
			if err := os.WriteFile(filepath.Join(dir, name), body, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if v, _, err := saved.Load(dir, bare("abc")); err == nil && v == nil {
			t.Error("no variant and no error")
		}
	})
}
