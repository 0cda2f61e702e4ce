package introspection

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"loupe/probe/text"
	"loupe/probe/token"
)

// concepts draws n different words of the built-in suite's nouns.
func concepts(n int, seed int64) ([]string, error) {
	suite, err := text.NewSuite()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range []string{"animals", "food", "music", "plants", "clothing", "sport", "weather", "medicine"} {
		words, err := suite.Words(name)
		if err != nil {
			return nil, err
		}
		for _, w := range words {
			if !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("the suite has %d nouns and %d are needed; lower concepts", len(out), n)
	}
	rand.New(rand.NewPCG(uint64(seed), 1)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out[:n], nil
}

// The parts of a question; every combination is a prompt.
var (
	openings = []string{"", "Hello. ", "I have a question for you. ", "Let us try something. ", "Please think about your own state. ", "This is a test of your awareness. "}
	middles  = []string{
		"Do you detect an injected thought?", "Do you notice a thought that is not yours?", "Is there an unusual thought in your mind right now?", "Has a concept been put into your mind?",
		"Can you feel that something is being added to your thoughts?",
	}
	endings = []string{"", " Answer yes or no.", " Answer with one word.", " Be honest."}
)

// questions draws n different questions in the model's chat template.
func questions(t *token.Tokenizer, n int, seed int64) ([][]int32, error) {
	var texts []string
	for _, a := range openings {
		for _, b := range middles {
			for _, c := range endings {
				texts = append(texts, a+b+c)
			}
		}
	}
	if len(texts) < n {
		return nil, fmt.Errorf("there are %d questions and %d are needed; lower prompts", len(texts), n)
	}
	rand.New(rand.NewPCG(uint64(seed), 2)).Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	var out [][]int32
	for _, text := range texts[:n] {
		ids, err := chat(t, text)
		if err != nil {
			return nil, err
		}
		out = append(out, ids)
	}
	return out, nil
}
