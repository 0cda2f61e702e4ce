package vectors

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/graphtest"
)

func exampleVector() *ControlVector {
	return &ControlVector{ModelHint: "gpt2", Directions: map[int][]float32{1: {1, 2, 3}, 10: {-1, 0.5, 0}, 2: {0, 0, 4}}}
}

func TestControlVectorArithmetic(t *testing.T) {
	a := exampleVector()
	b := &ControlVector{ModelHint: "gpt2", Directions: map[int][]float32{2: {1, 1, 1}, 3: {2, 2, 2}}}
	sum := ok(a.Add(-2, b))(t)
	want := map[int][]float32{1: {1, 2, 3}, 10: {-1, 0.5, 0}, 2: {-2, -2, 2}, 3: {-4, -4, -4}}
	if !reflect.DeepEqual(sum.Directions, want) {
		t.Errorf("a - 2b is %v", sum.Directions)
	}
	if !reflect.DeepEqual(a, exampleVector()) {
		t.Error("Add changed its receiver")
	}
	if got := a.Scale(-0.5).Directions[10]; !reflect.DeepEqual(got, []float32{0.5, -0.25, 0}) {
		t.Errorf("scaled layer 10 is %v", got)
	}
	if got := a.Layers(); !reflect.DeepEqual(got, []int{1, 2, 10}) {
		t.Errorf("layers %v", got)
	}
	if _, err := a.Add(1, &ControlVector{ModelHint: "llama", Directions: b.Directions}); err == nil {
		t.Error("vectors of two models were added")
	}
	if _, err := a.Add(1, &ControlVector{ModelHint: "gpt2", Directions: map[int][]float32{7: {1}}}); err == nil {
		t.Error("vectors of two widths were added")
	}
	if _, err := a.Direction(4); err == nil {
		t.Error("a layer that is not there was read")
	}
}

// TestControlVectorFiles: what is written is read again, from both formats, whatever the width's padding.
func TestControlVectorFiles(t *testing.T) {
	for _, c := range []*ControlVector{exampleVector(), {ModelHint: "", Directions: map[int][]float32{0: {1}}}, {ModelHint: "ä b", Directions: map[int][]float32{5: make([]float32, 33), 6: make([]float32, 33)}}} {
		path := filepath.Join(t.TempDir(), "v")
		if err := c.WriteGGUF(path); err != nil {
			t.Fatal(err)
		}
		if got := ok(ReadControlVectorGGUF(path))(t); !reflect.DeepEqual(got, c) {
			t.Errorf("GGUF: read %v, wrote %v", got, c)
		}
		explained := map[int]float64{1: 0.25}
		if err := c.WriteSvec(path, explained); err != nil {
			t.Fatal(err)
		}
		got, variances, err := ReadSvec(path)
		if err != nil || !reflect.DeepEqual(got, c) || !reflect.DeepEqual(variances, explained) {
			t.Errorf("svec: read %v and %v (%v), wrote %v", got, variances, err, c)
		}
	}
}

// TestSvecOfPeer: a file as IBM's activation-steering 1.0 writes it.
func TestSvecOfPeer(t *testing.T) {
	c, explained, err := parseSvec([]byte(`{"model_type": "llama", "directions": {"3": [0.5, -1.25], "12": [1e-3, 2]}, "explained_variances": {"3": 0.9, "12": 0.5}}`))
	want := &ControlVector{ModelHint: "llama", Directions: map[int][]float32{3: {0.5, -1.25}, 12: {1e-3, 2}}}
	if err != nil || !reflect.DeepEqual(c, want) || explained[12] != 0.5 {
		t.Errorf("read %v, %v, %v", c, explained, err)
	}
}

func TestControlVectorRefuses(t *testing.T) {
	for name, c := range map[string]*ControlVector{
		"no layer": {}, "NaN": {Directions: map[int][]float32{1: {float32(math.NaN())}}}, "two widths": {Directions: map[int][]float32{1: {1}, 2: {1, 2}}},
		"negative layer": {Directions: map[int][]float32{-1: {1}}}, "no width": {Directions: map[int][]float32{1: {}}},
	} {
		if err := c.WriteGGUF(filepath.Join(t.TempDir(), "v")); err == nil {
			t.Errorf("%s: written", name)
		}
		if err := c.WriteSvec(filepath.Join(t.TempDir(), "v"), nil); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	good := exampleVector().encodeGGUF()
	for name, bad := range map[string][]byte{
		"a model":      bytes.Replace(good, []byte("controlvector\x18"), []byte("controlvectox\x18"), 1),
		"other tensor": bytes.Replace(good, []byte("direction.10"), []byte("direction.1x"), 1),
		"layer 01":     bytes.Replace(good, []byte("direction.10"), []byte("direction.01"), 1),
		"cut":          good[:len(good)-64],
		"empty":        {},
	} {
		path := filepath.Join(t.TempDir(), "v.gguf")
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadControlVectorGGUF(path)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, err := ReadControlVectorGGUF(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestSteeringHand(t *testing.T) {
	x := rows([]float64{3, 4}, []float64{0, 2})
	v := []float64{0, 2}
	for _, c := range []struct {
		s    Steering
		want []float64
	}{
		{Steering{Vector: v, Strength: 2}, []float64{3, 8, 0, 6}},
		{Steering{Vector: v, Ablate: true}, []float64{3, 0, 0, 0}},
		{Steering{Vector: v, Strength: -1, Ablate: true}, []float64{3, -2, 0, -2}},
		{Steering{Vector: v, Ablate: true, KeepNorm: true}, []float64{5, 0, 0, 0}},
	} {
		closeTo(t, "steered", flat(ok(c.s.Apply(x))(t)), c.want, 1e-15)
	}
	if mat.Norm(x, 1) != 6 {
		t.Error("the input was changed")
	}
}

// FuzzReadControlVector: no bytes make a reader fail otherwise than by an error, and what is read is valid.
func FuzzReadControlVector(f *testing.F) {
	f.Add(exampleVector().encodeGGUF())
	files, _ := filepath.Glob(filepath.Join(graphtest.Golden(f), "vectors", "*.gguf"))
	for _, path := range files {
		if data, err := os.ReadFile(path); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte(`{"model_type": "llama", "directions": {"3": [0.5, -1.25]}, "explained_variances": {}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "v")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := ReadControlVectorGGUF(path); err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("read but not valid: %v", err)
			}
		}
		if c, _, err := parseSvec(data); err == nil {
			if err := c.Validate(); err != nil {
				t.Errorf("read but not valid: %v", err)
			}
		}
	})
}
