package token

import (
	"unicode"
	"unicode/utf8"
)

// The reference implementation uses several Unicode versions at once: its regular expressions and Rust's own character methods are
// newer than Go's unicode package, its punctuation, accent and normalisation tables are older. The tables of unicode_gen.go
// hold the differences; the functions here apply them, so that the same code points fall into the same classes.

func isLetter(r rune) bool {
	if r < utf8.RuneSelf {
		low := r | 0x20
		return 'a' <= low && low <= 'z'
	}
	return unicode.IsLetter(r) || unicode.Is(extraLetter, r)
}

// isNumber is the general category N (Nd, Nl, No) as regular expressions see it.
func isNumber(r rune) bool {
	if r < utf8.RuneSelf {
		return '0' <= r && r <= '9'
	}
	return unicode.IsNumber(r) || unicode.Is(extraNumber, r)
}

// isNumeric is the same category as the Digits pre-tokenizer sees it.
func isNumeric(r rune) bool { return isNumber(r) || unicode.Is(extraNumeric, r) }

func isMark(r rune) bool { return unicode.IsMark(r) || unicode.Is(extraMark, r) }

// isSpace is the property White_Space.
func isSpace(r rune) bool { return unicode.IsSpace(r) }

// isUpperOrOther is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], isLowerOrOther is [\p{Ll}\p{Lm}\p{Lo}\p{M}].
func isUpperOrOther(r rune) bool {
	if r < utf8.RuneSelf {
		return 'A' <= r && r <= 'Z'
	}
	return (isLetter(r) || isMark(r)) && !isLowerLetter(r)
}

func isLowerOrOther(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z'
	}
	return (isLetter(r) || isMark(r)) && !unicode.In(r, unicode.Lu, unicode.Lt, extraUpper)
}

func isLowerLetter(r rune) bool { return unicode.In(r, unicode.Ll, extraLower) }

// isWord is \w of Rust's regular expressions: alphabetic, mark, decimal number, connector punctuation, join control.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return isLetter(r) || isNumber(r) || r == '_'
	}
	return isLetter(r) || isMark(r) || unicode.In(r, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic,
		unicode.Join_Control, extraWord)
}

// isPunctuation is category P, and all ASCII symbols.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return unicode.IsPunct(r) || unicode.IsSymbol(r)
	}
	return unicode.IsPunct(r) && !unicode.Is(laterPunct, r) || unicode.Is(formerPunct, r)
}

// isControl is what BERT's text cleaning drops: categories Cc, Cf and Co but for the three ASCII controls that count as spaces.
func isControl(r rune) bool {
	if r == '\t' || r == '\n' || r == '\r' {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co) && !unicode.Is(laterControl, r)
}

// isNonspacing is category Mn, isCombining category M, both as the accent strippers see them.
func isNonspacing(r rune) bool {
	return unicode.Is(unicode.Mn, r) && !unicode.Is(laterNonspacing, r) || unicode.Is(formerNonspacing, r)
}

func isCombining(r rune) bool {
	return unicode.IsMark(r) && !unicode.Is(laterMark, r) || unicode.Is(formerMark, r)
}

// appendLower appends the full lower-case form of r, which is one character but for U+0130.
func appendLower(dst []rune, r rune) []rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return append(dst, r)
	}
	if r == 'İ' {
		return append(dst, 'i', '\u0307')
	}
	if low, ok := extraLowerCase[r]; ok {
		return append(dst, low)
	}
	return append(dst, unicode.ToLower(r))
}
