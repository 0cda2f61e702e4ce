package task

import "math/rand/v2"

func women() []string {
	return []string{"Mary", "Anna", "Sarah", "Emily", "Laura", "Alice", "Emma", "Julia", "Jane", "Kate", "Lisa", "Susan"}
}

func men() []string {
	return []string{"John", "Tom", "James", "David", "Peter", "Paul", "Mark", "Robert", "Michael", "Daniel", "Henry", "George"}
}

func people() []string { return append(women(), men()...) }

func places() []string {
	return []string{"shop", "park", "school", "station", "garden", "office", "market", "library"}
}

func things() []string {
	return []string{"book", "ring", "drink", "key", "letter", "ball", "map", "ticket"}
}

// ioi asks to whom something is given: the name that was said once. Half of the templates name the giver second (ABBA), half
// first (BABA); {A} is who receives.
func ioi() builder {
	return builder{
		name: "ioi",
		main: []string{
			"When {A} and {B} went to the {place}, {B} gave a {thing} to",
			"When {B} and {A} went to the {place}, {B} gave a {thing} to",
			"Then {A} and {B} had a long talk at the {place}, and {B} gave a {thing} to",
			"Then {B} and {A} had a long talk at the {place}, and {B} gave a {thing} to",
		},
		paraphrase: []string{
			"After {A} and {B} had met at the {place}, {B} handed a {thing} to",
			"After {B} and {A} had met at the {place}, {B} handed a {thing} to",
			"While {A} and {B} were waiting near the {place}, {B} passed the {thing} to",
			"While {B} and {A} were waiting near the {place}, {B} passed the {thing} to",
		},
		fill: func(r *rand.Rand, template string, cfg Config) Prompt {
			names := pick(r, people(), 5)
			place, thing := pick(r, places(), 1)[0], pick(r, things(), 1)[0]
			clean := fill(template, "A", names[0], "B", names[1], "place", place, "thing", thing)
			p := Prompt{Clean: clean, Answers: spaced(names[0]), Wrongs: spaced(names[1])}
			if cfg.Corrupt == CorruptABC {
				p.Corrupted = giver(template, names[2], names[3], names[4], place, thing)
			} else {
				p.Corrupted = giver(template, names[0], names[1], names[0], place, thing)
			}
			return p
		},
	}
}

// doubleToSingle asks the same where each of the two names has been said twice before; its corruption says the receiver's once.
func doubleToSingle() builder {
	return builder{
		name: "double-to-single",
		main: []string{
			"When {A} and {B} went to the {place}, {A} was happy and {B} gave a {thing} to",
			"When {B} and {A} went to the {place}, {A} was happy and {B} gave a {thing} to",
		},
		paraphrase: []string{
			"After {A} and {B} had met at the {place}, {A} sat down and {B} handed a {thing} to",
			"After {B} and {A} had met at the {place}, {A} sat down and {B} handed a {thing} to",
		},
		fill: func(r *rand.Rand, template string, _ Config) Prompt {
			names := pick(r, people(), 3)
			place, thing := pick(r, places(), 1)[0], pick(r, things(), 1)[0]
			clean := fill(template, "A", names[0], "B", names[1], "place", place, "thing", thing)
			return Prompt{Clean: clean, Corrupted: nth(template, "A", 2, names[2], "B", names[1], "A", names[0], "place", place, "thing", thing), Answers: spaced(names[0]), Wrongs: spaced(names[1])}
		},
	}
}

// giver fills an IOI template with another name where the giver is said the second time.
func giver(template, a, b, second, place, thing string) string {
	return nth(template, "B", 2, second, "A", a, "B", b, "place", place, "thing", thing)
}
