package token

import "unicode/utf8"

// scanO200K is patternO200K. A word is capitals and then small letters, where letters without case and marks count as both;
// one character that is neither letter, number nor line break may begin it and a contraction may end it.
func scanO200K(text string, i int) int {
	r, n := utf8.DecodeRuneInString(text[i:])
	first := i // after the optional first character
	if r != '\r' && r != '\n' && !isLetter(r) && !isNumber(r) {
		first = i + n
	}
	for _, form := range []func(string, int) int{scanSmallWord, scanCapitals} {
		for _, start := range []int{first, i} {
			end := form(text, start)
			if end == start {
				continue
			}
			if end < len(text) {
				end = scanContractionFold(text, end)
			}
			return end
		}
	}
	if isNumber(r) {
		return scanDigits(text, i, 3)
	}
	return scanRest(text, i, "\r\n/")
}

// scanSmallWord is upper*lower+. When no small letter follows the capitals, they give characters back until the last one
// that can be small.
func scanSmallWord(text string, i int) int {
	upper := runOf(text, i, isUpperOrOther)
	if end := runOf(text, upper, isLowerOrOther); end > upper {
		return end
	}
	for end := upper; end > i; {
		r, n := utf8.DecodeLastRuneInString(text[i:end])
		if isLowerOrOther(r) {
			return end
		}
		end -= n
	}
	return i
}

// scanCapitals is upper+lower* where scanSmallWord matches nothing: only capitals are left.
func scanCapitals(text string, i int) int { return runOf(text, i, isUpperOrOther) }
