package allbutone

import (
	"slices"
	"testing"

	"loupe/internal/study/studytest"
)

// TestStudy: the empty text moves less with its term than without, and the context less than under ESD at a rate that erases.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "task.erase=[dog]", "grid=1", "task.benign=8", "task.held_out=8")
	number := func(name string) float64 { return studytest.Number(t, r, name).Value }
	if number("all_but_one.null_drift") >= number("all_but_one_free.null_drift") {
		t.Errorf("the empty text moves by %v with its term, %v without", number("all_but_one.null_drift"), number("all_but_one_free.null_drift"))
	}
	if number("all_but_one.acc_e") >= number("nothing.acc_e") {
		t.Errorf("Acc_e %v of %v", number("all_but_one.acc_e"), number("nothing.acc_e"))
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
