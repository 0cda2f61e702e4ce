// Package capturetest makes what a capture reads - a tiny model with a tokenizer, and a corpus - for tests.
package capturetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/graphtest"
)

// tokenizerFile is a WordLevel tokenizer of n ids: [PAD], [UNK], [CLS], [SEP], [BOS], and the words w5, w6, ...
func tokenizerFile(n int) []byte {
	specials := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]"}
	vocab := map[string]int{}
	var added []map[string]any
	for i := range n {
		word := fmt.Sprintf("w%d", i)
		if i < len(specials) {
			word = specials[i]
			added = append(added, map[string]any{"id": i, "content": word, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
		}
		vocab[word] = i
	}
	around := func(s string) map[string]any {
		return map[string]any{"SpecialToken": map[string]any{"id": s, "type_id": 0}}
	}
	of := func(s string) map[string]any {
		return map[string]any{"id": s, "ids": []int{vocab[s]}, "tokens": []string{s}}
	}
	sequence := map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}
	single := []any{around("[CLS]"), sequence, around("[SEP]")}
	b, err := json.Marshal(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": map[string]any{"type": "Whitespace"},
		"post_processor": map[string]any{
			"type": "TemplateProcessing", "single": single,
			"pair":           append(append([]any{}, single...), map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 0}}),
			"special_tokens": map[string]any{"[CLS]": of("[CLS]"), "[SEP]": of("[SEP]")},
		},
		"decoder": nil,
		"model":   map[string]any{"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
	})
	if err != nil {
		panic(err) // plain values always marshal
	}
	return b
}

// WriteTokenizer writes the tokenizer of tokenizerFile into a folder.
func WriteTokenizer(t testing.TB, dir string, n int) {
	t.Helper()
	config := `{"bos_token":"[BOS]","pad_token":"[PAD]","cls_token":"[CLS]","sep_token":"[SEP]","unk_token":"[UNK]"}`
	for name, content := range map[string][]byte{"tokenizer.json": tokenizerFile(n), "tokenizer_config.json": []byte(config)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Words draws a text of n words; every fifth word has a letter of two bytes before it, so that bytes are not code points.
func Words(r *rand.Rand, n, vocab int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		if r.IntN(5) == 0 {
			b.WriteString("é ")
		}
		fmt.Fprintf(&b, "w%d", 5+r.IntN(vocab-5))
	}
	return b.String()
}

// WriteCorpus writes a JSONL corpus of docs documents with up to longest words each.
func WriteCorpus(t testing.TB, path string, seed uint64, docs, longest, vocab int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	var b strings.Builder
	for i := range docs {
		line, err := json.Marshal(map[string]any{"text": Words(r, 1+r.IntN(longest), vocab), "parity": []string{"even", "odd"}[i%2]})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ModelFolder is a Hugging Face folder with a tiny golden model and the word tokenizer.
func ModelFolder(t testing.TB, name string, vocab int) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{"config.json", "model.safetensors"} {
		b, err := os.ReadFile(filepath.Join(graphtest.Golden(t), "models", "tiny", name, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	WriteTokenizer(t, dir, vocab)
	return dir
}
