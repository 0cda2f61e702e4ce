package eraseandrediscover

import (
	"math"
	"testing"

	"loupe/circuits"
	"loupe/internal/study/studytest"
)

// TestStudy: a small run on the last two blocks: the cut model is the model, LEACE takes more of the effect than a random direction does, and
// nothing else than the noise of resampling separates a random erasure's circuit from the one before.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"smollm2"}, "layer=28", "prompts=40", "rows=6", "steps=2", "edges=60", "resamples=20", "latents=4",
		"text.tokens=800", "text.max_length=16", "text.eval=50", "sae.tokens=1000", "sae.d_sae=192", "sae.batch=200", "sae.init_rows=512")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if gap := number("cut_gap"); gap > 0.01 {
		t.Errorf("the cut model's losses are %v from the model's", gap)
	}
	if number("leace.kept") >= number("random.kept") {
		t.Errorf("LEACE keeps %v of the effect, a random direction's erasure %v", number("leace.kept"), number("random.kept"))
	}
	for _, name := range []string{"leace", "random", "clamp", "clamp_random"} {
		if j := number(name + ".jaccard"); j < 0 || j > 1 {
			t.Errorf("%s: Jaccard index %v", name, j)
		}
	}
}

// TestCompare: of two models whose scores are the same there is no rerouting beyond the floor, and of two whose prompts all agree on other edges it
// is 1; a head that gains in every row is a backup, and one that only stops
// working against the task is none.
func TestCompare(t *testing.T) {
	g, err := circuits.NewEdgeGraph(2, 2, false)
	if err != nil {
		t.Fatal(err)
	}
	scores := func(u string, size float64) *found {
		s := &circuits.Scores{Graph: g, Rows: 8, Values: make([]float64, 8*g.Size())}
		at, err := g.Sender(u)
		if err != nil {
			t.Fatal(err)
		}
		for r := range 8 {
			s.Values[r*g.Size()+at*len(g.Receivers)+len(g.Receivers)-1] = size + float64(r)/100
		}
		f := &found{scores: s}
		f.circuit = circuits.Greedy(g, s.Mean(), 1)
		return f
	}
	c := &Config{Edges: 1, Resamples: 40}
	before, after := scores("a0.h1", 1), scores("a1.h0", 2)
	same, err := compare(before, before, c)
	if err != nil {
		t.Fatal(err)
	}
	other, err := compare(before, after, c)
	if err != nil {
		t.Fatal(err)
	}
	if same.gap.Value != 0 || math.Abs(other.gap.Value-1) > 1e-12 || len(other.gained) != 1 || len(other.lost) != 1 || g.Name(other.gained[0]) != "a1.h0->logits" {
		t.Errorf("gap %v and %v, gained %v, lost %v", same.gap, other.gap, other.gained, other.lost)
	}
	heads, err := backups(t.Context(), before, after, 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(heads) != 1 || g.Senders[heads[0].sender] != "a1.h0" || math.Abs(heads[0].growth.Value-2.035) > 1e-9 {
		t.Errorf("backup heads %+v", heads)
	}
	if heads, err = backups(t.Context(), scores("a0.h1", -1), scores("a0.h1", 0.1), 1); err != nil || len(heads) != 0 {
		t.Errorf("a head that falls silent: %+v, %v", heads, err)
	}
	if got := lift("a1.h0<q>", 20) + " " + lift("m3", 20) + " " + lift("input", 20); got != "a21.h0<q> m23 input" {
		t.Errorf("%s", got)
	}
}
