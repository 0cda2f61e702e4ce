package sliders

import (
	"math"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/study/studytest"
	"loupe/probe/text"
)

// TestStudy: in a small run a slider moves its concept's words up with the dose, and a random direction of its length does less.
func TestStudy(t *testing.T) {
	if graphtest.IsGo(t) {
		t.Skip("minutes on the pure Go backend")
	}
	r := studytest.Run(t, Study(), []string{"smollm2"}, "pairs=10", "prompts=4", "doses=[-8,0,8]", "generated=[0,8]", "max_new=2")
	for _, c := range []string{"food", "animals", "music"} {
		slope, random := studytest.Number(t, r, c+".native.slope").Value, studytest.Number(t, r, c+".native.random_slope").Value
		if slope <= math.Abs(random) {
			t.Errorf("%s: slope %v, of a random direction %v", c, slope, random)
		}
		if one := studytest.Number(t, r, c+".native.transfer").Value; math.Abs(one-1) > 1e-12 {
			t.Errorf("%s: the native slope over itself is %v", c, one)
		}
	}
}

// TestBeginnings: what stands before the word, of templates with three words before it, each once.
func TestBeginnings(t *testing.T) {
	items := []text.Labelled{
		{Text: "She wrote about the cat.", Span: [2]int{20, 23}}, {Text: "She wrote about the dog.", Span: [2]int{20, 23}}, {Text: "Cats sleep.", Span: [2]int{0, 4}}, {Text: "He talked of a cat.", Span: [2]int{15, 18}},
	}
	got := beginnings(items, 5)
	if len(got) != 2 || got[0] != "She wrote about the" || got[1] != "He talked of a" {
		t.Errorf("%q", got)
	}
}
