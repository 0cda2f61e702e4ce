package omniprism

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestGrid: no test text shares its cell or its template with a training text, and every object and style is in both.
func TestGrid(t *testing.T) {
	c := newConfig().(*Config)
	g := c.grid()
	if len(g.texts) != len(c.Objects)*len(c.Styles)*len(c.Templates) {
		t.Fatalf("%d texts", len(g.texts))
	}
	cells, seen := map[int]bool{}, [2][2]map[int]bool{}
	for split, rows := range [][]int{g.train, g.test} {
		for a := range aspects {
			seen[split][a] = map[int]bool{}
			for _, r := range rows {
				seen[split][a][g.labels[a][r]] = true
			}
			if len(seen[split][a]) != 12 {
				t.Errorf("split %d has %d of 12 kinds of %s", split, len(seen[split][a]), aspects[a])
			}
		}
	}
	for _, r := range g.train {
		cells[g.cell[r]] = true
	}
	for _, r := range g.test {
		if cells[g.cell[r]] || r%len(c.Templates) != len(c.Templates)-1 {
			t.Errorf("text %d is of a training cell or template", r)
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
