package cgbc

import (
	"slices"
	"testing"

	"loupe/internal/config"
	"loupe/internal/study/studytest"
	"loupe/internal/topictext"
	"loupe/probe/text"
)

// TestStudy carries the study out on a few texts of four topics.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "data.topics=[sport, music, law, weather]", "data.phrases=10", "data.train=10", "data.held_out=6", "seeds=1",
		"chosen=4", "draws=2")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("mean.accuracy") < 0.6 || number("mean.accuracy") < number("mean.names_shuffled") { // chance is 1/4
		t.Errorf("accuracy %.2f, names shuffled %.2f", number("mean.accuracy"), number("mean.names_shuffled"))
	}
	if number("dpp.cosine_below_random") <= 0 {
		t.Errorf("the DPP's concepts are more alike than random ones, by %v", -number("dpp.cosine_below_random"))
	}
	for _, name := range []string{"dpp.outliers", "quality.outliers"} {
		if v := number(name); v < 0 || v > 0.5 { // 2 of 10 in the pool, 4 are chosen
			t.Errorf("%s is %v", name, v)
		}
	}
}

// TestPool: each condition replaces as many phrases as it says, by phrases of the kind that it says.
func TestPool(t *testing.T) {
	suite, err := text.NewSuite()
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	data, err := topictext.Generate(suite, c.Data, 1)
	if err != nil {
		t.Fatal(err)
	}
	words, err := foreignWords(suite, c.Foreign)
	if err != nil {
		t.Fatal(err)
	}
	p := &panel{cfg: &c, data: data, foreign: words, seed: 1}
	for condition, want := range map[string]int{clean: 0, foreign: 14 * 4, mislabel: 14 * 4, uneven: 7 * 8, unevenMix: 7 * 8, namesMixed: 0} {
		got := p.pool(condition)
		outliers := 0
		for i, is := range got.outlier {
			switch {
			case !is && condition != namesMixed && got.phrases[i] != data.Phrases[i]:
				t.Errorf("%s: phrase %d was replaced unmarked", condition, i)
			case is && (condition == foreign || condition == uneven) && !slices.Contains(words, got.phrases[i]):
				t.Errorf("%s: %q is not foreign", condition, got.phrases[i])
			case is && (condition == mislabel || condition == unevenMix):
				from := slices.Index(data.Phrases, got.phrases[i])
				if from < 0 || data.Of[from] == data.Of[i] {
					t.Errorf("%s: %q is not of another topic", condition, got.phrases[i])
				}
			}
			if is {
				outliers++
			}
		}
		if outliers != want {
			t.Errorf("%s: %d outliers, want %d", condition, outliers, want)
		}
	}
	if got := p.prompts(p.pool(clean), false)[0]; got != "animals such as "+data.Phrases[0] {
		t.Error(got)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, set := range []string{"seeds=0", "chosen=1", "chosen=21", "outliers=0", "uneven=1", "foreign=[]", "prompt=", "data.phrases=0"} {
		if _, err := config.Load([]config.Kind{Study().Kind}, config.Input{Path: "config.yaml", Set: []string{set}}); err == nil {
			t.Errorf("%s is taken", set)
		}
	}
}
