package task

import (
	"fmt"
	"math/rand/v2"
)

// greaterThan asks for an end year after the start year of the same century; the corruption starts in its first year. With tokens of
// one digit the next token is the decade: later decades are right, earlier ones wrong, and the start's own is neither.
func greaterThan() builder {
	return builder{
		name:       "greater-than",
		main:       []string{"The {event} lasted from the year {c}{y} to the year {c}", "The {event} went on from the year {c}{y} until the year {c}"},
		paraphrase: []string{"It was in {c}{y} that the {event} began, and it was over in {c}", "The {event} started in {c}{y} and came to its end in {c}"},
		fill: func(r *rand.Rand, template string, cfg Config) Prompt {
			event := pick(r, []string{"war", "siege", "reign", "expedition", "dispute", "project", "journey", "strike", "voyage", "alliance", "famine", "campaign"}, 1)[0]
			century := fmt.Sprint(11 + r.IntN(8))
			year := 12 + r.IntN(77) // 12 to 88
			p := Prompt{
				Clean: fill(template, "event", event, "c", century, "y", fmt.Sprintf("%02d", year)), Corrupted: fill(template, "event", event, "c", century, "y", "01"),
			}
			if cfg.Digits == 1 {
				for decade := range 10 {
					switch {
					case decade > year/10:
						p.Answers = append(p.Answers, fmt.Sprint(decade))
					case decade < year/10:
						p.Wrongs = append(p.Wrongs, fmt.Sprint(decade))
					}
				}
				return p
			}
			for y := 2; y < 100; y++ {
				switch two := fmt.Sprintf("%02d", y); {
				case y > year:
					p.Answers = append(p.Answers, two)
				case y < year:
					p.Wrongs = append(p.Wrongs, two)
				}
			}
			return p
		},
	}
}
