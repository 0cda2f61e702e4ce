package conceptweaver

import (
	"math/rand/v2"
	"strings"
	"testing"

	"loupe/internal/study/studytest"
)

// TestPrompt: each text less its words, by hand; the control drops one word that is no concept.
func TestPrompt(t *testing.T) {
	p := newPrompt("we saw {style} with a {object} in it", [2]string{"dog", "stained glass"}, [2]int{3, 1}, rand.New(rand.NewPCG(1, 1)))
	if p.full != "we saw stained glass with a dog in it" || p.less != [2]string{"we saw stained glass with a in it", "we saw with a dog in it"} {
		t.Errorf("%+v", p)
	}
	if len(strings.Fields(p.control)) != len(strings.Fields(p.full))-1 || !strings.Contains(p.control, "stained glass") || !strings.Contains(p.control, "dog") {
		t.Errorf("control %q", p.control)
	}
}

// TestStudy: a small run; offsets of final states would be found again, rates are shares, and peaks are layers.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "objects=[dog, castle, train]", "styles=[cubism, mosaic, etching]", "templates=[\"today we saw a {object} in the style of {style}\"]",
		"carriers=[\"a picture of something\", \"we saw this today\"]")
	for _, kind := range kindNames {
		if v := studytest.Number(t, r, kind+".peak").Value; v < 0 || v > 6 {
			t.Errorf("peak of %s at layer %v of 6", kind, v)
		}
		if v := studytest.Number(t, r, kind+".steered").Value; v < 0 || v > 1 {
			t.Errorf("%s: steered %v", kind, v)
		}
		if v := studytest.Number(t, r, kind+".above").Value; v <= 0 {
			t.Errorf("%s: removing another word changes as much: %v", kind, v)
		}
	}
}
