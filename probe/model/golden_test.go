package model

import (
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
)

func TestGoldenModels(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "models")
	files, err := filepath.Glob(filepath.Join(root, "tiny", "*", "golden.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden models under %s: %v", root, err)
	}
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := Load(t.Context(), engine.Backend(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Params.Free()
			cert, err := Check(t.Context(), engine, m, file)
			if err != nil {
				t.Fatal(err)
			}
			worst := Comparison{}
			for _, c := range cert.Comparisons {
				if !c.OK {
					t.Errorf("%s: max %.3g beyond %.3g", c.Name, c.MaxRel, c.Tolerance)
				}
				if c.MaxRel > worst.MaxRel {
					worst = c
				}
			}
			for name, reason := range cert.Unchecked {
				t.Errorf("%s: not compared: %s", name, reason)
			}
			t.Logf("compared %d/%d tensors, worst %.3g at %s", len(cert.Comparisons), len(cert.Comparisons)+len(cert.Unchecked), worst.MaxRel, worst.Name)
		})
	}
}

