package t2izero

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/internal/study/studytest"
	"loupe/probe/token"
)

// TestFill: names and their spans in either order; tokens of a span.
func TestFill(t *testing.T) {
	text, spans := fill("é {B} beside {A}.", [2]string{"dog", "castle"})
	if text != "é a castle beside a dog." || spans != [2][2]int{{20, 23}, {4, 10}} {
		t.Errorf("%q, %v", text, spans)
	}
	s := &encoder.State{Encoding: token.Encoding{Offsets: [][2]int{{0, 0}, {0, 1}, {4, 7}, {7, 10}, {11, 17}}, Special: []bool{true, false, false, false, false}}}
	if got := tokens(s, spans[1]); !slices.Equal(got, []int{2, 3}) {
		t.Errorf("tokens %v", got)
	}
	x, y := mat.NewDense(2, 2, []float64{3, 4, 0, 2}), mat.NewDense(2, 2, []float64{3, 9, 0, 1})
	if got := relative(x, y, []int{0, 1}, []int{0, 1}); got != 0.75 {
		t.Errorf("relative change %v, want (1 + 0.5) / 2", got)
	}
}

// TestStudy: a small run; a correction by nothing would change nothing, shrinking keeps relative leaks, and each change is the
// difference of its two values.
func TestStudy(t *testing.T) {
	r := studytest.Run(t, Study(), []string{"minilm"}, "objects=[dog, castle, train, balloon]", "alphas=[0.1]", "templates=[\"a photo of {A} and {B}\"]")
	for _, edit := range []string{"corrected", "shrunk", "random"} {
		for _, name := range []string{"gap", "leak", "right"} {
			before, after := studytest.Number(t, r, "before."+name).Value, studytest.Number(t, r, edit+"."+name).Value
			if change := studytest.Number(t, r, edit+"."+name+"_change").Value; math.Abs(after-before-change) > 1e-9 {
				t.Errorf("%s.%s: %v to %v and a change of %v", edit, name, before, after, change)
			}
		}
	}
	if v := studytest.Number(t, r, "shrunk.leak_change").Value; math.Abs(v) > 1e-9 {
		t.Errorf("shrinking changes relative leaks by %v", v)
	}
	if v := studytest.Number(t, r, "random.leak_change").Value; v <= 0 {
		t.Errorf("a random move parts the tokens by %v", v)
	}
}
