package semanticinputs

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"loupe/internal/config"
	"loupe/internal/study/studytest"
	"loupe/probe/text"
)

// TestStudy carries the study out on one pair with few texts.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "first=[sport]", "second=[law]", "phi=[1, 0]", "train=40", "held_out=4", "audited=2", "steps=6")
	for _, name := range []string{"ig.share_phi0", "ig.share_phi1", "loo.share_phi0", "loo.rival_phi1", "accuracy.apart_phi0"} {
		if m := studytest.Number(t, r, name); m.Value < 0 || m.Value > 1 || m.Low == nil {
			t.Errorf("%s is %+v", name, m)
		}
	}
	if missed := studytest.Number(t, r, "ig.missed").Value; missed > 0.2 {
		t.Errorf("integrated gradients miss %.2f of the change", missed)
	}
	if a, b := studytest.Number(t, r, "accuracy.apart_phi1").Value, studytest.Number(t, r, "accuracy.apart_phi0").Value; a > b {
		t.Errorf("accuracy where the concepts are apart: %.2f learned together, %.2f apart", a, b)
	}
}

// TestPlant: spans hold the concepts' words, held-out words are new, and cells are what they say.
func TestPlant(t *testing.T) {
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	p, err := plant(suite, &c, [2]string{"sport", "music"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for part, groups := range [][4][]sentence{p.train, p.held} {
		for cell, list := range groups {
			for _, s := range list {
				if s.has != cells[cell] {
					t.Fatalf("cell %d has %v", cell, s.has)
				}
				for i := range s.has {
					if !s.has[i] {
						continue
					}
					if got := string([]rune(s.text)[s.span[i][0]:s.span[i][1]]); got != s.word[i] {
						t.Errorf("%q: span holds %q and not %q", s.text, got, s.word[i])
					}
					if part == 0 {
						used[s.word[i]] = true
					} else if used[s.word[i]] {
						t.Errorf("held-out word %q is in training", s.word[i])
					}
				}
				if strings.Contains(s.text, "%") {
					t.Error(s.text)
				}
			}
		}
	}
	words := [][]string{{"a"}, {"b"}, {"first", "second", "third"}}
	s := compose(rand.New(rand.NewPCG(1, 1)), words, [2]bool{})
	for _, w := range words[2] { // fillers differ
		if strings.Count(s.text, w) != 1 {
			t.Error(s.text)
		}
	}
}

// TestSizes: the cells give the correlation that is asked for, and half of the texts have either concept.
func TestSizes(t *testing.T) {
	for phi, want := range map[float64][4]int{1: {100, 0, 0, 100}, 0: {50, 50, 50, 50}, 0.5: {75, 25, 25, 75}} {
		got := sizes(200, phi)
		if got != want || correlation(got) != phi {
			t.Errorf("phi %v: %v with %v", phi, got, correlation(got))
		}
	}
	if got := sizes(40, 0.9); !slices.Equal(got[:], []int{19, 1, 1, 19}) {
		t.Error(got)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, set := range []string{"phi=[1]", "phi=[0.5, 0]", "phi=[1, 0.2, 0.5, 0]", "train=10", "audited=26", "steps=0", "fillers=[]", "first=[law]", "model="} {
		if _, err := config.Load([]config.Kind{Study().Kind}, config.Input{Path: "config.yaml", Set: []string{set}}); err == nil {
			t.Errorf("%s is taken", set)
		}
	}
}
