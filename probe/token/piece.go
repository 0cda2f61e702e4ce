package token

import "unicode/utf8"

// span is the range [lo, hi) of code points of the original text that a character came from.
type span struct{ lo, hi int32 }

// notAdded marks a piece that still has to go through the model.
const notAdded int32 = -1

// piece is a stretch of text on its way from the caller to the model. Pieces are values: slicing one shares its memory, and
// a change makes a new one.
type piece struct {
	text  string // as normalised and split so far
	at    []span // at[i] is where byte i of text came from; the bytes of one character share a span
	start int32  // first original code point of the piece; characters inserted before its first one belong there
	added int32  // id of the added token that the piece is, or notAdded
}

// newPiece is the whole original text, which must be valid UTF-8.
func newPiece(text string) piece {
	at := make([]span, len(text))
	i := int32(0)
	for b := 0; b < len(text); {
		n := 1
		if text[b] >= utf8.RuneSelf {
			_, n = utf8.DecodeRuneInString(text[b:])
		}
		for range n {
			at[b] = span{i, i + 1}
			b++
		}
		i++
	}
	return piece{text: text, at: at, added: notAdded}
}

// slice returns bytes [lo, hi) of the piece, lo < hi.
func (p piece) slice(lo, hi int) piece {
	return piece{text: p.text[lo:hi], at: p.at[lo:hi:hi], start: p.at[lo].lo, added: notAdded}
}

// original returns the code points behind bytes [lo, hi) of the piece.
func (p piece) original(lo, hi int) span {
	hi = min(hi, len(p.at))
	if lo >= hi {
		return span{p.start, p.start}
	}
	return span{p.at[lo].lo, p.at[hi-1].hi}
}

// rewriter builds the next form of a piece from left to right and keeps track of where each character came from.
type rewriter struct {
	src  piece
	next int // first byte of src.text that is not yet consumed
	text []byte
	at   []span
}

func newRewriter(p piece) *rewriter {
	room := len(p.text) + len(p.text)/8 + 8
	return &rewriter{src: p, text: make([]byte, 0, room), at: make([]span, 0, room)}
}

// replace writes r in the place of the next character, which is consumed.
func (w *rewriter) replace(r rune) {
	if w.next >= len(w.src.text) {
		w.insert(r)
		return
	}
	at := w.src.at[w.next]
	w.skip(1)
	w.write(r, at)
}

// insert writes a character that belongs to the character consumed last.
func (w *rewriter) insert(r rune) {
	at := span{w.src.start, w.src.start}
	if w.next > 0 {
		at = w.src.at[w.next-1]
	}
	w.write(r, at)
}

func (w *rewriter) write(r rune, at span) {
	n := len(w.text)
	w.text = utf8.AppendRune(w.text, r)
	for range len(w.text) - n {
		w.at = append(w.at, at)
	}
}

// skip consumes n characters and writes nothing.
func (w *rewriter) skip(n int) {
	for ; n > 0 && w.next < len(w.src.text); n-- {
		_, size := utf8.DecodeRuneInString(w.src.text[w.next:])
		w.next += size
	}
}

// keepTo copies the source unchanged up to byte end.
func (w *rewriter) keepTo(end int) {
	w.text = append(w.text, w.src.text[w.next:end]...)
	w.at = append(w.at, w.src.at[w.next:end]...)
	w.next = end
}

// change is one character of a rewritten text and what it does to the source: n > 0 inserts it, n <= 0 puts it in the place
// of the next character and drops the -n characters after that.
type change struct {
	r rune
	n int
}

func (w *rewriter) apply(c change) {
	if c.n > 0 {
		w.insert(c.r)
		return
	}
	w.replace(c.r)
	w.skip(-c.n)
}

// piece returns what was written. Source text that was not consumed is dropped.
func (w *rewriter) piece() piece {
	return piece{text: string(w.text), at: w.at, start: w.src.start, added: notAdded}
}

// prepend puts s before the first character and lets it share that character's origin.
func (p piece) prepend(s string) piece {
	if p.text == "" {
		return p
	}
	first, size := utf8.DecodeRuneInString(p.text)
	w := newRewriter(p)
	at := p.at[0]
	for _, r := range s {
		w.write(r, at)
	}
	w.write(first, at)
	w.next = size
	w.keepTo(len(p.text))
	return w.piece()
}

// filter drops the characters for which keep is false.
func (p piece) filter(keep func(rune) bool) piece {
	clean := true
	for _, r := range p.text {
		if !keep(r) {
			clean = false
			break
		}
	}
	if clean {
		return p
	}
	w := newRewriter(p)
	for i, r := range p.text {
		if keep(r) {
			w.keepTo(i + utf8.RuneLen(r))
		} else {
			w.skip(1)
		}
	}
	return w.piece()
}

// mapRunes replaces each character by f of it.
func (p piece) mapRunes(f func(rune) rune) piece {
	same := true
	for _, r := range p.text {
		if f(r) != r {
			same = false
			break
		}
	}
	if same {
		return p
	}
	w := newRewriter(p)
	for _, r := range p.text {
		w.replace(f(r))
	}
	return w.piece()
}
