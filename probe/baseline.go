package probe

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"

	"loupe/vectors"
)

// BagOfWords returns counts of words as rows [n, words]: the words of the training texts that occur in two or more of them,
// most frequent first, at most limit. A probe of them is what the words alone tell. Words are lower-case runs of letters and
// digits.
func BagOfWords(texts []string, train []int, limit int) (Rows, []string, error) {
	bags := make([][]string, len(texts))
	for i, t := range texts {
		bags[i] = strings.FieldsFunc(strings.ToLower(t), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	}
	return bagOf(bags, train, limit)
}

// BagOfTokens is BagOfWords for token ids, where texts are not at hand.
func BagOfTokens(texts [][]int32, train []int, limit int) (Rows, []int32, error) {
	return bagOf(texts, train, limit)
}

func bagOf[T cmp.Ordered](bags [][]T, train []int, limit int) (Rows, []T, error) {
	in := map[T]int{} // training texts that have it
	for _, i := range train {
		seen := map[T]bool{}
		for _, w := range bags[i] {
			if !seen[w] {
				seen[w] = true
				in[w]++
			}
		}
	}
	var words []T
	for w, n := range in {
		if n > 1 {
			words = append(words, w)
		}
	}
	slices.SortFunc(words, func(a, b T) int { return cmp.Or(in[b]-in[a], cmp.Compare(a, b)) })
	words = words[:min(len(words), limit)]
	if len(words) == 0 {
		return Rows{}, nil, fmt.Errorf("probe: bag of words: no word is in two of the %d training texts: %w", len(train), vectors.ErrArgument)
	}
	place := make(map[T]int, len(words))
	for i, w := range words {
		place[w] = i
	}
	x := Rows{N: len(bags), D: len(words), Values: make([]float32, len(bags)*len(words))}
	for i, bag := range bags {
		for _, w := range bag {
			if at, ok := place[w]; ok {
				x.Values[i*x.D+at]++
			}
		}
	}
	return x, words, nil
}

// Lengths returns log(1 + length) as rows [n, 1]: what the length alone tells.
func Lengths(lengths []int) Rows {
	x := Rows{N: len(lengths), D: 1}
	for _, n := range lengths {
		x.Values = append(x.Values, float32(math.Log1p(float64(n))))
	}
	return x
}
