package token

import (
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// BenchmarkEncode measures one goroutine on English with a warm cache; MB/s are bytes of text.
func BenchmarkEncode(b *testing.B) {
	text := strings.Repeat("The quick brown fox doesn't jump over 13 lazy dogs, it naïvely walks around them.\nThen it rests. ", 400)
	for _, name := range []string{"minilm", "smollm2", "clip"} {
		b.Run(name, func(b *testing.B) {
			tok, err := Load(filepath.Join(graphtest.Golden(b), "models", "tokenizers", name+".tokenizer.json"))
			if err != nil {
				graphtest.Skip(b, "%v", err)
			}
			benchEncode(b, tok, text)
		})
	}
	b.Run("unigram", func(b *testing.B) { benchEncode(b, synthetic(b, "unigram_t5"), text) })
}

func benchEncode(b *testing.B, tok *Tokenizer, text string) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tok.Encode(text, EncodeOptions{AddSpecial: true}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(graphtest.Golden(b), "models", "tokenizers", "smollm2.tokenizer.json")
	for b.Loop() {
		if _, err := Load(path); err != nil {
			graphtest.Skip(b, "%v", err)
		}
	}
}
