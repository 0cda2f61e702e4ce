package capture

import (
	"errors"
	"fmt"
	"slices"

	"loupe/probe/text"
	"loupe/probe/token"
)

// maxDocument is the longest text of a document in bytes. A document is tokenised whole, which takes about 80 bytes of
// memory for each of its own.
const maxDocument = 8 << 20

// cell is a token of a sequence.
type cell struct {
	doc        int32 // index in the window
	segment    int32 // token type id, or the ordinal of the document in a pack
	id         int32
	start, end int32 // code points of the document
	special    bool
}

// sequence is one row of a batch.
type sequence struct {
	seq   int32 // the store's column seq
	cells []cell
}

// encoder turns a document into the tokens that the model reads.
type encoder struct {
	tok            *token.Tokenizer
	prefix, suffix []cell // of the template, and a prepended BOS
	segment        int32  // token type id of the text
	length         int    // most tokens of a sequence
	overflow       string
	vocab          int
	chat           *chat // nil: no chat template
}

func newEncoder(tok *token.Tokenizer, cfg *Config, maxLength, vocab int) (*encoder, error) {
	e := &encoder{tok: tok, length: maxLength, overflow: cfg.Overflow, vocab: vocab}
	var err error
	switch {
	case cfg.Chat:
		e.chat, err = newChat(tok)
	case cfg.AddSpecial:
		err = e.findTemplate()
	}
	if err != nil {
		return nil, err
	}
	if cfg.BOS == BOSPrepend {
		bos := tok.Specials().BOS
		if bos == token.None {
			return nil, errors.New("capture: bos is prepend and the tokenizer has no beginning-of-sequence token; use template")
		}
		if len(e.prefix) == 0 || e.prefix[0].id != bos {
			e.prefix = slices.Insert(e.prefix, 0, cell{id: bos, segment: e.segment, special: true})
		}
	}
	if n := len(e.prefix) + len(e.suffix); n >= maxLength {
		return nil, fmt.Errorf("capture: max_length %d leaves no room beside %d special tokens; raise it", maxLength, n)
	}
	return e, nil
}

// findTemplate learns what the tokenizer's template puts around a text by encoding one with and without it. A document
// can then be cut into several sequences that each have the template.
func (e *encoder) findTemplate() error {
	for _, probe := range []string{"a", "the", "0"} {
		plain, err := e.tok.Encode(probe, token.EncodeOptions{})
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		full, err := e.tok.Encode(probe, token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		n := plain.Len()
		for at := 0; n > 0 && at+n <= full.Len(); at++ {
			if slices.Equal(full.IDs[at:at+n], plain.IDs) {
				e.prefix, e.suffix = cells(&full, 0, at, 0), cells(&full, at+n, full.Len(), 0)
				e.segment = full.TypeIDs[at]
				return nil
			}
		}
	}
	return errors.New("capture: the tokenizer's template changes the text's own tokens; set add_special to false")
}

// cells returns tokens [lo, hi) of an encoding.
func cells(enc *token.Encoding, lo, hi int, doc int32) []cell {
	out := make([]cell, 0, hi-lo)
	for i := lo; i < hi; i++ {
		out = append(out, cell{
			doc: doc, segment: enc.TypeIDs[i], id: enc.IDs[i],
			start: int32(enc.Offsets[i][0]), end: int32(enc.Offsets[i][1]), special: enc.Special[i],
		})
	}
	return out
}

// parts returns a document's tokens: what the template puts before the text, the text, and what comes after it.
func (e *encoder) parts(d text.Doc, doc int32) (prefix, body, suffix []cell, err error) {
	if len(d.Text) > maxDocument {
		return nil, nil, nil, documentError(d, fmt.Errorf("it has %d bytes, more than %d; cut documents with corpus.doc_chars, or read smaller units", len(d.Text), maxDocument))
	}
	if e.chat != nil {
		prefix, body, suffix, err = e.chat.parts(e.tok, d, doc)
	} else {
		var enc token.Encoding
		enc, err = e.tok.Encode(d.Text, token.EncodeOptions{})
		prefix, body, suffix = e.prefix, cells(&enc, 0, enc.Len(), doc), e.suffix
		for i := range body {
			body[i].segment = e.segment
		}
	}
	if err != nil {
		return nil, nil, nil, documentError(d, err)
	}
	for _, c := range slices.Concat(prefix, body, suffix) {
		if c.id < 0 || int(c.id) >= e.vocab {
			return nil, nil, nil, documentError(d, fmt.Errorf("token id %d is outside the model's vocabulary of %d; use the model's own tokenizer", c.id, e.vocab))
		}
	}
	return prefix, body, suffix, nil
}

// documentError names the document that an error is about.
func documentError(d text.Doc, err error) error {
	return fmt.Errorf("capture: document %d (%s): %w", d.ID, d.Source, err)
}

// sequences returns a document as sequences with the template around each. cut tells whether tokens were left out.
func (e *encoder) sequences(d text.Doc, doc int32) (out []sequence, cut bool, err error) {
	prefix, body, suffix, err := e.parts(d, doc)
	if err != nil {
		return nil, false, err
	}
	room := e.length - len(prefix) - len(suffix)
	if room < 1 {
		return nil, false, documentError(d, fmt.Errorf("max_length %d leaves no room beside the template's %d tokens; raise it", e.length, len(prefix)+len(suffix)))
	}
	if len(body) > room {
		switch e.overflow {
		case Refuse:
			return nil, false, documentError(d, fmt.Errorf("it has %d tokens and a sequence holds %d beside the template; set overflow to truncate or split, or leave the document out", len(body), room))
		case Truncate:
			body, cut = body[:room], true
		}
	}
	if len(body)+len(prefix)+len(suffix) == 0 {
		return nil, cut, nil
	}
	for part := int32(0); len(body) > 0 || part == 0; part++ {
		n := min(len(body), room)
		out = append(out, sequence{seq: part, cells: wrap(prefix, body[:n], suffix, doc)})
		body = body[n:]
	}
	return out, cut, nil
}

// whole returns a document as one run of tokens with the template around it, for packing.
func (e *encoder) whole(d text.Doc, doc int32) (out []cell, cut bool, err error) {
	prefix, body, suffix, err := e.parts(d, doc)
	if err != nil {
		return nil, false, err
	}
	if room := e.length - len(prefix) - len(suffix); e.overflow == Truncate && len(body) > room {
		body, cut = body[:room], true
	}
	return wrap(prefix, body, suffix, doc), cut, nil
}

// wrap puts the template around the tokens of a text.
func wrap(prefix, body, suffix []cell, doc int32) []cell {
	out := slices.Concat(prefix, body, suffix)
	for i := range out {
		out[i].doc = doc
	}
	return out
}
