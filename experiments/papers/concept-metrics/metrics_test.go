package conceptmetrics

import (
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/internal/lab"
	"loupe/internal/study/studytest"
)

// TestDraw: the words that a text is said to hold stand at their spans.
func TestDraw(t *testing.T) {
	c := Study().Kind.New().(*Config)
	c.Concepts, c.Classes = []string{"animals", "food", "music"}, 2
	all, err := lab.ConceptSentences(c.Concepts, 12, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := &planted{cfg: c, sentences: all, truth: mat.NewDense(2, 3, []float64{1, 1, 0, 0, 1, 1})}
	words := make([]map[string]bool, 3)
	for k, s := range all {
		words[k] = map[string]bool{}
		for _, i := range s.Items {
			if i.Positive {
				words[k][i.Word] = true
			}
		}
	}
	got := p.draw(rand.New(rand.NewPCG(1, 1)), 40, func(s *lab.Sentences) []int { return s.Split.Train })
	for i, text := range got.texts {
		if !got.present[i][got.class[i]] && !got.present[i][got.class[i]+1] {
			t.Errorf("text %d holds no concept of its class", i)
		}
		for k, has := range got.present[i] {
			word := string([]rune(text)[got.spans[i][k][0]:got.spans[i][k][1]])
			if has != words[k][word] {
				t.Errorf("text %d: concept %s: %v, its span holds %q in %q", i, c.Concepts[k], has, word, text)
			}
		}
	}
}

// TestStudy: a small run; shares are shares, and renamed concepts fall to the base rate.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "concepts=[animals, music, weather]", "classes=2", "train=40", "test=20", "pairs=12", "permutations=9")
	for _, name := range []string{"trained.cem", "posthoc.clm", "names.accuracy", "random.cem", "base_rate", "random.clm_chance"} {
		if v := studytest.Number(t, r, name).Value; v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
	// a concept is looked for among the words of its sentence and of one or two others: a word or two of ten to thirty tokens
	if chance := studytest.Number(t, r, "random.clm_chance").Value; chance < 0.02 || chance > 0.25 {
		t.Errorf("share of tokens that are of the concept %v", chance)
	}
}
