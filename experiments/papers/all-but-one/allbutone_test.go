package allbutone

import (
	"slices"
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: the empty text moves less with its term than without.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog]", "grid=1", "task.benign=8", "task.held_out=8",
		"methods=[{name: nothing}, {name: random-subspace}, {name: esd, settings: [train.steps=4]}, {name: all-but-one, settings: [train.steps=30]}, {name: all-but-one, label: all-but-one-free, settings: [lambda=0]}]")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("all_but_one.null_drift") >= number("all_but_one_free.null_drift") {
		t.Errorf("the empty text moves by %v with its term, %v without", number("all_but_one.null_drift"), number("all_but_one_free.null_drift"))
	}
}

// TestShared: what twins begin and end with.
func TestShared(t *testing.T) {
	if got := shared([]int32{1, 5, 6, 9, 2}, []int32{1, 7, 9, 2}); !slices.Equal(got, []bool{true, false, false, true, true}) {
		t.Errorf("%v", got)
	}
	if got := shared([]int32{1, 2}, []int32{1, 2}); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("%v", got)
	}
}
