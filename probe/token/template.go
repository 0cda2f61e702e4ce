package token

import (
	"encoding/json"
	"fmt"
	"slices"
)

// template is TemplateProcessing: the order in which the texts and special tokens follow each other.
type template struct {
	single, pair []templatePart
}

// templatePart is a text (A is 0, B is 1) or, if sequence is negative, special tokens.
type templatePart struct {
	sequence int
	typeID   int32
	ids      []int32
	tokens   []string
}

type templatePieceJSON struct {
	Sequence *struct {
		ID     string `json:"id"`
		TypeID int32  `json:"type_id"`
	} `json:"Sequence"`
	SpecialToken *struct {
		ID     string `json:"id"`
		TypeID int32  `json:"type_id"`
	} `json:"SpecialToken"`
}

type specialTokenJSON struct {
	ID     string   `json:"id"`
	IDs    []int32  `json:"ids"`
	Tokens []string `json:"tokens"`
}

func parseTemplate(raw json.RawMessage) (*template, error) {
	var c struct {
		header
		Single   []templatePieceJSON         `json:"single"`
		Pair     []templatePieceJSON         `json:"pair"`
		Specials map[string]specialTokenJSON `json:"special_tokens"`
	}
	if err := decode(stagePost, "TemplateProcessing", raw, &c); err != nil {
		return nil, err
	}
	parts := func(pieces []templatePieceJSON, texts int) ([]templatePart, error) {
		var out []templatePart
		for i, p := range pieces {
			switch {
			case p.Sequence != nil && p.SpecialToken == nil:
				which := slices.Index([]string{"A", "B"}[:texts], p.Sequence.ID)
				if which < 0 {
					return nil, fmt.Errorf("token: post-processor TemplateProcessing: part %d is the text %q, which is not there", i, p.Sequence.ID)
				}
				out = append(out, templatePart{sequence: which, typeID: p.Sequence.TypeID})
			case p.SpecialToken != nil && p.Sequence == nil:
				s, ok := c.Specials[p.SpecialToken.ID]
				if !ok || len(s.IDs) != len(s.Tokens) {
					return nil, fmt.Errorf("token: post-processor TemplateProcessing: part %d, special token %q, is not among special_tokens or has not as many ids as tokens", i, p.SpecialToken.ID)
				}
				out = append(out, templatePart{sequence: -1, typeID: p.SpecialToken.TypeID, ids: s.IDs, tokens: s.Tokens})
			default:
				return nil, fmt.Errorf("token: post-processor TemplateProcessing: part %d is neither a Sequence nor a SpecialToken", i)
			}
		}
		return out, nil
	}
	single, err := parts(c.Single, 1)
	if err != nil {
		return nil, err
	}
	pair, err := parts(c.Pair, 2)
	return &template{single, pair}, err
}

func (t *template) of(pair bool) []templatePart {
	if pair {
		return t.pair
	}
	return t.single
}

func (t *template) process(parts []Encoding, addSpecial bool) []Encoding {
	var out []Encoding
	for _, p := range t.of(len(parts) == 2) {
		if p.sequence < 0 {
			if addSpecial {
				out = append(out, specialEncoding(p.ids, p.tokens, p.typeID))
			}
			continue
		}
		out = append(out, withType(parts[p.sequence], p.typeID))
	}
	return out
}

func (t *template) added(pair bool) int {
	n := 0
	for _, p := range t.of(pair) {
		n += len(p.ids)
	}
	return n
}

// specialEncoding is special tokens as an encoding.
func specialEncoding(ids []int32, tokens []string, typeID int32) Encoding {
	var e Encoding
	for i, id := range ids {
		e.append(id, tokens[i], span{}, true, typeID)
	}
	return e
}

// withType returns e with every type id set.
func withType(e Encoding, typeID int32) Encoding {
	e.TypeIDs = slices.Repeat([]int32{typeID}, len(e.IDs))
	return e
}

// bertProcessing is BertProcessing and RobertaProcessing: CLS before, SEP after each text. RoBERTa has one type id, puts two SEP
// between the texts and may trim offsets.
type bertProcessing struct {
	cls, sep    namedID
	roberta     bool
	trimOffsets bool
	prefixSpace bool
}

// namedID is ["token", id].
type namedID struct {
	token string
	id    int32
}

func (n *namedID) UnmarshalJSON(raw []byte) error {
	parts := []any{&n.token, &n.id}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("%s is not a token and its id", raw)
	}
	return nil
}

func parseBertProcessing(kind string, raw json.RawMessage) (postprocessor, error) {
	var c struct {
		header
		Sep *namedID `json:"sep"`
		Cls *namedID `json:"cls"`
	}
	p := &bertProcessing{roberta: kind == "RobertaProcessing", trimOffsets: true, prefixSpace: true}
	var err error
	if p.roberta {
		var r struct {
			header
			Sep         *namedID `json:"sep"`
			Cls         *namedID `json:"cls"`
			TrimOffsets *bool    `json:"trim_offsets"`
			PrefixSpace *bool    `json:"add_prefix_space"`
		}
		err = decode(stagePost, kind, raw, &r)
		c.Sep, c.Cls = r.Sep, r.Cls
		p.trimOffsets = r.TrimOffsets == nil || *r.TrimOffsets
		p.prefixSpace = r.PrefixSpace == nil || *r.PrefixSpace
	} else {
		err = decode(stagePost, kind, raw, &c)
	}
	if err != nil {
		return nil, err
	}
	if c.Sep == nil || c.Cls == nil {
		return nil, fmt.Errorf("token: post-processor %s without sep or cls", kind)
	}
	p.sep, p.cls = *c.Sep, *c.Cls
	return p, nil
}

func (p *bertProcessing) process(parts []Encoding, addSpecial bool) []Encoding {
	var out []Encoding
	special := func(n namedID, typeID int32) {
		if addSpecial {
			out = append(out, specialEncoding([]int32{n.id}, []string{n.token}, typeID))
		}
	}
	for i, part := range parts {
		typeID := int32(i)
		if p.roberta {
			typeID = 0
			if p.trimOffsets {
				trimOffsets(&part, p.prefixSpace)
			}
		}
		switch {
		case i == 0:
			special(p.cls, typeID)
		case p.roberta:
			special(p.sep, typeID)
		}
		out = append(out, withType(part, typeID))
		special(p.sep, typeID)
	}
	return out
}

func (p *bertProcessing) added(pair bool) int {
	switch {
	case pair && p.roberta:
		return 4
	case pair:
		return 3
	}
	return 2
}
