package token

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
)

// Metadata is the key-value part of a GGUF file.
type Metadata interface {
	String(key string) (string, bool)
	Int(key string) (int64, bool)
	Bool(key string) (bool, bool)
	Strings(key string) ([]string, bool)
	Ints(key string) ([]int64, bool)
	Floats(key string) ([]float64, bool)
}

// Token types of a GGUF vocabulary.
const (
	ggufUnknown     = 2
	ggufControl     = 3
	ggufUserDefined = 4
	ggufByte        = 6
)

// ggufSplit is what tokenizer.ggml.pre stands for: how text is split before byte-level BPE.
type ggufSplit struct {
	pattern      string
	digits       bool // each digit is split off first
	ignoreMerges bool // a word that is a token is taken as it is
	nfc          bool
}

// ggufSplits are the values of tokenizer.ggml.pre that are known, after llama.cpp's table of pre-tokenizers.
var ggufSplits = map[string]ggufSplit{
	"default":          {pattern: patternGPT2},
	"gpt-2":            {pattern: patternGPT2},
	"smollm":           {pattern: patternGPT2, digits: true},
	"starcoder":        {pattern: patternGPT2, digits: true},
	"refact":           {pattern: patternGPT2, digits: true},
	"command-r":        {pattern: patternGPT2, digits: true},
	"olmo":             {pattern: patternGPT2},
	"phi-2":            {pattern: patternGPT2},
	"llama-bpe":        {pattern: patternLlama3, ignoreMerges: true},
	"llama3":           {pattern: patternLlama3, ignoreMerges: true},
	"llama-v3":         {pattern: patternLlama3, ignoreMerges: true},
	"dbrx":             {pattern: patternLlama3},
	"smaug-bpe":        {pattern: patternLlama3},
	"qwen2":            {pattern: patternQwen2, nfc: true},
	"deepseek-r1-qwen": {pattern: patternQwen2, nfc: true},
	"gpt-4o":           {pattern: patternO200K},
}

