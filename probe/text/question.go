package text

import "math/rand/v2"

// Question is a prompt with choices for what follows it, one of which is right.
type Question struct {
	Prompt  string   `json:"prompt"` // ends before a space
	Choices []string `json:"choices"`
	Answer  int      `json:"answer"` // place of the right one
}

// shuffle puts the choices, of which the first is right, into random order.
func (q *Question) shuffle(rng *rand.Rand) {
	right := q.Choices[0]
	rng.Shuffle(len(q.Choices), func(i, j int) { q.Choices[i], q.Choices[j] = q.Choices[j], q.Choices[i] })
	for i, c := range q.Choices {
		if c == right {
			q.Answer = i
		}
	}
}
