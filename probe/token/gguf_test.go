package token

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loupe/internal/gguf"
	"loupe/internal/graphtest"
)

// TestGGUFGolden compares the tokenizer in SmolLM2's GGUF file with the golden ids of the same model.
func TestGGUFGolden(t *testing.T) {
	path := filepath.Join(graphtest.Model(t, "smollm2"), "SmolLM2-135M-Instruct.Q4_1.gguf")
	file, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tok, err := FromGGUF(file)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := Load(path); err != nil || same.Digest() != tok.Digest() {
		t.Errorf("Load of the same file: %v", err)
	}
	golden := filepath.Join(graphtest.Golden(t), "models", "tokenizers", "smollm2.jsonl")
	if _, err := os.Stat(golden); err != nil {
		graphtest.Skip(t, "%v", err)
	}
	c := &checker{TB: t, tok: tok, compared: map[string]int{}, total: map[string]int{}}
	rows := readRows(t, golden)
	for i, r := range rows {
		delete(r.fields, "ids_without_digit_split") // a property of the tokenizer.json beside the rows
		c.check(i, r)
	}
	t.Logf("%d rows: %v", len(rows), c.compared)
	s := tok.Specials()
	if bos, _ := tok.Token(s.BOS); bos != "<|im_start|>" || s.EOS != 2 || s.PAD != 2 {
		t.Errorf("specials %+v, BOS %q", s, bos)
	}
	if tok.VocabSize() != 49152 || len(tok.Digest()) != 64 {
		t.Errorf("vocabulary of %d, digest %q", tok.VocabSize(), tok.Digest())
	}
	if len(tok.ChatTemplates()) != 1 {
		t.Errorf("chat templates %v", tok.ChatTemplates())
	}
}

// metadata is a GGUF header in memory.
type metadata map[string]any

func get[T any](m metadata, key string) (T, bool) {
	v, ok := m[key].(T)
	return v, ok
}

func (m metadata) String(key string) (string, bool)    { return get[string](m, key) }
func (m metadata) Int(key string) (int64, bool)        { return get[int64](m, key) }
func (m metadata) Bool(key string) (bool, bool)        { return get[bool](m, key) }
func (m metadata) Strings(key string) ([]string, bool) { return get[[]string](m, key) }
func (m metadata) Ints(key string) ([]int64, bool)     { return get[[]int64](m, key) }
func (m metadata) Floats(key string) ([]float64, bool) { return get[[]float64](m, key) }

// TestGGUFSentencePiece compares with sentencepiece on a small BPE model with scores and byte fallback (testdata/make_spm.py).
func TestGGUFSentencePiece(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "spm.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Tokens []string  `json:"tokens"`
		Scores []float64 `json:"scores"`
		Types  []int64   `json:"types"`
		Rows   []struct {
			Text    string  `json:"text"`
			IDs     []int32 `json:"ids"`
			Decoded string  `json:"decoded"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	tok, err := FromGGUF(metadata{"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": c.Tokens, "tokenizer.ggml.scores": c.Scores,
		"tokenizer.ggml.token_type": c.Types, "tokenizer.ggml.bos_token_id": int64(1), "tokenizer.ggml.eos_token_id": int64(2)})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Rows {
		e, err := tok.Encode(r.Text, EncodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(e.IDs)
		want, _ := json.Marshal(r.IDs)
		if string(got) != string(want) {
			t.Errorf("%+q\n got %s\nwant %s", r.Text, got, want)
		}
		if text, err := tok.Decode(e.IDs, false); err != nil || text != r.Decoded {
			t.Errorf("%+q decodes to %+q, not %+q (%v)", r.Text, text, r.Decoded, err)
		}
	}
	if len(c.Rows) < 50 {
		t.Fatalf("only %d rows", len(c.Rows))
	}
	// BOS is added unless the file says otherwise.
	e, err := tok.Encode("a", EncodeOptions{AddSpecial: true})
	if err != nil || e.IDs[0] != 1 || !e.Special[0] {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestGGUFRefuses(t *testing.T) {
	tokens := []string{"a", "b", "ab"}
	for name, c := range map[string]struct {
		meta        metadata
		want        string
		unsupported bool
	}{
		"nothing":      {metadata{}, "tokenizer.ggml.model", false},
		"no tokens":    {metadata{"tokenizer.ggml.model": "gpt2"}, "tokenizer.ggml.tokens", false},
		"unknown kind": {metadata{"tokenizer.ggml.model": "rwkv", "tokenizer.ggml.tokens": tokens}, `"rwkv"`, true},
		"unknown split": {metadata{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.pre": "novel"},
			`"novel"`, true},
		"no merges": {metadata{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens}, "merges", false},
		"bad merge": {metadata{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": []string{"a c"}},
			`"c"`, false},
		"types too short": {metadata{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": []int64{1}},
			"1 token types for 3 tokens", false},
		"no scores": {metadata{"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": []int64{1, 1, 1}},
			"0 scores", false},
		"BOS out of range": {metadata{"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": []string{"a b"},
			"tokenizer.ggml.bos_token_id": int64(3)}, "bos_token_id is 3", false},
	} {
		_, err := FromGGUF(c.meta)
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnsupported) != c.unsupported {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}
