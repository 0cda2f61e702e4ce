package bottleneck

import (
	"fmt"
	"math"
	"math/rand/v2"

	"loupe/vectors"
)

// Mass says how much of a score's attribution falls on the words that carry its concept.
type Mass struct {
	Share    float64 // sum of |attribution| over the planted tokens, of that over all tokens of the text
	Uniform  float64 // share of the planted tokens among all: what attribution that knows nothing has
	Shuffled float64 // Share with the text's attributions permuted at random
	Positive float64 // Share with attributions below 0 left out
}

// Audit tells whether a concept's score rests on its meaning (arXiv:2402.00912, with words in place of image regions): planted
// marks the tokens of the words that make the concept true, special those of the template, which count on neither side. The
// permutation is drawn by rng. Shares are of magnitudes, so that a token that speaks against the concept counts as read. A text
// without planted tokens, or whose attributions are all 0, is an error.
func Audit(a Attribution, planted, special []bool, rng *rand.Rand) (Mass, error) {
	n := len(a.Scores)
	if len(planted) != n || len(special) != n {
		return Mass{}, fmt.Errorf("bottleneck: %d attributions, %d marks of planted and %d of special tokens: %w", n, len(planted), len(special), vectors.ErrShape)
	}
	var own []int
	for p := range n {
		if !special[p] {
			own = append(own, p)
		}
	}
	var m Mass
	var sum, positive float64
	order := rng.Perm(len(own))
	for r, p := range own {
		v := a.Scores[p]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return Mass{}, fmt.Errorf("bottleneck: attribution of token %d is %v: %w", p, v, vectors.ErrNotFinite)
		}
		sum += math.Abs(v)
		positive += max(v, 0)
		if planted[p] {
			m.Share += math.Abs(v)
			m.Positive += max(v, 0)
			m.Uniform++
			m.Shuffled += math.Abs(a.Scores[own[order[r]]])
		}
	}
	if m.Uniform == 0 {
		return Mass{}, argument("no token of the text is planted")
	}
	if sum == 0 {
		return Mass{}, argument("every attribution is 0; does the direction depend on the text?")
	}
	m.Uniform /= float64(len(own))
	m.Share /= sum
	m.Shuffled /= sum
	if positive > 0 {
		m.Positive /= positive
	}
	return m, nil
}

// Within marks the tokens that overlap the code points [from, to) of the text.
func (t Tokens) Within(from, to int) []bool {
	out := make([]bool, len(t.IDs))
	for p, at := range t.Offsets {
		out[p] = !t.Special[p] && at[0] < to && at[1] > from
	}
	return out
}
