package token

import (
	"encoding/json"

	"loupe/probe/token/jinja"
)

// Tokenizer cuts text into the tokens of one model. It does not change after it is made and may be used from many goroutines.
type Tokenizer struct {
	added        *addedTokens
	normalizer   normalizer   // nil: none
	pretokenizer pretokenizer // nil: none
	model        model
	vocab        *vocabulary
	post         postprocessor // nil: none
	decoder      decoder       // nil: tokens are joined by spaces

	digest   string
	specials Specials
	shipped  Policy
	chat     chatTemplates
	limits   jinja.Limits // of chat templates; zero: the default
}

// definition is a tokenizer.json.
type definition struct {
	Version       string          `json:"version"`
	Truncation    *truncationJSON `json:"truncation"`
	Padding       *paddingJSON    `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// VocabSize returns the number of tokens, added ones included.
func (t *Tokenizer) VocabSize() int {
	n := t.vocab.size
	for content := range t.added.byText {
		if _, ok := t.vocab.ids[content]; !ok {
			n++
		}
	}
	return n
}

// Token returns the token with an id, as decoding sees it.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if token, ok := t.added.token(id); ok {
		return token, true
	}
	return t.vocab.token(id)
}

// ID returns the id of a token.
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added.byText[token]; ok {
		return id, true
	}
	id, ok := t.vocab.ids[token]
	return id, ok
}

// Digest returns the SHA-256, in hexadecimal, of the bytes that define the tokenizer: the tokenizer.json, or the tokenizer's
// metadata of a GGUF file in a fixed order.
func (t *Tokenizer) Digest() string { return t.digest }
