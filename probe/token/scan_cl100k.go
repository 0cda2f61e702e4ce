package token

import (
	"strings"
	"unicode/utf8"
)

// cl100k is the family of patternLlama3 and patternQwen2, which differ in how many digits stand together.
type cl100k struct{ digits int }

func (c cl100k) scan(text string, i int) int {
	if end := scanContractionFold(text, i); end > i {
		return end
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	switch {
	case isLetter(r):
		return runOf(text, i+n, isLetter)
	case isNumber(r):
		return scanDigits(text, i, c.digits)
	case r != '\r' && r != '\n' && i+n < len(text):
		// One character that is neither letter, number nor line break may begin a word.
		if next, size := utf8.DecodeRuneInString(text[i+n:]); isLetter(next) {
			return runOf(text, i+n+size, isLetter)
		}
	}
	return scanRest(text, i, "\r\n")
}

// scanDigits is \p{N}{1,most}.
func scanDigits(text string, i, most int) int {
	for ; most > 0 && i < len(text); most-- {
		r, n := utf8.DecodeRuneInString(text[i:])
		if !isNumber(r) {
			break
		}
		i += n
	}
	return i
}

// scanRest is the common end ` ?[^\s\p{L}\p{N}]+[after]*|\s*[\r\n]+|\s+(?!\S)|\s+`.
func scanRest(text string, i int, after string) int {
	start := i
	if text[i] == ' ' {
		start++
	}
	if end := runOf(text, start, isOther); end > start {
		for end < len(text) && strings.IndexByte(after, text[end]) >= 0 {
			end++
		}
		return end
	}
	space := runOf(text, i, isSpace)
	if k := strings.LastIndexAny(text[i:space], "\r\n"); k >= 0 {
		return i + k + 1
	}
	return scanSpace(text, i)
}
