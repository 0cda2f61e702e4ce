package continual_test

import (
	"context"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/continual"
	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/method"
	"loupe/probe/model"
)

// stretch is a method that scales one axis for each concept that it erases.
func stretch(seen *[][]string) method.Method {
	return method.Method{Name: "stretch", Fit: func(_ context.Context, e *encoder.Encoder, t *method.Task, _ any) (*encoder.Variant, error) {
		left, right := mat.NewDense(3, len(t.Erase), nil), mat.NewDense(3, len(t.Erase), nil)
		var names []string
		for i, c := range t.Erase {
			axis := int(c.Name[0] - 'a')
			left.Set(axis, i, 1)
			right.Set(axis, i, 1)
			names = append(names, c.Name)
		}
		*seen = append(*seen, names)
		return &encoder.Variant{Name: "stretch", Hook: encoder.Linear{Map: &erase.Map{Left: left, Right: right}}, Layer: e.Layers()}, nil
	}}
}

// TestSequence: by hand, two maps diag(2, 1, 1) and diag(1, 2, 1) follow each other: |E - I| is 1, then sqrt(2), as of the joint fit; with replay
// the first axis is stretched twice, to 4, so that |E - I| is sqrt(9 + 1).
func TestSequence(t *testing.T) {
	e := &encoder.Encoder{Model: &model.Model{Name: "tiny", Spec: &model.Spec{DModel: 3, Layers: 2}}, Pool: "mean"}
	task := &method.Task{Erase: make([]method.Target, 2)}
	task.Erase[0].Name, task.Erase[1].Name = "a", "b"
	measure := continual.Measures{
		Request: func(_ context.Context, v *encoder.Variant, j int) (float64, error) {
			x := mat.NewDense(1, 3, []float64{1, 1, 1})
			y, _, err := v.Hook.Apply(erase.Text{X: x, Length: 1})
			if err != nil {
				return 0, err
			}
			return y.At(0, j), nil
		},
		Kept: func(context.Context, *encoder.Variant) (float64, error) { return 1, nil },
	}
	for _, c := range []struct {
		replay bool
		fits   int
		first  float64 // what became of axis 0 after both
		delta  float64
	}{{false, 1, 2, math.Sqrt2}, {true, 2, 4, math.Sqrt(10)}} {
		var seen [][]string
		r, err := continual.Run(t.Context(), e, stretch(&seen), nil, task, measure, continual.Options{Replay: c.replay})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Relapse) != 2 || r.Relapse[0][0] != 2 || r.Relapse[1][0] != c.first || r.Relapse[1][1] != 2 || r.RelapseJoint[1][0] != 2 {
			t.Errorf("replay %v: relapse %v, joint %v", c.replay, r.Relapse, r.RelapseJoint)
		}
		if r.Delta[0] != 1 || math.Abs(r.Delta[1]-c.delta) > 1e-12 || math.Abs(r.DeltaJoint[1]-math.Sqrt2) > 1e-12 {
			t.Errorf("replay %v: |E - I| %v, joint %v", c.replay, r.Delta, r.DeltaJoint)
		}
		if len(seen[2]) != c.fits {
			t.Errorf("replay %v: the second request erased %v", c.replay, seen[2])
		}
	}
	task.Erase = task.Erase[:1]
	if _, err := continual.Run(t.Context(), e, method.Method{}, nil, task, measure, continual.Options{}); err == nil {
		t.Error("one request was taken for a sequence")
	}
}
