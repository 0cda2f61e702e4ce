package token

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"loupe/probe/token/jinja"
)

// FuzzLoad parses arbitrary definitions and encodes with those that are accepted.
func FuzzLoad(f *testing.F) {
	// Small seeds: the fuzzer takes long over large ones. The generated tokenizers are read by other tests.
	const words = `"vocab": {"<unk>": 0, "a": 1, "b": 2, "ab": 3, "Ġ": 4, "##b": 5, "b</w>": 6, "ab</w>": 7, "<0x41>": 8}`
	for _, definition := range []string{
		wordTokenizer,
		split(`[^\s\p{L}]?\p{L}{1,3}?|\s+(?!\S)|\s+`),
		split(patternO200K),
		`{"model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, ` + words + `, "merges": ["a b"]},
			"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}, "decoder": {"type": "ByteLevel"},
			"post_processor": {"type": "RobertaProcessing", "sep": ["b", 2], "cls": ["a", 1]}}`,
		`{"model": {"type": "BPE", "end_of_word_suffix": "</w>", ` + words + `, "merges": [["a", "b</w>"]]}, "normalizer": {"type": "Sequence",
			"normalizers": [{"type": "NFKC"}, {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "x"}]},
			"decoder": {"type": "BPEDecoder", "suffix": "</w>"}}`,
		`{"model": {"type": "WordPiece", "unk_token": "<unk>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 5, ` + words + `},
			"normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
			"pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
			"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
			"pair": [{"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {"a": {"id": "a", "ids": [1], "tokens": ["a"]}}},
			"truncation": {"direction": "Left", "max_length": 7, "strategy": "LongestFirst", "stride": 0},
			"padding": {"strategy": {"Fixed": 8}, "direction": "Left", "pad_to_multiple_of": 2, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}}`,
		`{"model": {"type": "Unigram", "unk_id": 0, "byte_fallback": true, "vocab": [["<unk>", 0], ["a", -1.5], ["▁", -2], ["▁a", -2.5], ["<0x62>", -9]]},
			"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}]},
			"decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 1}]},
			"added_tokens": [{"id": 5, "content": "Hello", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": true}]}`,
	} {
		mustParse(f, definition)
		f.Add([]byte(definition))
	}
	charsmap, err := os.ReadFile(filepath.Join("testdata", "charsmap.b64"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0}}, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "` +
		strings.TrimSpace(string(charsmap)) + `"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tok, err := Parse(raw)
		if err != nil {
			return
		}
		pair := "Pair 2"
		for _, text := range []string{"", "Hello, World! naïve 日本語 e\u0301 12345 \t\n </s>", "İﬁ½\u200d👩‍👩‍👧🙂"} {
			e, err := tok.Encode(text, EncodeOptions{AddSpecial: true, Pair: &pair})
			if err != nil {
				continue
			}
			if n := e.Len(); n != len(e.Tokens) || n != len(e.Offsets) || n != len(e.Special) || n != len(e.TypeIDs) {
				t.Fatalf("%+v: lengths differ", e)
			}
			if _, err := tok.Decode(e.IDs, true); err != nil {
				continue // a template may add ids that the vocabulary lacks
			}
		}
	})
}

// FuzzEncode checks offsets and, for byte-level tokenizers, that decoding gives the text back.
func FuzzEncode(f *testing.F) {
	type subject struct {
		name      string
		tok       *Tokenizer
		roundTrip bool
	}
	var subjects []subject
	for name, roundTrip := range map[string]bool{"llama3": true, "o200k": true, "tekken": true, "bytes_first": true, "qwen2": false,
		"wordpiece": false, "unigram_t5": false, "unigram_bytes": false, "spm_bpe": false, "suffix": false} {
		subjects = append(subjects, subject{name, synthetic(f, name), roundTrip})
	}
	f.Add("Hello, World! it's")
	f.Add("  \n\n\t e\u0301 naïve 日本語 👩‍👩‍👧‍👦 'LL <|im_start|> 12345")
	f.Add("İstanbul\u0000\uFEFF\u200d각ㄱ")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		length := utf8.RuneCountInString(text)
		for _, s := range subjects {
			e, err := s.tok.Encode(text, EncodeOptions{})
			if err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			last := 0
			for i, o := range e.Offsets {
				if o[0] < 0 || o[0] > o[1] || o[1] > length {
					t.Fatalf("%s: token %d of %+q has offsets %v", s.name, i, text, o)
				}
				if o[0] < last {
					t.Fatalf("%s: the offsets of %+q go back at token %d: %v", s.name, text, i, e.Offsets)
				}
				last = o[0]
			}
			if !s.roundTrip {
				continue
			}
			if back, err := s.tok.Decode(e.IDs, false); err != nil || back != text {
				t.Fatalf("%s: %+q comes back as %+q, %v", s.name, text, back, err)
			}
		}
	})
}

// FuzzChat renders arbitrary templates over a chat.
func FuzzChat(f *testing.F) {
	for _, template := range []string{"{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}",
		"{{ bos_token }}{% if add_generation_prompt %}x{% endif %}", "{{ messages[0].content.split('a')[-1] }}", "{{ raise_exception('no') }}"} {
		f.Add(template)
	}
	f.Fuzz(func(t *testing.T, template string) {
		tok := mustParse(t, wordTokenizer)
		tok.chat.add(defaultTemplate, template)
		tok.limits = jinja.Limits{Steps: 20_000, Size: 1 << 16}
		messages := []Message{{Role: "user", Content: "abc"}, {Role: "assistant", Content: "d", Fields: map[string]any{"n": 1}}}
		text, err := tok.Chat(messages, ChatOptions{AddGenerationPrompt: true})
		if err == nil && utf8.ValidString(template) && !utf8.ValidString(text) {
			t.Fatalf("%+q", text)
		}
	})
}
