package semanticinputs

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"loupe/probe/text"
)

// sentence is a list of three words, with a word of each concept of a pair or without.
type sentence struct {
	text string
	has  [2]bool   // of the pair's concepts
	span [2][2]int // code points of the concept's word
	word [2]string
}

// frames hold three words; nothing in them is of a concept.
var frames = []string{
	"On the list were %s, %s and %s.", "He wrote down %s, %s and %s before lunch.", "She read something about %s, %s and %s.",
	"We spoke of %s, %s and %s all evening.", "The pictures show %s, %s and %s.", "There was a question about %s, %s and %s.",
}

// cells of a pair's two labels.
var cells = [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}}

// planted is a pair of concepts with training and held-out texts, a group for each of cells.
type planted struct {
	cfg   *Config
	pair  [2]string
	seed  uint64
	train [4][]sentence
	held  [4][]sentence
}

// plant draws the texts of a pair. A quarter of each concept's words, and of the fillers, is for held-out texts alone.
func plant(suite *text.Suite, c *Config, pair [2]string, seed uint64) (*planted, error) {
	rng := rand.New(rand.NewPCG(seed, 0x706c616e74)) // "plant"
	train, held := make([][]string, 3), make([][]string, 3)
	for i, concepts := range [][]string{{pair[0]}, {pair[1]}, c.Fillers} {
		for _, concept := range concepts {
			words, err := suite.Words(concept)
			if err != nil {
				return nil, err
			}
			rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
			at := len(words) / 4
			held[i], train[i] = append(held[i], words[:at]...), append(train[i], words[at:]...)
		}
	}
	for i := range held {
		if len(held[i]) == 0 || i == 2 && len(held[i]) < 3 {
			return nil, fmt.Errorf("%s, %s and the fillers %v have too few words to hold some out; name other concepts", pair[0], pair[1], c.Fillers)
		}
	}
	p := &planted{cfg: c, pair: pair, seed: seed}
	for cell, has := range cells {
		for range c.Train / 2 { // at a correlation of 1 two cells share all texts
			p.train[cell] = append(p.train[cell], compose(rng, train, has))
		}
		for range c.HeldOut {
			p.held[cell] = append(p.held[cell], compose(rng, held, has))
		}
	}
	return p, nil
}

// compose writes one sentence: a word of each concept that it has, fillers in the other places, in random order.
func compose(rng *rand.Rand, words [][]string, has [2]bool) sentence {
	var list []string
	s := sentence{has: has}
	fillers := rng.Perm(len(words[2]))[:3] // different words
	fill := func() string {
		w := words[2][fillers[0]]
		fillers = fillers[1:]
		return w
	}
	for i := range has {
		if has[i] {
			s.word[i] = words[i][rng.IntN(len(words[i]))]
			list = append(list, s.word[i])
			continue
		}
		list = append(list, fill())
	}
	list = append(list, fill())
	place := rng.Perm(3)
	var ordered [3]string
	for i, at := range place {
		ordered[at] = list[i]
	}
	frame := frames[rng.IntN(len(frames))]
	parts := strings.Split(frame, "%s")
	for at := range 3 {
		s.text += parts[at]
		for i := range has {
			if has[i] && place[i] == at {
				from := utf8.RuneCountInString(s.text)
				s.span[i] = [2]int{from, from + utf8.RuneCountInString(ordered[at])}
			}
		}
		s.text += ordered[at]
	}
	s.text += parts[3]
	return s
}

// sizes are how many texts of each cell give n texts half of which have either concept, with correlation phi.
func sizes(n int, phi float64) [4]int {
	same := int(math.Round(float64(n) / 4 * (1 + phi)))
	other := n/2 - same
	return [4]int{same, other, other, same}
}

// correlation is phi of the two labels with these cells.
func correlation(of [4]int) float64 {
	n := float64(of[0] + of[1] + of[2] + of[3])
	a, b := float64(of[0]+of[1])/n, float64(of[0]+of[2])/n
	return (float64(of[0])/n - a*b) / math.Sqrt(a*(1-a)*b*(1-b))
}

func (s sentence) key(pair [2]string, concept int) string {
	return fmt.Sprintf("%s/%s", pair[concept], s.word[concept])
}
