package token

import (
	"encoding/json"
	"fmt"
)

// unit is one token of a word: bytes [lo, hi) of the word, and the token's text where that is not the vocabulary's.
type unit struct {
	id     int32
	lo, hi int32
	text   string // "": the text of the vocabulary
}

// model cuts a word into tokens. It must be safe for concurrent use.
type model interface {
	// tokenize appends the tokens of word.
	tokenize(word string, out []unit) ([]unit, error)
}

const stageModel = "model"

// vocabulary maps tokens to ids and back.
type vocabulary struct {
	ids    map[string]int32
	tokens []string // by id; "" where there is none
	used   []bool   // ids that have a token
	size   int      // number of tokens: the first id that is free for an added one
}

// newVocabulary makes the reverse table. Ids must be dense enough for a table: a file cannot ask for more memory than it is long.
func newVocabulary(ids map[string]int32) (*vocabulary, error) {
	top := int32(-1)
	for token, id := range ids {
		if id < 0 {
			return nil, fmt.Errorf("token: vocabulary: %q has id %d", token, id)
		}
		top = max(top, id)
	}
	if int(top) >= 4*len(ids)+1<<16 {
		return nil, fmt.Errorf("token: vocabulary: the largest id is %d, but there are only %d tokens", top, len(ids))
	}
	v := &vocabulary{ids: ids, tokens: make([]string, top+1), used: make([]bool, top+1), size: len(ids)}
	for token, id := range ids {
		if v.used[id] && v.tokens[id] > token {
			continue // two tokens with one id: the choice must not depend on the order of a map
		}
		v.tokens[id], v.used[id] = token, true
	}
	return v, nil
}

func (v *vocabulary) token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(v.tokens) || !v.used[id] {
		return "", false
	}
	return v.tokens[id], true
}

// parseModel reads the model of tokenizer.json.
func parseModel(raw json.RawMessage) (model, *vocabulary, error) {
	if isNull(raw) {
		return nil, nil, fmt.Errorf("token: there is no model; is this a tokenizer.json?")
	}
	kind, err := kindOf(stageModel, raw)
	if err != nil {
		return nil, nil, err
	}
	switch kind {
	case "BPE":
		return parseBPE(raw)
	case "WordPiece":
		return parseWordPiece(raw)
	case "Unigram":
		return parseUnigram(raw)
	case "WordLevel":
		return parseWordLevel(raw)
	}
	return nil, nil, unknown(stageModel, kind)
}

// required returns the id of a token that the model cannot do without.
func required(stage string, v *vocabulary, token string) (int32, error) {
	id, ok := v.ids[token]
	if !ok {
		return 0, fmt.Errorf("token: %s: the unknown token %q is not in the vocabulary", stage, token)
	}
	return id, nil
}
