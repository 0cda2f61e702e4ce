package token

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"loupe/internal/gguf"
)

// maxFile bounds what Load reads: the largest published tokenizer.json has some 35 MB.
const maxFile = 512 << 20

// Load reads a tokenizer from a tokenizer.json, or from a folder with a tokenizer.json and, where they exist,
// tokenizer_config.json, special_tokens_map.json and chat_template.jinja, which name the special tokens and the chat templates;
// or from the metadata of a .gguf file.
func Load(path string) (*Tokenizer, error) {
	if strings.EqualFold(filepath.Ext(path), ".gguf") {
		f, err := gguf.Open(path)
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		defer f.Close()
		return FromGGUF(f)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("token: %w; give a folder with a tokenizer.json", err)
	}
	file, dir := path, ""
	if info.IsDir() {
		file, dir = filepath.Join(path, "tokenizer.json"), path
	}
	raw, err := readBounded(file)
	if err != nil {
		return nil, err
	}
	t, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if dir == "" {
		return t, nil
	}
	return t, t.loadConfig(dir)
}

// Parse reads a tokenizer from the bytes of a tokenizer.json.
func Parse(raw []byte) (*Tokenizer, error) {
	var d definition
	if !utf8.Valid(raw) {
		return nil, errors.New("token: the file is not valid UTF-8")
	}
	if err := decode("file", "tokenizer.json", raw, &d); err != nil {
		return nil, err
	}
	if d.Version != "" && d.Version != "1.0" {
		return nil, fmt.Errorf("token: tokenizer.json version %q: %w; 1.0 is the one that exists", d.Version, ErrUnsupported)
	}
	sum := sha256.Sum256(raw)
	t := &Tokenizer{digest: hex.EncodeToString(sum[:]), specials: noSpecials()}
	var err error
	if t.normalizer, err = parseNormalizer(d.Normalizer); err != nil {
		return nil, err
	}
	if t.pretokenizer, err = parsePretokenizer(d.PreTokenizer); err != nil {
		return nil, err
	}
	m, vocab, err := parseModel(d.Model)
	if err != nil {
		return nil, err
	}
	t.model, t.vocab = newCachedModel(m), vocab
	if t.post, err = parsePostprocessor(d.PostProcessor); err != nil {
		return nil, err
	}
	if t.decoder, err = parseDecoder(d.Decoder); err != nil {
		return nil, err
	}
	if t.added, err = newAddedTokens(d.AddedTokens, t.vocab, t.normalizer); err != nil {
		return nil, err
	}
	if t.shipped, err = shippedPolicy(d.Truncation, d.Padding); err != nil {
		return nil, err
	}
	if p := t.shipped.Padding; p != nil {
		t.specials.PAD = p.ID
	}
	return t, nil
}

// loadConfig reads the files beside tokenizer.json. Those that are not there are passed over.
func (t *Tokenizer) loadConfig(dir string) error {
	for _, name := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		raw, err := readBounded(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := t.configure(raw); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
		}
	}
	raw, err := readBounded(filepath.Join(dir, "chat_template.jinja"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	t.chat.add(defaultTemplate, string(raw))
	return nil
}

// configure takes the special tokens and chat templates from a tokenizer_config.json or special_tokens_map.json.
func (t *Tokenizer) configure(raw []byte) error {
	var c struct {
		BOS  specialName   `json:"bos_token"`
		EOS  specialName   `json:"eos_token"`
		PAD  specialName   `json:"pad_token"`
		UNK  specialName   `json:"unk_token"`
		CLS  specialName   `json:"cls_token"`
		SEP  specialName   `json:"sep_token"`
		MASK specialName   `json:"mask_token"`
		Chat chatTemplates `json:"chat_template"`
		// Longest input in tokens; a huge number stands for none.
		MaxLength json.Number `json:"model_max_length"`
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("token: %w", err)
	}
	for _, s := range []struct {
		name specialName
		id   *int32
	}{{c.BOS, &t.specials.BOS}, {c.EOS, &t.specials.EOS}, {c.PAD, &t.specials.PAD}, {c.UNK, &t.specials.UNK},
		{c.CLS, &t.specials.CLS}, {c.SEP, &t.specials.SEP}, {c.MASK, &t.specials.MASK}} {
		if s.name == "" {
			continue
		}
		id, ok := t.ID(string(s.name))
		if !ok {
			return fmt.Errorf("token: the special token %q is not in the vocabulary", s.name)
		}
		*s.id = id
	}
	if n, err := c.MaxLength.Int64(); err == nil && 0 < n && n < 1<<30 {
		t.shipped.ModelMaxLen = int(n)
	}
	for name, source := range c.Chat {
		t.chat.add(name, source)
	}
	return nil
}

// specialName is a special token as a string or as an object with its content.
type specialName string

func (s *specialName) UnmarshalJSON(raw []byte) error {
	var plain *string
	if err := json.Unmarshal(raw, &plain); err == nil {
		if plain != nil {
			*s = specialName(*plain)
		}
		return nil
	}
	var object struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return fmt.Errorf("a special token is neither a string nor an object: %w", err)
	}
	*s = specialName(object.Content)
	return nil
}

// readBounded reads a file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("token: %s is no regular file of at most %d MiB", path, maxFile>>20)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	return raw, nil
}
