package evaluate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"loupe/probe/token"
)

// A letter has at least minWords words, so that its test part has the 20 that absorption asks for, and at most maxWords.
const (
	minWords = 80
	maxWords = 100
)

// words lists words of three letters or more that are single tokens of a vocabulary, at most maxWords of each first letter,
// chosen by seed; letters of fewer than minWords are left out. This is how SAEBench takes its words.
func words(tok *token.Tokenizer, seed uint64) (map[string][]string, error) {
	all := map[string]bool{}
	for id := range int32(tok.VocabSize()) {
		if _, ok := tok.Token(id); !ok {
			continue
		}
		text, err := tok.Decode([]int32{id}, false)
		if err != nil {
			continue // part of a character
		}
		word := strings.TrimPrefix(text, " ")
		if utf8.RuneCountInString(word) < 3 || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") != "" {
			continue
		}
		if name, _ := tok.Token(id); strings.HasPrefix(name, "##") { // WordPiece's pieces inside words
			continue
		}
		all[word] = true
	}
	letters := map[string][]string{}
	for _, w := range sortedKeys(all) {
		letters[w[:1]] = append(letters[w[:1]], w)
	}
	rng := rand.New(rand.NewPCG(seed, 0x776f7264))
	out := map[string][]string{}
	for _, letter := range sortedKeys(letters) {
		list := slices.Clone(letters[letter])
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		if len(list) >= minWords {
			out[letter] = list[:min(maxWords, len(list))]
		}
	}
	if len(out) < 2 {
		return nil, fmt.Errorf("%w: the vocabulary has %d letters with %d words of lower-case letters, which are single tokens", errLeftOut, len(out), minWords)
	}
	return out, nil
}
