package erase

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// Request says what a closed form erases and what it keeps.
type Request struct {
	Concepts *mat.Dense // [n, d]
	Anchors  *mat.Dense // [n, d], what each concept becomes; [1, d]: all of them
	Preserve *mat.Dense // [m, d]; nil: nothing is preserved but by Prior and lambda
	Prior    *Prior     // nil: none
	HeldOut  *mat.Dense // [h, d], only measured; nil: none
}

// check returns the request with an anchor for each concept.
func (r Request) check() (Request, error) {
	n, d, err := checkRows("concepts", r.Concepts, 0)
	if err != nil {
		return r, err
	}
	a, _, err := checkRows("anchors", r.Anchors, d)
	if err != nil {
		return r, err
	}
	if a == 1 && n > 1 {
		all := mat.NewDense(n, d, nil)
		for i := range n {
			all.SetRow(i, r.Anchors.RawRowView(0))
		}
		r.Anchors, a = all, n
	}
	if a != n {
		return r, fmt.Errorf("erase: %d anchors for %d concepts: %w; give one for each or one for all", a, n, vectors.ErrShape)
	}
	for i := range n {
		c := r.Concepts.RawRowView(i)
		if floats.Norm(c, 2) == 0 {
			return r, fmt.Errorf("erase: concept %d is zero: %w; an edit cannot see it", i, vectors.ErrArgument)
		}
		if floats.Distance(c, r.Anchors.RawRowView(i), 2) <= 1e-12*floats.Norm(c, 2) {
			return r, fmt.Errorf("erase: concept %d: %w: nothing would be erased; choose another anchor", i, ErrAnchor)
		}
	}
	if r.Preserve != nil {
		if _, _, err := checkRows("preserved rows", r.Preserve, d); err != nil {
			return r, err
		}
	}
	if r.HeldOut != nil {
		if _, _, err := checkRows("held-out rows", r.HeldOut, d); err != nil {
			return r, err
		}
	}
	return r, r.Prior.check(d)
}

// kept are the preserved rows times the square root of their scale.
func (r Request) kept(scale float64) *mat.Dense {
	if r.Preserve == nil || scale == 0 {
		return nil
	}
	var out mat.Dense
	out.Scale(math.Sqrt(scale), r.Preserve)
	return &out
}

// Errors are relative errors of edited outputs: |got - want| / |want| in the Frobenius norm.
type Errors struct {
	Erased   float64 `json:"erased"`   // of the concepts against their targets
	Preserve float64 `json:"preserve"` // of the preserved rows against what they were; 0 without any
	HeldOut  float64 `json:"held_out"` // of the held-out rows against what they were; 0 without any
}

// Measure compares an edited matrix [o, d] with the one before on a request, whose concepts should have become targets [n, o].
func Measure(before, after, targets *mat.Dense, r Request) (Errors, error) {
	r, err := r.check()
	if err != nil {
		return Errors{}, err
	}
	n, d := r.Concepts.Dims()
	o, _, err := checkRows("K/V matrix", before, d)
	if err != nil {
		return Errors{}, err
	}
	if rows, _, err := checkRows("edited K/V matrix", after, d); err != nil || rows != o {
		return Errors{}, fmt.Errorf("erase: K/V matrix [%d, %d] edited to %d rows: %w", o, d, rows, vectors.ErrShape)
	}
	if rows, _, err := checkRows("targets", targets, o); err != nil || rows != n {
		return Errors{}, fmt.Errorf("erase: %d targets for %d concepts: %w", rows, n, vectors.ErrShape)
	}
	e := Errors{Erased: relative(times(r.Concepts, after), targets)}
	if r.Preserve != nil {
		e.Preserve = relative(times(r.Preserve, after), times(r.Preserve, before))
	}
	if r.HeldOut != nil {
		e.HeldOut = relative(times(r.HeldOut, after), times(r.HeldOut, before))
	}
	return e, nil
}

// times is x W' for rows x [n, d] and w [o, d].
func times(x, w *mat.Dense) *mat.Dense {
	var y mat.Dense
	y.Mul(x, w.T())
	return &y
}

// relative is |got - want| / |want|, Frobenius; Inf where want is zero and got is not.
func relative(got, want *mat.Dense) float64 {
	var gap mat.Dense
	gap.Sub(got, want)
	miss := mat.Norm(&gap, 2)
	if miss == 0 {
		return 0
	}
	return miss / mat.Norm(want, 2)
}
