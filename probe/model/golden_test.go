package model

import (
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// TestGoldenModels holds every tiny model and every published model of the golden data against its reference.
func TestGoldenModels(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "models")
	tiny, err := filepath.Glob(filepath.Join(root, "tiny", "*", "golden.safetensors"))
	if err != nil || len(tiny) == 0 {
		t.Fatalf("no golden models under %s: %v", root, err)
	}
	for _, file := range tiny {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) { checkTiny(t, NewEngine(graphtest.Backend(t), nil), file) })
	}
	if graphtest.IsGo(t) {
		return // the published models run on xla alone: they take minutes on the pure Go backend
	}
	real, err := filepath.Glob(filepath.Join(root, "real", "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range real {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) { checkReal(t, NewEngine(graphtest.Backend(t), nil), file, name) })
	}
}

// checkTiny runs the parity check of a tiny model; nothing of its golden file may be left out.
func checkTiny(t *testing.T, engine *Engine, file string) {
	m, err := Load(t.Context(), engine.Backend(), filepath.Dir(file), Options{})
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
}
