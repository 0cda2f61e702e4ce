package token

import "fmt"

// None is the id of a special token that the tokenizer does not have.
const None int32 = -1

// Specials are the ids of the tokens with a role, None where there is none.
type Specials struct {
	BOS  int32 `json:"bos"`
	EOS  int32 `json:"eos"`
	PAD  int32 `json:"pad"`
	UNK  int32 `json:"unk"`
	CLS  int32 `json:"cls"`
	SEP  int32 `json:"sep"`
	MASK int32 `json:"mask"`
}

func noSpecials() Specials { return Specials{None, None, None, None, None, None, None} }

// Specials returns the ids of the special tokens. A tokenizer.json alone does not name them, but for the padding that it may
// ship: the roles come from the files beside it or from the GGUF metadata.
func (t *Tokenizer) Specials() Specials { return t.specials }

// Policy says what happens to a text beside being cut into tokens. It is plain data, to be recorded beside what was computed.
type Policy struct {
	Tokenizer  string   `json:"tokenizer"`   // Digest of the tokenizer
	AddSpecial bool     `json:"add_special"` // the post-processor's tokens are added
	MaxLen     int      `json:"max_len"`     // most tokens, 0: no limit
	Truncation          // where they are cut
	Padding    *Padding `json:"padding,omitempty"`
	// ModelMaxLen is what the model's configuration gives as its longest input, 0 if it does not say. It is information only.
	ModelMaxLen int      `json:"model_max_len,omitempty"`
	Specials    Specials `json:"specials"`
}

// Padding says how encodings of different lengths become a batch.
type Padding struct {
	ID     int32 `json:"id"`
	TypeID int32 `json:"type_id"`
	Side   Side  `json:"side"`
	// Length is the padded length; 0: that of the longest encoding, rounded up to Multiple.
	Length   int `json:"length,omitempty"`
	Multiple int `json:"multiple,omitempty"`
}

// Policy returns what the tokenizer's files ask for: special tokens, and the truncation and padding of tokenizer.json. Nothing of
// it is applied unless passed on: EncodeOptions gives the options for Encode, Padding goes to Pad.
func (t *Tokenizer) Policy() Policy {
	p := t.shipped
	p.Tokenizer, p.AddSpecial, p.Specials = t.digest, true, t.specials
	if p.Padding != nil {
		padding := *p.Padding
		p.Padding = &padding
	}
	return p
}

// EncodeOptions returns the options that follow the policy.
func (p Policy) EncodeOptions() EncodeOptions {
	return EncodeOptions{AddSpecial: p.AddSpecial, MaxLen: p.MaxLen, Truncation: p.Truncation}
}

// truncationJSON and paddingJSON are the entries of tokenizer.json.
type truncationJSON struct {
	Direction string `json:"direction"`
	MaxLength int    `json:"max_length"`
	Strategy  string `json:"strategy"`
	Stride    int    `json:"stride"` // overlap of the pieces that are cut off, which this package does not return
}

type paddingJSON struct {
	Strategy  paddingStrategy `json:"strategy"`
	Direction string          `json:"direction"`
	Multiple  *int            `json:"pad_to_multiple_of"`
	ID        int32           `json:"pad_id"`
	TypeID    int32           `json:"pad_type_id"`
	Token     string          `json:"pad_token"`
}

// shippedPolicy reads truncation and padding of tokenizer.json.
func shippedPolicy(tr *truncationJSON, pad *paddingJSON) (Policy, error) {
	var p Policy
	if tr != nil {
		strategy, ok := map[string]Strategy{"LongestFirst": LongestFirst, "OnlyFirst": OnlyFirst, "OnlySecond": OnlySecond}[tr.Strategy]
		side, known := sideOf(tr.Direction)
		if !ok || !known || tr.MaxLength < 0 {
			return p, fmt.Errorf("token: truncation with strategy %q, direction %q, max_length %d: %w", tr.Strategy, tr.Direction, tr.MaxLength, ErrUnsupported)
		}
		p.MaxLen, p.Truncation = tr.MaxLength, Truncation{Side: side, Strategy: strategy}
	}
	if pad != nil {
		side, known := sideOf(pad.Direction)
		if !known {
			return p, fmt.Errorf("token: padding with direction %q: %w", pad.Direction, ErrUnsupported)
		}
		p.Padding = &Padding{ID: pad.ID, TypeID: pad.TypeID, Side: side, Length: int(pad.Strategy)}
		if pad.Multiple != nil {
			p.Padding.Multiple = *pad.Multiple
		}
	}
	return p, nil
}

func sideOf(direction string) (Side, bool) {
	switch direction {
	case "", "Right":
		return Right, true
	case "Left":
		return Left, true
	}
	return "", false
}
