package vectors

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestEraserApply: the row-wise map is x - (x - b) Right' Left' as matrices, in place, into other memory and in float32, for
// ranks below and above what is kept on the stack; the first bad row is named.
func TestEraserApply(t *testing.T) {
	x, y, _ := planted(1, 301, 24, 3, 1)
	z := ok(OneHot(y, 3))(t)
	for name, e := range map[string]*Eraser{"LEACE": ok(FitLEACE(x, z, DefaultLEACE()))(t).Eraser, "rank 11": ok(RandomProjection(24, 11, 1))(t), "rank 0": projection(nil, make([]float64, 24))} {
		want := mat.DenseCopyOf(x)
		if e.Rank() > 0 {
			var score, change mat.Dense
			score.Mul(centred(x, e.Bias), e.Right.T())
			change.Mul(&score, e.Left.T())
			want.Sub(want, &change)
		}
		closeTo(t, name, flat(ok(e.Apply(x))(t)), flat(want), 1e-12)
		inPlace := mat.DenseCopyOf(x)
		if err := e.ApplyTo(inPlace, inPlace); err != nil {
			t.Fatal(err)
		}
		closeTo(t, name+" in place", flat(inPlace), flat(want), 1e-12)
		narrow := float32s(flat(x))
		if err := e.ApplyFloat32(narrow, narrow); err != nil {
			t.Fatal(err)
		}
		for i, v := range flat(want) {
			if math.Abs(float64(narrow[i])-v) > 2e-5*(1+math.Abs(v)) { // rows of norm 5 in float32, 11 directions
				t.Fatalf("%s: float32 value %d is %v, want %v", name, i, narrow[i], v)
			}
		}
		for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
			broken := mat.DenseCopyOf(x)
			broken.Set(200, 3, bad)
			broken.Set(7, 23, bad)
			_, err := e.Apply(broken)
			err32 := e.ApplyFloat32(narrow, float32s(flat(broken)))
			for _, err := range []error{err, err32} {
				if !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "row 7 ") {
					t.Errorf("%s with %v in row 7: error %v", name, bad, err)
				}
			}
		}
	}
	if err := projection(nil, make([]float64, 4)).ApplyFloat32(make([]float32, 6), make([]float32, 6)); !errors.Is(err, ErrShape) {
		t.Errorf("six values for rows of four: %v", err)
	}
}
