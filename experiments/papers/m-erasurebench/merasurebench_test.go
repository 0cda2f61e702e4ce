package merasurebench

import (
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy runs the study with a few methods and steps: nothing is erased by nothing, UCE hides the name, and the inverse of its map
// brings every prompt back.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[cow]", "task.benign=16", "task.held_out=8", "methods=[{name: nothing}, {name: random-subspace}, {name: uce}, {name: rece}]", "learn.steps=2", "learn.templates=2")
	for name, want := range map[string]float64{"nothing.text": 1, "nothing.inverse": 1, "uce.text": 0, "uce.inverse": 1, "nothing.control": 0} {
		if got := studytest.Number(t, r, name).Value; got != want {
			t.Errorf("%s is %v, expected %v", name, got, want)
		}
	}
	if studytest.Number(t, r, "nothing.cosine").Value < studytest.Number(t, r, "uce.cosine").Value {
		t.Error("the prototype is nearer where it is erased")
	}
	for _, bad := range []func(*Config){
		func(c *Config) { c.Methods = c.Methods[1:] }, func(c *Config) { c.Task.Erase = nil }, func(c *Config) { c.Learn.Steps = 0 },
	} {
		c := newConfig().(*Config)
		bad(c)
		if c.Validate() == nil {
			t.Errorf("%+v is no error", c)
		}
	}
}
