package conceptvectors

import (
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/lab"
	"loupe/internal/study/studytest"
)

// TestLexicon: tokens of the lexicon are the words as they are written; lists end in a word of the concept.
func TestLexicon(t *testing.T) {
	graphtest.Model(t, "smollm2")
	l, err := lab.Open(t.Context(), graphtest.Backend(t), "smollm2", nil, lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lexicon, err := lexiconOf(l.Tokenizer, []string{"dog", "rhinoceros beetle"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, id := range lexicon {
		w, err := l.Tokenizer.Decode([]int32{int32(id)}, false)
		if err != nil {
			t.Fatal(err)
		}
		seen[w] = true
	}
	if !seen[" dog"] || !seen[" dogs"] || !seen["Dog"] || len(seen) > 8 {
		t.Errorf("lexicon %v", seen)
	}
	clozes, err := lab.ListClozes(l.Tokenizer, "animals", 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clozes {
		answer, err := l.Tokenizer.Decode(c.Answer, false)
		if err != nil || len(answer) < 2 || answer[0] != ' ' {
			t.Errorf("answer %q, %v", answer, err)
		}
	}
}

// TestStudy: a small run restores the weights, and finds at most a few decoys.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"smollm2"}, "concepts=[animals, food]", "unrelated=[weather]", "layers=[24]", "k=20", "random=19", "decoys=5", "clozes=2", "counts=[1]", "draws=1")
	if v := studytest.Number(t, r, "restored").Value; v != 1 {
		t.Error("the model has other weights afterwards")
	}
	if v := studytest.Number(t, r, "found.best_purity").Value; v <= 0 || v > 1 {
		t.Errorf("purity %v", v)
	}
}
