package conceptcircuits

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestWorld: every concept has a name of its own, pairs ask for different values and keep the relation, and half of the second stage's
// concepts share their first part with one of the first stage's.
func TestWorld(t *testing.T) {
	c := newConfig().(*Config)
	w := newWorld(c)
	names := map[[2]int32]bool{}
	for _, n := range w.names {
		names[n] = true
	}
	kin := 0
	for _, k := range w.kin {
		if k {
			kin++
		}
	}
	if len(names) != c.Concepts || kin != c.Concepts/4 {
		t.Errorf("%d names of %d concepts, %d of the first stage share a part", len(names), c.Concepts, kin)
	}
	p, err := w.pairs(c.Concepts - 1)
	if err != nil {
		t.Fatal(err)
	}
	for r := range p.Rows {
		row := func(x []int32) []int32 { return x[r*askLen : (r+1)*askLen] }
		if row(p.Clean)[3] != row(p.Corrupted)[3] || row(p.Clean)[3] != w.relationToken(r/c.Foils) {
			t.Errorf("row %d asks for %v and %v", r, row(p.Clean), row(p.Corrupted))
		}
		if p.Answer[r][0] == p.Wrong[r][0] || p.Answer[r][0] != w.value[c.Concepts-1][r/c.Foils] || int(p.Answer[r][0]) >= c.vocab() {
			t.Errorf("row %d: answer %v, foil %v", r, p.Answer[r], p.Wrong[r])
		}
	}
	if e := w.exposure(); len(e) != c.Concepts || e[0] < 1 || e[0] > c.Exposure {
		t.Errorf("exposures %v", e)
	}
}

// TestStudy: a small run; circuits keep the share that they must, random ones of their size do not, and what the first circuits
// compiled serves all later ones.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), nil, "concepts=12", "size.layers=2", "size.d_model=32", "size.heads=2", "relations=2", "values=4", "train.steps=120", "train.lr=0.005", "batch=32", "checkpoints=2")
	if v := studytest.Number(t, r, "faithfulness.circuit"); v.Value < 0.7 {
		t.Errorf("circuits keep %v", v.Value)
	}
	if own, random := studytest.Number(t, r, "faithfulness.circuit").Value, studytest.Number(t, r, "faithfulness.random").Value; random > own-0.2 {
		t.Errorf("random circuits keep %.2f, concepts' circuits %.2f", random, own)
	}
	if v := studytest.Number(t, r, "programs.later").Value; v != 0 {
		t.Errorf("%v programs were compiled after the first circuits", v)
	}
}
