package token

import "unicode/utf8"

// scanGPT2 is patternGPT2: contractions in lower case, then runs of letters, of numbers or of anything else, each with one space
// before it, then white space.
func scanGPT2(text string, i int) int {
	if end := scanContraction(text, i); end > i {
		return end
	}
	start := i
	if text[i] == ' ' && i+1 < len(text) {
		start++
	}
	r, n := utf8.DecodeRuneInString(text[start:])
	switch {
	case isLetter(r):
		return runOf(text, start+n, isLetter)
	case isNumber(r):
		return runOf(text, start+n, isNumber)
	case !isSpace(r):
		return runOf(text, start+n, isOther)
	}
	return scanSpace(text, i)
}

// isOther is [^\s\p{L}\p{N}].
func isOther(r rune) bool { return !isSpace(r) && !isLetter(r) && !isNumber(r) }

// scanContraction is 's|'t|'re|'ve|'m|'ll|'d.
func scanContraction(text string, i int) int {
	if text[i] != '\'' || i+1 == len(text) {
		return i
	}
	switch text[i+1] {
	case 's', 't', 'm', 'd':
		return i + 2
	}
	if i+3 <= len(text) {
		switch text[i+1 : i+3] {
		case "re", "ve", "ll":
			return i + 3
		}
	}
	return i
}

// scanContractionFold is scanContraction in any case. U+017F, the long s, folds to s.
func scanContractionFold(text string, i int) int {
	if text[i] != '\'' || i+1 == len(text) {
		return i
	}
	low := func(k int) byte {
		if k < len(text) && 'A' <= text[k] && text[k] <= 'Z' {
			return text[k] + 'a' - 'A'
		}
		if k < len(text) {
			return text[k]
		}
		return 0
	}
	switch first, second := low(i+1), low(i+2); {
	case first == 's', first == 't', first == 'm', first == 'd':
		return i + 2
	case (first == 'r' || first == 'v') && second == 'e', first == 'l' && second == 'l':
		return i + 3
	case first == "ſ"[0] && second == "ſ"[1]:
		return i + 3
	}
	return i
}
