package erase_test

import (
	"context"
	"errors"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/vectors"
)

// missed is the relative distance of a request's concepts from its anchors under a map.
func missed(t *testing.T, requests []erase.Request) func(*erase.Map, int) (float64, error) {
	return func(m *erase.Map, j int) (float64, error) {
		r := requests[j]
		return get[erase.Errors](t)(erase.Measure(identity(r.Concepts), m.Matrix(), r.Anchors, r)).Erased, nil
	}
}

func identity(x *mat.Dense) *mat.Dense {
	_, d := x.Dims()
	one := mat.NewDense(d, d, nil)
	for i := range d {
		one.Set(i, i, 1)
	}
	return one
}

// TestContinualApart: requests that share no direction do not touch each other: the sequence is the joint fit, and nothing relapses.
func TestContinualApart(t *testing.T) {
	axis := func(i int) *mat.Dense {
		x := mat.NewDense(1, 6, nil)
		x.Set(0, i, 2)
		return x
	}
	requests := []erase.Request{{Concepts: axis(0), Anchors: axis(1)}, {Concepts: axis(2), Anchors: axis(3)}, {Concepts: axis(4), Anchors: axis(5)}}
	c := get[*erase.Continual](t)(erase.EraseContinually(t.Context(), requests, erase.DefaultUCE(), missed(t, requests)))
	for i := range requests {
		if gap := furthest(c.Sequential[i].Matrix(), c.Joint[i].Matrix()); gap > 1e-12 {
			t.Errorf("after request %d the sequence is %.3g off the joint fit", i, gap)
		}
		for j, v := range c.Relapse[i] {
			if v-c.Relapse[j][j] > 1e-12 || v-c.RelapseJoint[i][j] > 1e-12 {
				t.Errorf("request %d after request %d: %v, first %v, joint %v", j, i, v, c.Relapse[j][j], c.RelapseJoint[i][j])
			}
		}
	}
}

// TestContinualRelapse: concepts that share a direction: erasing the second moves the first off its anchor again in the sequence, and
// less in the joint fit.
func TestContinualRelapse(t *testing.T) {
	x := newTexts(21, 48, 4)
	var requests []erase.Request
	for range 4 {
		requests = append(requests, x.request(1, 8))
	}
	c := get[*erase.Continual](t)(erase.EraseContinually(t.Context(), requests, erase.DefaultUCE(), missed(t, requests)))
	first, last, joint := c.Relapse[0][0], c.Relapse[3][0], c.RelapseJoint[3][0]
	t.Logf("error of the first request: %.4f when it was erased, %.4f after three more, %.4f in the joint fit", first, last, joint)
	if last < 1.5*first || joint > last {
		t.Error("expected the sequence to relapse, and the joint fit less")
	}
	requests[2].Prior = get[*erase.Prior](t)(erase.PriorFromRows(x.rows(5)))
	if _, err := erase.EraseContinually(t.Context(), requests, erase.DefaultUCE(), missed(t, requests)); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("two priors: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := erase.EraseContinually(stopped, requests, erase.DefaultUCE(), missed(t, requests)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
