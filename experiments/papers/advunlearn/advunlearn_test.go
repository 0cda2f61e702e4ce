package advunlearn

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: retained prompts lie nearer to what they were than under ESD, and attack rates are rates.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog]", "grid=1", "task.benign=8", "task.held_out=8", "descent.steps=12", "descent.lr=0.05",
		"methods=[{name: nothing}, {name: random-subspace}, {name: esd}, {name: advunlearn, settings: [train.steps=14, warmup=10, attack.steps=2]}]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("advunlearn.retain_cos") <= number("esd.retain_cos") {
		t.Errorf("retained prompts at cosine %v, under ESD %v", number("advunlearn.retain_cos"), number("esd.retain_cos"))
	}
	for _, name := range []string{"esd.soft_1", "esd.soft_5", "advunlearn.soft_1", "advunlearn.soft_5"} {
		if v := number(name); v < 0 || v > 1 {
			t.Errorf("%s is %v", name, v)
		}
	}
}
