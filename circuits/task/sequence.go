package task

import (
	"math/rand/v2"
	"strings"
)

func words() []string {
	return []string{
		"apple", "river", "stone", "table", "window", "garden", "paper", "music", "water", "light", "house", "horse", "bread", "cloud", "chair", "street",
		"glass", "heart", "night", "train", "ocean", "forest", "silver", "winter", "summer", "bridge", "mountain", "letter", "dance", "smoke", "field", "crown",
	}
}

// induction repeats a row of unrelated words up to one that has a follower; the corruption begins the repetition in the same row
// with words that were not in it, so that nothing can be copied.
func induction() builder {
	return builder{
		name:       "induction",
		main:       []string{"{row} {again}", "The list: {row} {again}"},
		paraphrase: []string{"Words: {row} {again}", "We read {row} {again}"},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			const n, k = 8, 4 // words of the row; of them said again
			w := pick(r, words(), n+k+1)
			row := strings.Join(w[:n], " ")
			return Prompt{
				Clean: fill(template, "row", row, "again", strings.Join(w[:k], " ")), Corrupted: fill(template, "row", row, "again", strings.Join(w[n:n+k], " ")),
				Answers: spaced(w[k]), Wrongs: spaced(w[n+k]),
			}
		},
	}
}

// docstring asks for the third argument's name in the documentation of a function; the corruption has other names in its head.
func docstring() builder {
	return builder{
		name: "docstring",
		main: []string{
			"def {f}(self, {a}, {b}, {c}, {d}):\n    \"\"\"{verb} the {w1}\n\n    :param {a}: the {w2} {w3}\n    :param {b}: the {w4} {w5}\n    :param",
		},
		paraphrase: []string{
			"def {f}({a}, {b}, {c}, {d}):\n    \"\"\"{verb} a {w1}.\n\n    Args:\n        {a}: one {w2} {w3}\n        {b}: one {w4} {w5}\n       ",
		},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			names := pick(r, []string{"name", "path", "size", "key", "value", "index", "file", "text", "data", "port", "user", "mode", "level", "code", "page", "line"}, 7)
			w := pick(r, words(), 5)
			f := pick(r, []string{"load", "check", "update", "create", "find"}, 1)[0]
			verb := pick(r, []string{"read", "change", "count", "move"}, 1)[0]
			head, rest, _ := strings.Cut(template, "\n")
			common := []string{"f", f, "verb", verb, "w1", w[0], "w2", w[1], "w3", w[2], "w4", w[3], "w5", w[4]}
			body := fill(rest, append(common, "a", names[0], "b", names[1])...)
			set := func(c, d string) string {
				return fill(head, append(common, "a", names[0], "b", names[1], "c", c, "d", d)...) + "\n" + body
			}
			return Prompt{Clean: set(names[2], names[3]), Corrupted: set(names[4], names[5]), Answers: spaced(names[2]), Wrongs: spaced(names[4])}
		},
	}
}
