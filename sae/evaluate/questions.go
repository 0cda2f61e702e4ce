package evaluate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// Question is a question with choices, one of which is right.
type Question struct {
	Question string   `json:"question"`
	Choices  []string `json:"choices"`
	Answer   int      `json:"answer"`
}

// maxQuestionLine bounds a line of a file of questions, in bytes.
const maxQuestionLine = 1 << 20

// ReadQuestions reads questions from JSON lines {"question": "...", "choices": ["...", ...], "answer": 0}, the fields of WMDP and
// MMLU; other fields are left out. The error names the line.
func ReadQuestions(r io.Reader) ([]Question, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxQuestionLine)
	var out []Question
	n := 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		q := Question{Answer: -1}
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, fmt.Errorf("evaluate: questions: line %d: %w", n, err)
		}
		if q.Question == "" || len(q.Choices) < 2 || q.Answer < 0 || q.Answer >= len(q.Choices) {
			return nil, fmt.Errorf("evaluate: questions: line %d: it needs a question, two choices or more, and the answer's place among them", n)
		}
		out = append(out, q)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("evaluate: questions: line %d: %w; lines have at most %d bytes", n+1, err, maxQuestionLine)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("evaluate: questions: there are none")
	}
	return out, nil
}

// builtinQuestions are questions about capitals, to forget, and about opposites, young animals and months, to keep. The wrong
// choices are other answers of the same kind.
func builtinQuestions(seed uint64) (forget, retain []Question, err error) {
	file, err := builtin.Open("data/questions.json")
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate: %w", err)
	}
	defer file.Close()
	type kind struct {
		Template string
		Pairs    [][2]string
	}
	var all struct{ Forget, Retain []kind }
	if err := readJSON(file, &all); err != nil {
		return nil, nil, fmt.Errorf("evaluate: questions: %w", err)
	}
	rng := rand.New(rand.NewPCG(seed, 0x71756573))
	const choices = 4
	expand := func(kinds []kind) (out []Question) {
		for _, k := range kinds {
			for i, p := range k.Pairs {
				q := Question{Question: strings.Replace(k.Template, "{}", p[0], 1), Choices: []string{p[1]}}
				for _, other := range rng.Perm(len(k.Pairs)) {
					if other != i && len(q.Choices) < choices {
						q.Choices = append(q.Choices, k.Pairs[other][1])
					}
				}
				rng.Shuffle(len(q.Choices), func(i, j int) { q.Choices[i], q.Choices[j] = q.Choices[j], q.Choices[i] })
				for at, c := range q.Choices {
					if c == p[1] {
						q.Answer = at
					}
				}
				out = append(out, q)
			}
		}
		return out
	}
	return expand(all.Forget), expand(all.Retain), nil
}
