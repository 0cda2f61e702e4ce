package task

import "math/rand/v2"

// capitalCountry asks for the country of a capital; the corruption names another capital.
func capitalCountry() builder {
	return builder{
		name:       "capital-country",
		main:       []string{"{capital} is the capital of", "The city of {capital} is the capital of"},
		paraphrase: []string{"The government sits in {capital}, the capital of", "We flew to {capital}, the capital of"},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			pairs := [][2]string{
				{"Paris", "France"}, {"Berlin", "Germany"}, {"Rome", "Italy"}, {"Madrid", "Spain"}, {"Lisbon", "Portugal"}, {"Vienna", "Austria"},
				{"Tokyo", "Japan"}, {"Beijing", "China"}, {"Moscow", "Russia"}, {"Athens", "Greece"}, {"Dublin", "Ireland"}, {"Oslo", "Norway"},
				{"Stockholm", "Sweden"}, {"Warsaw", "Poland"}, {"Budapest", "Hungary"}, {"Cairo", "Egypt"}, {"Ottawa", "Canada"}, {"Lima", "Peru"},
			}
			two := r.Perm(len(pairs))[:2]
			a, b := pairs[two[0]], pairs[two[1]]
			return Prompt{Clean: fill(template, "capital", a[0]), Corrupted: fill(template, "capital", b[0]), Answers: spaced(a[1]), Wrongs: spaced(b[1])}
		},
	}
}

// colourObject asks for the colour of one of three things; the corruption asks for another's.
func colourObject() builder {
	return builder{
		name: "colour-object",
		main: []string{
			"On the table there are a {c1} {o1}, a {c2} {o2} and a {c3} {o3}. The colour of the {o} is",
			"I see a {c1} {o1}, a {c2} {o2} and a {c3} {o3} on the floor. The colour of the {o} is",
		},
		paraphrase: []string{
			"The box holds a {c1} {o1}, a {c2} {o2} and a {c3} {o3}. What is the colour of the {o}? It is",
			"She bought a {c1} {o1}, a {c2} {o2} and a {c3} {o3}. Looking at the {o}, one sees that it is",
		},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			c := pick(r, []string{"red", "blue", "green", "yellow", "black", "white", "brown", "pink"}, 3)
			o := pick(r, []string{"book", "cup", "pen", "ball", "box", "hat", "plate", "bag"}, 3)
			two := r.Perm(3)[:2]
			set := func(asked int) string {
				return fill(template, "c1", c[0], "c2", c[1], "c3", c[2], "o1", o[0], "o2", o[1], "o3", o[2], "o", o[asked])
			}
			return Prompt{Clean: set(two[0]), Corrupted: set(two[1]), Answers: spaced(c[two[0]]), Wrongs: spaced(c[two[1]])}
		},
	}
}
