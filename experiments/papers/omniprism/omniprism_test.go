package omniprism

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestGrid: no test text shares its template with a training text, and every cell is in both, so that aspects are independent.
func TestGrid(t *testing.T) {
	c := newConfig().(*Config)
	g := c.grid()
	if len(g.texts) != len(c.Objects)*len(c.Styles)*len(c.Templates) {
		t.Fatalf("%d texts", len(g.texts))
	}
	for split, rows := range [][]int{g.train, g.test} {
		count := map[int]int{}
		for _, r := range rows {
			count[g.cell[r]]++
			if last := r%len(c.Templates) == len(c.Templates)-1; last != (split == 1) {
				t.Errorf("text %d is on the wrong side", r)
			}
		}
		if len(count) != 144 {
			t.Errorf("split %d has %d of 144 cells", split, len(count))
		}
	}
}

// TestStudy: a small run; the term makes the heads' outputs more orthogonal, and random heads are near chance in nothing.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "objects=[dog, castle, train, balloon]", "styles=[cubism, mosaic, etching, pixel art]", "seeds=1", "heads.steps=100", "heads.learning_rate=0.003")
	with, without := studytest.Number(t, r, "orthogonal.cosine").Value, studytest.Number(t, r, "contrastive.cosine").Value
	if !(with < without) {
		t.Errorf("|cos| of the heads %v with and %v without the term", with, without)
	}
	for _, name := range []string{"orthogonal.content", "orthogonal.style", "contrastive.content", "contrastive.style"} {
		if v := studytest.Number(t, r, name).Value; v < 0.8 {
			t.Errorf("%s %v", name, v)
		}
	}
}
