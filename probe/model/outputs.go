package model

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
)

// Outputs are the tensors that a program returned. Free them when they are no longer needed.
type Outputs struct {
	tensors map[string]*tensors.Tensor
}

// Logits returns the next-token logits [b,p,v] or [b,t,v], or nil.
func (o *Outputs) Logits() *tensors.Tensor { return o.tensors["logits"] }

// Capture returns a captured tensor, or nil.
func (o *Outputs) Capture(c Capture) *tensors.Tensor { return o.tensors[captureName(c)] }

// Site returns a whole captured site, or nil.
func (o *Outputs) Site(s Site) *tensors.Tensor { return o.tensors[s.String()] }

// Moments returns the count, sum [w] and sum of outer products [w,w] over real tokens of a Moments capture.
func (o *Outputs) Moments(s Site) (count, sum, cross *tensors.Tensor) {
	name := captureName(Capture{s, Moments})
	return o.tensors[name+".count"], o.tensors[name+".sum"], o.tensors[name+".cross"]
}

// Objective returns the objective's value.
func (o *Outputs) Objective() (float32, error) {
	t, ok := o.tensors["objective"]
	if !ok {
		return 0, fmt.Errorf("model: the plan has no objective")
	}
	return tensors.ToScalar[float32](t), nil
}

// ObjectiveRows returns the values [b] of an objective with Rows.
func (o *Outputs) ObjectiveRows() *tensors.Tensor { return o.tensors["objective"] }

// Grad returns the gradient with respect to a site, or nil.
func (o *Outputs) Grad(s Site) *tensors.Tensor { return o.tensors["grad:"+s.String()] }

// GradParam returns the gradient with respect to a parameter, or nil.
func (o *Outputs) GradParam(name string) *tensors.Tensor { return o.tensors["grad:"+name] }

// GradEdit returns the gradient with respect to a run-time tensor of an edit, or nil.
func (o *Outputs) GradEdit(e EditTensor) *tensors.Tensor {
	return o.tensors[fmt.Sprintf("grad:edit.%d.%s", e.Edit, e.Name)]
}

// Free releases the tensors. Views of them must not be used afterwards.
func (o *Outputs) Free() error {
	for name, t := range o.tensors {
		if err := t.FinalizeAll(); err != nil {
			return fmt.Errorf("model: free %s: %w", name, err)
		}
	}
	o.tensors = nil
	return nil
}
