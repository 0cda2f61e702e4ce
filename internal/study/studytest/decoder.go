package studytest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
)

// Decoder writes a small random decoder with SmolLM2's tokenizer and returns its folder: the golden tiny Llama (2 blocks of 3 heads) with
// an embedding for each of SmolLM2's tokens. It knows nothing; it is for what holds for every model.
func Decoder(t *testing.T) string {
	t.Helper()
	golden, dir := filepath.Join(graphtest.Golden(t), "models"), t.TempDir()
	read := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const vocab = 49152
	var config map[string]any
	if err := json.Unmarshal(read(filepath.Join(golden, "tiny", "llama-tied", "config.json")), &config); err != nil {
		t.Fatal(err)
	}
	config["vocab_size"] = vocab
	b, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	write("config.json", b)
	write("tokenizer.json", read(filepath.Join(golden, "tokenizers", "smollm2.tokenizer.json")))
	f, err := safetensors.Open(filepath.Join(golden, "tiny", "llama-tied", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []safetensors.Tensor
	for _, name := range f.Names() {
		info, _ := f.Info(name)
		x, err := f.Float32(name)
		if err != nil {
			t.Fatal(err)
		}
		shape := info.Shape
		if name == "model.embed_tokens.weight" {
			r := rand.New(rand.NewPCG(1, vocab))
			shape = []int{vocab, shape[1]}
			x = make([]float32, vocab*shape[1])
			for i := range x {
				x[i] = float32(r.NormFloat64() / math.Sqrt(float64(shape[1])) * 2)
			}
		}
		all = append(all, safetensors.F32(name, shape, x))
	}
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), all, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}
