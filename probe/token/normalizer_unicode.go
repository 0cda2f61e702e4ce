package token

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unicodeForm is one of the four normalisation forms of Unicode Annex 15. The text comes out as the standard says; what has to be
// done by hand is to follow each character: decomposing inserts, reordering by combining class moves, composing drops.
type unicodeForm struct {
	form    norm.Form
	compose bool
	// later are the code points whose decomposition the reference implementation does not know yet.
	later *unicode.RangeTable
}

var (
	nfc  = unicodeForm{norm.NFC, true, laterCanonical}
	nfd  = unicodeForm{norm.NFD, false, laterCanonical}
	nfkc = unicodeForm{norm.NFKC, true, laterCompatible}
	nfkd = unicodeForm{norm.NFKD, false, laterCompatible}
)

// mark is a decomposed character and its canonical combining class.
type mark struct {
	change
	class uint8
}

func (f unicodeForm) normalize(p piece) piece {
	if f.form.IsNormalString(p.text) {
		return p
	}
	marks := f.decompose(p.text)
	if f.compose {
		marks = compose(marks)
	}
	w := newRewriter(p)
	for _, m := range marks {
		w.apply(m.change)
	}
	return w.piece()
}

// decompose splits every character and sorts runs of combining marks by class.
func (f unicodeForm) decompose(text string) []mark {
	form := norm.NFD
	if f.form == norm.NFKC || f.form == norm.NFKD {
		form = norm.NFKD
	}
	marks := make([]mark, 0, len(text))
	sorted := 0 // marks[:sorted] are in their final order
	sort := func() {
		if len(marks)-sorted > 1 {
			slices.SortStableFunc(marks[sorted:], func(a, b mark) int { return int(a.class) - int(b.class) })
		}
		sorted = len(marks)
	}
	push := func(r rune, n int) {
		class := combiningClass(r)
		if class == 0 {
			sort()
		}
		marks = append(marks, mark{change{r, n}, class})
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r < utf8.RuneSelf || unicode.Is(f.later, r) {
			push(r, 0)
		} else {
			for j, d := range form.String(text[i : i+size]) {
				push(d, min(j, 1))
			}
		}
		i += size
	}
	sort()
	return marks
}

// combiningClass is 0 for the marks that the reference implementation does not know yet.
func combiningClass(r rune) uint8 {
	if r < 0x300 || unicode.Is(laterMark, r) {
		return 0
	}
	var buf [utf8.UTFMax]byte
	n := utf8.EncodeRune(buf[:], r)
	return norm.NFD.Properties(buf[:n]).CCC()
}

// compose is the canonical composition algorithm over decomposed, ordered characters. A composed character takes the place
// of its parts: the change counts add up, less one for each part dropped.
func compose(marks []mark) []mark {
	out := make([]mark, 0, len(marks))
	starter := -1 // index in out of the last starter
	last := 0     // class of the character written last after the starter, or -1 when the starter is the last
	for _, m := range marks {
		if starter >= 0 && (last < 0 || last < int(m.class)) {
			if r, ok := composePair(out[starter].r, m.r); ok {
				out[starter].r = r
				out[starter].n += m.n - 1
				continue
			}
		}
		out = append(out, m)
		if m.class == 0 {
			starter, last = len(out)-1, -1
		} else {
			last = int(m.class)
		}
	}
	return out
}

// composePair returns the primary composite of two characters.
func composePair(a, b rune) (rune, bool) {
	if a < utf8.RuneSelf && b < 0x300 {
		return 0, false
	}
	pair := string([]rune{a, b})
	composed := norm.NFC.String(pair)
	r, n := utf8.DecodeRuneInString(composed)
	if n != len(composed) || unicode.Is(laterCanonical, r) {
		return 0, false
	}
	// A pair in the wrong order can be normalised to one character, but is no composite.
	return r, norm.NFD.String(composed) == norm.NFD.String(string(a))+norm.NFD.String(string(b))
}
