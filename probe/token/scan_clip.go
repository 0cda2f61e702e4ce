package token

import (
	"strings"
	"unicode/utf8"
)

// scanCLIP is patternCLIP: special tokens, contractions, runs of letters, single numbers, runs of anything else but spaces.
func scanCLIP(text string, i int) int {
	for _, special := range []string{"<|startoftext|>", "<|endoftext|>"} {
		if strings.HasPrefix(text[i:], special) {
			return i + len(special)
		}
	}
	if end := scanContraction(text, i); end > i {
		return end
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	switch {
	case isLetter(r):
		return runOf(text, i+n, isLetter)
	case isNumber(r):
		return i + n
	case !isSpace(r):
		return runOf(text, i+n, isOther)
	}
	return i
}
