package stats

import (
	"fmt"
	"strings"
)

// Overlap is how much of a reference a prediction holds.
type Overlap struct {
	Recall    float64 `json:"recall"`    // of the reference
	Precision float64 `json:"precision"` // of the prediction
	F         float64 `json:"fmeasure"`  // their harmonic mean
}

// RougeTokens splits text as rouge-score 0.1.2 does: lower case, runs of a-z and 0-9, everything else a boundary; with stem,
// words of more than three characters are cut by PorterStem. Letters outside ASCII are boundaries: ROUGE is for English.
func RougeTokens(text string, stem bool) []string {
	// Python lowers U+0130 to i and a combining dot, which then ends the word; Go lowers it to i alone.
	text = strings.ToLower(strings.ReplaceAll(text, "\u0130", "i "))
	tokens := strings.FieldsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	if stem {
		for i, t := range tokens {
			if len(t) > 3 {
				tokens[i] = PorterStem(t)
			}
		}
	}
	return tokens
}

// RougeN is ROUGE-n: the n-grams that tokens of the reference and the prediction share, each as often as in the poorer of
// the two. Without any n-gram on a side all is 0.
func RougeN(reference, prediction []string, n int) (Overlap, error) {
	if n < 1 {
		return Overlap{}, fmt.Errorf("stats: ROUGE-%d: %w; n is 1 or more", n, ErrArgument)
	}
	ids := make(map[string]uint64)
	left := make(map[string]int)
	inReference, inPrediction := max(0, len(reference)-n+1), max(0, len(prediction)-n+1)
	for i := range inReference {
		left[gramKey(reference[i:i+n], ids)]++
	}
	shared := 0
	for i := range inPrediction {
		key := gramKey(prediction[i:i+n], ids)
		if left[key] > 0 {
			left[key]--
			shared++
		}
	}
	return overlap(shared, inReference, inPrediction), nil
}

// RougeL is ROUGE-L on the sentence level: the longest common subsequence of the tokens. O(len(reference) len(prediction)).
func RougeL(reference, prediction []string) Overlap {
	above := make([]int, len(prediction)+1) // above[j] is the longest for the reference so far and prediction[:j]
	for _, r := range reference {
		diagonal := 0
		for j, p := range prediction {
			up := above[j+1]
			if r == p {
				above[j+1] = diagonal + 1
			} else {
				above[j+1] = max(up, above[j])
			}
			diagonal = up
		}
	}
	return overlap(above[len(prediction)], len(reference), len(prediction))
}

func overlap(shared, inReference, inPrediction int) Overlap {
	if shared == 0 {
		return Overlap{}
	}
	o := Overlap{Recall: float64(shared) / float64(inReference), Precision: float64(shared) / float64(inPrediction)}
	o.F = 2 * o.Precision * o.Recall / (o.Precision + o.Recall)
	return o
}
