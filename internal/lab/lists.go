package lab

import (
	"fmt"
	"math/rand/v2"

	"loupe/probe/text"
	"loupe/probe/token"
	"loupe/vectors"
)

// ListClozes are lists of a concept's words to be continued with another one, by seed: "animals: dog, cat, horse," -> " cow".
// The concept is one of the built-in suite.
func ListClozes(t *token.Tokenizer, concept string, n int, seed int64) ([]vectors.Cloze, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	words, err := suite.Words(concept)
	if err != nil {
		return nil, err
	}
	if len(words) < 4 {
		return nil, fmt.Errorf("lab: concept %s has %d words; a list takes four", concept, len(words))
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6c69737473)) // "lists"
	var out []vectors.Cloze
	for range n {
		p := rng.Perm(len(words))
		prompt, err := t.Encode(fmt.Sprintf("%s: %s, %s, %s,", concept, words[p[0]], words[p[1]], words[p[2]]), token.EncodeOptions{AddSpecial: true})
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		answer, err := t.Encode(" "+words[p[3]], token.EncodeOptions{})
		if err != nil {
			return nil, fmt.Errorf("lab: %w", err)
		}
		out = append(out, vectors.Cloze{Prompt: prompt.IDs, Answer: answer.IDs})
	}
	return out, nil
}
