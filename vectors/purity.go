package vectors

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// Purity is the share of a vector's k top tokens that are in a lexicon of token ids.
func Purity(e *mat.Dense, vector []float64, lexicon []int, k int) (float64, error) {
	v, d, err := checkRows("embedding", e)
	if err != nil {
		return 0, err
	}
	if err := checkLexicon(lexicon, v); err != nil {
		return 0, err
	}
	top, err := topTokens(e, v, d, vector, k)
	if err != nil {
		return 0, err
	}
	return float64(overlap(top, lexicon)) / float64(k), nil
}

func checkLexicon(lexicon []int, v int) error {
	if len(lexicon) == 0 {
		return fmt.Errorf("vectors: purity in an empty lexicon: %w", ErrArgument)
	}
	for _, t := range lexicon {
		if t < 0 || t >= v {
			return fmt.Errorf("vectors: lexicon: token %d is not among %d: %w; is it of another tokenizer?", t, v, ErrArgument)
		}
	}
	return nil
}
