// Package encodertest gives tests of erasure the sentence encoder that they run on.
package encodertest

import (
	"testing"

	"loupe/experiments/erase/encoder"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
)

// MiniLM opens the cached MiniLM with its tokenizer on the backend under test and frees it after the test.
func MiniLM(t testing.TB) *encoder.Encoder {
	t.Helper()
	dir := graphtest.Model(t, "minilm")
	engine := model.NewEngine(graphtest.Backend(t), nil)
	m, err := model.Load(t.Context(), engine.Backend(), dir, model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Params.Free(); err != nil {
			t.Error(err)
		}
	})
	tok, err := token.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	e, err := encoder.New(engine, m, tok, "")
	if err != nil {
		t.Fatal(err)
	}
	return e
}
