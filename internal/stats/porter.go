package stats

import "strings"

// PorterStem reduces a lower-case English word to its stem by Porter's algorithm with NLTK's departures (PorterStemmer's
// default mode), which ROUGE scores are published with: a table of irregular words, ies and ied to ie in four letters, y to i
// after a consonant only, and the suffixes bli, fulli and logi in step 2.
func PorterStem(word string) string {
	if stem, irregular := irregularStem(word); irregular {
		return stem
	}
	if len(word) <= 2 {
		return word
	}
	word = porterPlural(word)
	word = porterPast(word)
	word = porterY(word)
	word = porterDouble(word)
	word = replaceFirst(word, 1, [][2]string{
		{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""},
	})
	word = porterSuffix(word)
	return porterFinal(word)
}

func irregularStem(word string) (string, bool) {
	switch word {
	case "sky", "skies":
		return "sky", true
	case "dying":
		return "die", true
	case "lying":
		return "lie", true
	case "tying":
		return "tie", true
	case "inning", "innings":
		return "inning", true
	case "outing", "outings":
		return "outing", true
	case "canning", "cannings":
		return "canning", true
	case "news", "howe", "proceed", "exceed", "succeed":
		return word, true
	}
	return "", false
}

// porterPlural is step 1a.
func porterPlural(word string) string {
	if len(word) == 4 && strings.HasSuffix(word, "ies") {
		return word[:3]
	}
	return replaceFirst(word, 0, [][2]string{{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}})
}

// porterPast is step 1b: eed, ed and ing, and the repair of what they leave.
func porterPast(word string) string {
	if strings.HasSuffix(word, "ied") {
		if len(word) == 4 {
			return word[:3]
		}
		return word[:len(word)-2]
	}
	if strings.HasSuffix(word, "eed") {
		if measure(word[:len(word)-3]) > 0 {
			return word[:len(word)-1]
		}
		return word
	}
	stem, cut := strings.CutSuffix(word, "ed")
	if !cut || !hasVowel(stem) {
		stem, cut = strings.CutSuffix(word, "ing")
		if !cut || !hasVowel(stem) {
			return word
		}
	}
	for _, suffix := range []string{"at", "bl", "iz"} {
		if strings.HasSuffix(stem, suffix) {
			return stem + "e"
		}
	}
	last := stem[len(stem)-1]
	switch {
	case len(stem) >= 2 && stem[len(stem)-2] == last && !vowelAt(stem, len(stem)-1):
		if last != 'l' && last != 's' && last != 'z' {
			return stem[:len(stem)-1]
		}
	case measure(stem) == 1 && endsShort(stem):
		return stem + "e"
	}
	return stem
}

// porterY is step 1c.
func porterY(word string) string {
	stem, cut := strings.CutSuffix(word, "y")
	if cut && len(stem) > 1 && !vowelAt(stem, len(stem)-1) {
		return stem + "i"
	}
	return word
}

// porterDouble is step 2, double suffixes to single ones.
func porterDouble(word string) string {
	if stem, cut := strings.CutSuffix(word, "alli"); cut && measure(stem) > 0 {
		return porterDouble(stem + "al")
	}
	if strings.HasSuffix(word, "logi") { // its l is measured with the stem, so that geology and theology keep log
		if measure(word[:len(word)-3]) > 0 {
			return word[:len(word)-1]
		}
		return word
	}
	return replaceFirst(word, 1, [][2]string{
		{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"}, {"bli", "ble"},
		{"entli", "ent"}, {"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"}, {"ator", "ate"},
		{"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"}, {"iviti", "ive"},
		{"biliti", "ble"}, {"fulli", "ful"},
	})
}

// porterSuffix is step 4, single suffixes off long stems.
func porterSuffix(word string) string {
	if stem, cut := strings.CutSuffix(word, "ion"); cut {
		if measure(stem) > 1 && (strings.HasSuffix(stem, "s") || strings.HasSuffix(stem, "t")) {
			return stem
		}
		return word
	}
	return replaceFirst(word, 2, [][2]string{
		{"al", ""}, {"ance", ""}, {"ence", ""}, {"er", ""}, {"ic", ""}, {"able", ""}, {"ible", ""}, {"ant", ""}, {"ement", ""},
		{"ment", ""}, {"ent", ""}, {"ou", ""}, {"ism", ""}, {"ate", ""}, {"iti", ""}, {"ous", ""}, {"ive", ""}, {"ize", ""},
	})
}

// porterFinal is step 5: a last e, and ll to l.
func porterFinal(word string) string {
	if stem, cut := strings.CutSuffix(word, "e"); cut {
		if m := measure(stem); m > 1 || m == 1 && !endsShort(stem) {
			word = stem
		}
	}
	if strings.HasSuffix(word, "ll") && measure(word[:len(word)-1]) > 1 {
		return word[:len(word)-1]
	}
	return word
}

// replaceFirst applies the first rule whose suffix the word has, if what is before it has at least the given measure.
func replaceFirst(word string, least int, rules [][2]string) string {
	for _, rule := range rules {
		if stem, cut := strings.CutSuffix(word, rule[0]); cut {
			if measure(stem) >= least {
				return stem + rule[1]
			}
			return word
		}
	}
	return word
}

// measure is Porter's m, the number of times a vowel is followed by a consonant.
func measure(stem string) int {
	m, before := 0, false
	for i := range len(stem) {
		vowel := isVowel(stem[i], i > 0, before)
		if before && !vowel {
			m++
		}
		before = vowel
	}
	return m
}

func hasVowel(stem string) bool {
	for i := range len(stem) {
		if isVowel(stem[i], i > 0, false) {
			return true // y counts after any letter here, since a vowel before it would have returned already
		}
	}
	return false
}

// vowelAt tells whether the letter at i is a vowel, given the letters before it.
func vowelAt(word string, i int) bool {
	vowel := false
	for k := range i + 1 {
		vowel = isVowel(word[k], k > 0, vowel)
	}
	return vowel
}

// isVowel: a, e, i, o, u, and y after a consonant.
func isVowel(letter byte, hasBefore, beforeVowel bool) bool {
	switch letter {
	case 'a', 'e', 'i', 'o', 'u':
		return true
	case 'y':
		return hasBefore && !beforeVowel
	}
	return false
}

// endsShort is Porter's *o, consonant vowel consonant with the last not w, x or y; and, after NLTK, a two-letter vowel consonant.
func endsShort(stem string) bool {
	n := len(stem)
	if n == 2 {
		return vowelAt(stem, 0) && !vowelAt(stem, 1)
	}
	return n >= 3 && !vowelAt(stem, n-3) && vowelAt(stem, n-2) && !vowelAt(stem, n-1) && !strings.ContainsRune("wxy", rune(stem[n-1]))
}
