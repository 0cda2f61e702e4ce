package probe

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"loupe/vectors"
)

// wordRows are rows of words in templates: every word has a random vector of its own, concept words share a direction besides.
func wordRows(words, templates, d int, concept float64) (Rows, Target, Key, Key) {
	target, word, template := grid(words, templates)
	rng := rand.New(rand.NewPCG(91, 92))
	own := make([][]float32, words)
	for w := range own {
		own[w] = normal32(rng, d)
		if w%2 == 1 {
			own[w][0] += float32(concept)
		}
	}
	x := Rows{N: target.Len(), D: d}
	for w := range words {
		for range templates {
			for _, v := range own[w] {
				x.Values = append(x.Values, v+float32(0.3*rng.NormFloat64()))
			}
		}
	}
	return x, target, word, template
}

// TestSelectivity: with as many dimensions as words a probe remembers words, so that accuracy on seen words says nothing: the
// control task shows it. Held-out words show what is the concept's.
func TestSelectivity(t *testing.T) {
	x, target, word, template := wordRows(40, 12, 64, 3)
	control, err := ControlTask(target, word, 3)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := HoldOut(target.Labelled(), []Key{template}, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := func(target Target, s Split) float64 {
		fits, err := DefaultMethod(MethodLogistic).Fit(t.Context(), x.Take(s.Train), []Target{target.Take(s.Train)}, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := fits[0].Scores(x.Take(s.Test))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Evaluate(t.Context(), target.Take(s.Test), scores, nil, DefaultIntervals(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return m.Accuracy.Value
	}
	held, err := HoldOut(target.Labelled(), []Key{word}, 0.3, 1)
	if err != nil {
		t.Fatal(err)
	}
	concept, memory, unseen := accuracy(target, seen), accuracy(control, seen), accuracy(target, held)
	t.Logf("seen words: concept %.3f, control task %.3f, selectivity %.3f; unseen words: concept %.3f", concept, memory, concept-memory, unseen)
	if memory < 0.9 || concept-memory > 0.1 || unseen < 0.7 {
		t.Error("the control task must be solved by memory, and the concept be read from unseen words")
	}
	few, _, _, _ := wordRows(40, 12, 4, 3)
	x = few
	if memory := accuracy(control, seen); memory > 0.8 {
		t.Errorf("in 4 dimensions 40 words cannot be remembered, but the control task is solved to %.3f", memory)
	}
}

func TestControlTaskLabelsTypes(t *testing.T) {
	target, word, _ := grid(30, 5)
	c, err := ControlTask(target, word, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Counts(), target.Counts(); !slices.Equal(got, want) {
		t.Errorf("class counts %v, want %v", got, want)
	}
	group := word.Numbers()
	if !uniform(c, c.Labelled(), gathered(group)) {
		t.Error("a word has two labels")
	}
	if slices.Equal(c.Class, target.Class) {
		t.Error("the control task is the task")
	}
	if _, err := ControlTask(target, Key{Name: "all", Values: slices.Repeat([]string{"x"}, 150)}, 1); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("one type: %v", err)
	}
	if _, err := ControlTask(NewRegression("t", make([]float64, 150)), word, 1); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("regression: %v", err)
	}
}

func TestShuffledLabels(t *testing.T) {
	target, word, template := grid(20, 5)
	byWord := ShuffledLabels(target, word.Numbers(), 1)
	if !uniform(byWord, byWord.Labelled(), gathered(word.Numbers())) || !slices.Equal(byWord.Counts(), target.Counts()) {
		t.Error("shuffled by word, words must keep one label, as many of each class as before")
	}
	byRow := ShuffledLabels(target, template.Numbers(), 1) // templates have both labels
	if uniform(byRow, byRow.Labelled(), gathered(word.Numbers())) || !slices.Equal(byRow.Counts(), target.Counts()) {
		t.Error("shuffled by row, words must mix")
	}
	part := masked(target, []int{0, 1, 2})
	if s := ShuffledLabels(part, nil, 2); !slices.Equal(s.Labelled(), part.Labelled()) || &s.Class[0] == &part.Class[0] {
		t.Error("rows without a label must keep none")
	}
	numbers := NewRegression("t", []float64{1, 2, math.NaN(), 4})
	s := ShuffledLabels(numbers, nil, 3).Value
	if !math.IsNaN(s[2]) || s[0]+s[1]+s[3] != 7 {
		t.Errorf("shuffled numbers %v", s)
	}
}

// TestOnlineCode: a concept that is easy to read takes fewer bits than a faint one, and that fewer than shuffled labels, which
// take about as many as without a probe.
func TestOnlineCode(t *testing.T) {
	easy, target, _, _ := wordRows(100, 4, 10, 8)
	faint, _, _, _ := wordRows(100, 4, 10, 2)
	shuffled := ShuffledLabels(target, nil, 1)
	bits := func(x Rows) []CodeLength {
		c, err := OnlineCode(t.Context(), DefaultMethod(MethodLogistic), x, []Target{target, shuffled}, DefaultMDL(), 1)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a, b := bits(easy), bits(faint)
	t.Logf("bits for 400 labels: easy %.0f, faint %.0f, shuffled %.0f and %.0f; compression %.2f, %.2f", a[0].Bits, b[0].Bits, a[1].Bits, b[1].Bits, a[0].Compression, b[0].Compression)
	if !(a[0].Bits < 0.7*b[0].Bits && b[0].Bits < 0.9*b[1].Bits) || a[1].Compression > 1 || a[0].Uniform != 400 {
		t.Errorf("code lengths %+v and %+v", a, b)
	}
	sum := 0.0
	for _, v := range a[0].Blocks {
		sum += v
	}
	if math.Abs(sum-a[0].Bits) > 1e-9 || a[0].Blocks[0] != 6 {
		t.Errorf("blocks %v sum to %v, want %v with the first of 6 rows coded uniformly", a[0].Blocks, sum, a[0].Bits)
	}
	if _, err := OnlineCode(t.Context(), DefaultMethod(MethodRidge), easy, []Target{target}, DefaultMDL(), 1); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a method without probabilities: %v", err)
	}
}

// TestOnlineCodeByHand: activations that do not tell the classes leave the code at the labels' own: the first block is coded
// uniformly, the second by a probe whose only weight is the bias, log-odds 1/3 to 2/3.
func TestOnlineCodeByHand(t *testing.T) {
	x := Rows{N: 6, D: 1, Values: []float32{1, -1, 1, -1, 1, -1}}
	target := Target{Name: "y", Task: Binary, Class: []int{1, 1, 0, 0, 1, 1}, Classes: []string{"n", "p"}}
	m := DefaultMethod(MethodLogistic)
	m.Logistic = LogisticConfig{C: 1e-6, Tolerance: 1e-9}
	got, err := blockBits(t.Context(), m, x, []Target{target}, []int{1, 2, 0}, []int{3, 4}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := -math.Log2(1.0/3) - math.Log2(2.0/3); math.Abs(got[0]-want) > 1e-4 {
		t.Errorf("%v bits, want %v", got[0], want)
	}
	none, err := blockBits(t.Context(), m, x, []Target{target}, []int{0, 1}, []int{2, 3}, 1)
	if err != nil || none[0] != 2 {
		t.Errorf("%v bits where one class has not been seen, %v; want 2", none, err)
	}
}

func TestBagOfWords(t *testing.T) {
	texts := []string{"The cat sat.", "the dog; the cat", "A dog", "the cat and the bird"}
	x, words, err := BagOfWords(texts, []int{0, 1, 2}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(words, []string{"cat", "dog", "the"}) || !slices.Equal(x.Values, []float32{1, 0, 1, 1, 1, 2, 0, 1, 0, 1, 0, 2}) {
		t.Errorf("words %v, counts %v", words, x.Values)
	}
	if _, _, err := BagOfWords([]string{"one", "two"}, []int{0, 1}, 5); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("no common word: %v", err)
	}
	ids, vocabulary, err := BagOfTokens([][]int32{{5, 7, 5}, {7}}, []int{0, 1}, 5)
	if err != nil || !slices.Equal(vocabulary, []int32{7}) || !slices.Equal(ids.Values, []float32{1, 1}) {
		t.Errorf("tokens %v, %v, %v", vocabulary, ids, err)
	}
	if l := Lengths([]int{0, 9}); l.Values[0] != 0 || math.Abs(float64(l.Values[1])-math.Log(10)) > 1e-6 {
		t.Errorf("lengths %v", l)
	}
}
