package task

import "math/rand/v2"

// gender asks for the pronoun of a name; the corruption has a name of the other gender.
func gender() builder {
	return builder{
		name:       "gender",
		main:       []string{"So {A} is a really good friend, isn't", "{A} is late today, isn't"},
		paraphrase: []string{"{A} is in the garden now, isn't", "Well, {A} is such a nice neighbour, isn't"},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			a, b := pick(r, women(), 1)[0], pick(r, men(), 1)[0]
			right, wrong := " she", " he"
			if r.IntN(2) == 0 {
				a, b, right, wrong = b, a, wrong, right
			}
			return Prompt{Clean: fill(template, "A", a), Corrupted: fill(template, "A", b), Answers: []string{right}, Wrongs: []string{wrong}}
		},
	}
}

// subjectVerb asks for the verb of a subject past a noun of the other number; the corruption changes the subject's number.
func subjectVerb() builder {
	return builder{
		name:       "subject-verb",
		main:       []string{"The {noun} near the {other}", "The {noun} behind the {other}"},
		paraphrase: []string{"The {noun} that the {other} saw", "The {noun} next to the {other}"},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			subjects := [][2]string{{"boy", "boys"}, {"girl", "girls"}, {"key", "keys"}, {"car", "cars"}, {"dog", "dogs"}, {"house", "houses"}, {"tree", "trees"}, {"teacher", "teachers"}, {"book", "books"}, {"picture", "pictures"}}
			others := [][2]string{{"tree", "trees"}, {"house", "houses"}, {"farmer", "farmers"}, {"table", "tables"}, {"window", "windows"}, {"doctor", "doctors"}}
			s, o := subjects[r.IntN(len(subjects))], others[r.IntN(len(others))]
			number := r.IntN(2)
			verbs := [2][]string{{" is", " was", " has"}, {" are", " were", " have"}}
			return Prompt{
				Clean: fill(template, "noun", s[number], "other", o[1-number]), Corrupted: fill(template, "noun", s[1-number], "other", o[1-number]),
				Answers: verbs[number], Wrongs: verbs[1-number],
			}
		},
	}
}
