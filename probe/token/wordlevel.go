package token

import "encoding/json"

// wordLevel looks each word up whole.
type wordLevel struct {
	*vocabulary
	unk int32
}

func parseWordLevel(raw json.RawMessage) (model, *vocabulary, error) {
	var c struct {
		header
		Unk   string           `json:"unk_token"`
		Vocab map[string]int32 `json:"vocab"`
	}
	if err := decode(stageModel, "WordLevel", raw, &c); err != nil {
		return nil, nil, err
	}
	v, err := newVocabulary(c.Vocab)
	if err != nil {
		return nil, nil, err
	}
	unk, err := required("model WordLevel", v, c.Unk)
	return &wordLevel{v, unk}, v, err
}

func (m *wordLevel) tokenize(word string, out []unit) ([]unit, error) {
	id, ok := m.ids[word]
	if !ok {
		id = m.unk
	}
	return append(out, unit{id: id, hi: int32(len(word))}), nil
}