// FromGGUF reads the tokenizer that a GGUF file carries in its metadata: byte-level BPE (tokenizer.ggml.model "gpt2", split as
// tokenizer.ggml.pre says) or SentencePiece's BPE by score ("llama").
func FromGGUF(meta Metadata) (*Tokenizer, error) {
	kind, ok := meta.String("tokenizer.ggml.model")
	if !ok {
		return nil, fmt.Errorf("token: gguf: no tokenizer.ggml.model; the file has no tokenizer, give a tokenizer.json")
	}
	tokens, ok := meta.Strings("tokenizer.ggml.tokens")
	if !ok || len(tokens) == 0 {
		return nil, fmt.Errorf("token: gguf: no tokenizer.ggml.tokens")
	}
	types, _ := meta.Ints("tokenizer.ggml.token_type")
	if types != nil && len(types) != len(tokens) {
		return nil, fmt.Errorf("token: gguf: %d token types for %d tokens", len(types), len(tokens))
	}
	vocab := vocabularyOf(tokens)
	t := &Tokenizer{vocab: vocab, specials: noSpecials(), digest: ggufDigest(meta)}
	var err error
	switch kind {
	case "gpt2":
		err = t.ggufBPE(meta)
	case "llama":
		err = t.ggufSPM(meta, types)
	default:
		return nil, fmt.Errorf("token: gguf: tokenizer.ggml.model %q: %w; give the model's tokenizer.json instead", kind, ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	var added []addedToken
	for id, typ := range types {
		special := typ == ggufControl || typ == ggufUnknown
		if special || typ == ggufUserDefined {
			added = append(added, addedToken{Content: tokens[id], Special: special})
		}
	}
	if t.added, err = newAddedTokens(added, vocab, nil); err != nil {
		return nil, err
	}
	if err := t.ggufSpecials(meta, kind); err != nil {
		return nil, err
	}
	if source, ok := meta.String("tokenizer.chat_template"); ok {
		t.chat.add(defaultTemplate, source)
	}
	return t, nil
}

// vocabularyOf numbers tokens by their place; of two equal ones the first has the text's id.
func vocabularyOf(tokens []string) *vocabulary {
	v := &vocabulary{ids: make(map[string]int32, len(tokens)), tokens: tokens, used: make([]bool, len(tokens)), size: len(tokens)}
	for id, token := range tokens {
		v.used[id] = true
		if _, ok := v.ids[token]; !ok {
			v.ids[token] = int32(id)
		}
	}
	return v
}

func (t *Tokenizer) ggufBPE(meta Metadata) error {
	pre, ok := meta.String("tokenizer.ggml.pre")
	if !ok {
		pre = "default"
	}
	split, ok := ggufSplits[pre]
	if !ok {
		return fmt.Errorf("token: gguf: tokenizer.ggml.pre %q: %w; give the model's tokenizer.json instead", pre, ErrUnsupported)
	}
	lines, ok := meta.Strings("tokenizer.ggml.merges")
	if !ok {
		return fmt.Errorf("token: gguf: no tokenizer.ggml.merges")
	}
	merges, err := splitMerges(lines)
	if err != nil {
		return fmt.Errorf("token: gguf: %w", err)
	}
	m := &bpe{vocabulary: t.vocab, unk: -1, ignoreMerges: split.ignoreMerges}
	if err := m.init(merges); err != nil {
		return err
	}
	pattern, err := compilePattern("gguf", split.pattern)
	if err != nil {
		return err
	}
	var seq pretokenizerSequence
	if split.digits {
		seq = append(seq, &splitter{pattern: class(isNumber), behavior: isolated})
	}
	t.pretokenizer = append(seq, &splitter{pattern: pattern, behavior: isolated}, &byteLevel{})
	if split.nfc {
		t.normalizer = nfc
	}
	t.model, t.decoder = newCachedModel(m), &byteLevel{}
	return nil
}

// ggufSpecials reads the ids of the special tokens and what is added around a text.
func (t *Tokenizer) ggufSpecials(meta Metadata, kind string) error {
	for key, id := range map[string]*int32{"bos_token_id": &t.specials.BOS, "eos_token_id": &t.specials.EOS, "padding_token_id": &t.specials.PAD,
		"unknown_token_id": &t.specials.UNK, "cls_token_id": &t.specials.CLS, "seperator_token_id": &t.specials.SEP, "mask_token_id": &t.specials.MASK} {
		n, ok := meta.Int("tokenizer.ggml." + key)
		if !ok {
			continue
		}
		if n < 0 || n >= int64(len(t.vocab.tokens)) {
			return fmt.Errorf("token: gguf: tokenizer.ggml.%s is %d, but there are %d tokens", key, n, len(t.vocab.tokens))
		}
		*id = int32(n)
	}
	// llama.cpp adds BOS to SentencePiece text unless the file says otherwise.
	addBOS, said := meta.Bool("tokenizer.ggml.add_bos_token")
	addBOS = addBOS || !said && kind == "llama"
	addEOS, _ := meta.Bool("tokenizer.ggml.add_eos_token")
	special := func(id int32, typeID int32) []templatePart {
		return []templatePart{{sequence: -1, typeID: typeID, ids: []int32{id}, tokens: []string{t.vocab.tokens[id]}}}
	}
	p := &template{}
	for i := range 2 {
		var part []templatePart
		if addBOS && t.specials.BOS != None {
			part = append(part, special(t.specials.BOS, int32(i))...)
		}
		part = append(part, templatePart{sequence: i, typeID: int32(i)})
		if addEOS && t.specials.EOS != None {
			part = append(part, special(t.specials.EOS, int32(i))...)
		}
		if i == 0 {
			p.single = part
		}
		p.pair = append(p.pair, part...)
	}
	t.post = p
	return nil
}

// ggufDigest hashes the keys that define the tokenizer, each with its name and length, in a fixed order.
func ggufDigest(meta Metadata) string {
	h := sha256.New()
	for _, key := range []string{"model", "pre"} {
		s, ok := meta.String("tokenizer.ggml." + key)
		hashStrings(h, key, ok, []string{s})
	}
	for _, key := range []string{"tokens", "merges"} {
		s, ok := meta.Strings("tokenizer.ggml." + key)
		hashStrings(h, key, ok, s)
	}
	types, _ := meta.Ints("tokenizer.ggml.token_type")
	for _, n := range types {
		hashInt(h, n)
	}
	scores, _ := meta.Floats("tokenizer.ggml.scores")
	for _, f := range scores {
		hashInt(h, int64(math.Float64bits(f)))
	}
	for _, key := range []string{"bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id"} {
		n, ok := meta.Int("tokenizer.ggml." + key)
		hashStrings(h, key, ok, nil)
		hashInt(h, n)
	}
	for _, key := range []string{"add_bos_token", "add_eos_token", "add_space_prefix"} {
		on, ok := meta.Bool("tokenizer.ggml." + key)
		hashStrings(h, key, ok && on, nil)
		hashStrings(h, key, ok, nil)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashStrings(h hash.Hash, key string, present bool, values []string) {
	fmt.Fprintf(h, "%s %t %d\n", key, present, len(values))
	for _, s := range values {
		hashInt(h, int64(len(s)))
		h.Write([]byte(s))
	}
}

func hashInt(h hash.Hash, n int64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
}
