package train

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"loupe/probe/token"
)

// The special tokens of a vocabulary of words, with ids 0 to 4.
var specialWords = []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}

// FirstWord is the id of the first ordinary word of a vocabulary that Words makes; MaskWord is that of its mask token.
const (
	FirstWord = 5
	MaskWord  = 4
)

// Words makes the tokenizer.json of a vocabulary of whole words, split at white space: five special tokens and then the most
// frequent words of texts, at most size in all, in the order of their frequency and then of the alphabet. Texts are put between
// [CLS] and [SEP] where special tokens are asked for.
func Words(texts []string, size int) ([]byte, error) {
	if size <= len(specialWords) {
		return nil, fmt.Errorf("train: a vocabulary of %d tokens has no room beside %d special ones", size, len(specialWords))
	}
	count := map[string]int{}
	for _, text := range texts {
		for _, w := range strings.Fields(text) {
			count[w]++
		}
	}
	for _, w := range specialWords {
		delete(count, w)
	}
	if len(count) == 0 {
		return nil, errors.New("train: the texts have no words")
	}
	words := slices.SortedFunc(maps.Keys(count), func(a, b string) int { return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b)) })
	vocab, added := map[string]int{}, []map[string]any{}
	for i, w := range specialWords {
		vocab[w] = i
		added = append(added, map[string]any{"id": i, "content": w, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
	}
	for i, w := range words[:min(len(words), size-len(specialWords))] {
		vocab[w] = FirstWord + i
	}
	special := func(name string) map[string]any {
		return map[string]any{"SpecialToken": map[string]any{"id": name, "type_id": 0}}
	}
	text := map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}}
	return json.Marshal(map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil, "decoder": nil, "added_tokens": added,
		"pre_tokenizer": map[string]any{"type": "WhitespaceSplit"},
		"model":         map[string]any{"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
		"post_processor": map[string]any{
			"type": "TemplateProcessing", "single": []any{special("[CLS]"), text, special("[SEP]")}, "pair": []any{special("[CLS]"), text, special("[SEP]"), map[string]any{"Sequence": map[string]any{"id": "B", "type_id": 0}}, special("[SEP]")},
			"special_tokens": map[string]any{
				"[CLS]": map[string]any{"id": "[CLS]", "ids": []int{2}, "tokens": []string{"[CLS]"}},
				"[SEP]": map[string]any{"id": "[SEP]", "ids": []int{3}, "tokens": []string{"[SEP]"}},
			},
		},
	})
}

// Tokenize makes rows of texts with special tokens, padded to seq with id pad; a longer text is an error.
func Tokenize(t *token.Tokenizer, texts []string, seq int, pad int32) (Rows, error) {
	var list []token.Encoding
	for i, text := range texts {
		e, err := t.Encode(text, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return Rows{}, fmt.Errorf("train: text %d: %w", i+1, err)
		}
		list = append(list, e)
	}
	b, err := token.Pad(list, token.Padding{ID: pad, Length: seq})
	if err != nil {
		return Rows{}, fmt.Errorf("train: %w", err)
	}
	return Rows{B: b.B, T: b.T, IDs: b.IDs, Mask: b.Mask}, nil
}
