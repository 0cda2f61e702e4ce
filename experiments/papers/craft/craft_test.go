package craft

import (
	"testing"

	"loupe/internal/lab"
	"loupe/internal/study/studytest"
)

// TestStudy: a small run keeps what holds for any budget: maps sum to codes, cosines beat those of shuffled topics, and orders by
// importance beat random ones.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "topics=[animals, music, sport]", "sentences=2", "train=24", "held_out=6", "concepts=4", "scored=2", "sobol_points=8",
		"ig_points=2", "random=2", "strongest=12", "parts=2", "mapped=2", "layer=5")
	if gap := studytest.Number(t, r, "map.sum_gap").Value; !(gap <= 1e-6) {
		t.Errorf("a map misses its code by %v", gap)
	}
	if got, control := studytest.Number(t, r, "nmf.cosine").Value, studytest.Number(t, r, "nmf.shuffled_cosine").Value; !(got > control) {
		t.Errorf("cosine %v with the topics, %v with shuffled ones", got, control)
	}
	if gain := studytest.Number(t, r, "occlusion.deletion_gain").Value; !(gain > 0) {
		t.Errorf("occlusion gains %v over random orders", gain)
	}
	if even, layer := studytest.Number(t, r, "map.even.sentence").Value, studytest.Number(t, r, "map.input.sentence").Value; !(layer > even) {
		t.Errorf("%v of the map lies in the sentence, %v of the tokens", layer, even)
	}
}

// TestCompose: every text has sentences of different topics, and its words and ends lie where the sentences are.
func TestCompose(t *testing.T) {
	c := newConfig().(*Config)
	c.Words, c.Train, c.HeldOut = 0, 12, 6
	all, err := lab.ConceptSentences(c.Topics, c.Train, c.HeldOut, c.Seed)
	if err != nil {
		t.Fatal(err)
	}
	for _, held := range []bool{false, true} {
		got, err := compose(c, all, held)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{false: 18, true: 9}[held]; len(got.text) != want {
			t.Errorf("held %v: %d texts, want %d: every sentence once", held, len(got.text), want)
		}
		for i, text := range got.text {
			letters, seen, from := []rune(text), map[int]bool{}, 0
			for j, k := range got.topics[i] {
				if seen[k] {
					t.Errorf("text %d has topic %d twice", i, k)
				}
				seen[k] = true
				sentence := string(letters[from:got.ends[i][j]])
				word := string(letters[got.words[i][j][0][0]:got.words[i][j][0][1]])
				found := false
				for _, s := range all {
					for at, item := range s.Items {
						found = found || s.Concept == c.Topics[k] && s.Texts[at] == sentence && item.Word == word
					}
				}
				if !found {
					t.Fatalf("text %d, sentence %d: %q with %q is no sentence about %s", i, j, sentence, word, c.Topics[k])
				}
				from = got.ends[i][j] + 1
			}
		}
		c.Words = 3
		if got, err = compose(c, all, held); err != nil {
			t.Fatal(err)
		}
		for i, text := range got.text {
			letters, from := []rune(text), 0
			for j, end := range got.ends[i] {
				var words []string
				for _, w := range got.words[i][j] {
					words = append(words, string(letters[w[0]:w[1]]))
				}
				if len(words) != 3 || words[0]+", "+words[1]+" and "+words[2]+"." != string(letters[from:end]) {
					t.Fatalf("text %d, sentence %d: words %q in %q", i, j, words, text)
				}
				from = end + 1
			}
		}
		c.Words = 0
	}
}
