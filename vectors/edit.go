package vectors

import (
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
)

// Edit is an edit of one model site with its run-time tensors, ready for Plan.Edits and Inputs.Edits.
type Edit struct {
	Class  model.Edit
	Values map[string]*tensors.Tensor
}

// Edit makes the eraser act at a site of a model, at every position of [batch, seq], with the given strength: 1 erases, 0
// changes nothing. Up to 64 directions become a low-rank edit, more a full affine one. Tensors are float32, so the model
// and Apply agree to its rounding.
func (e *Eraser) Edit(spec *model.Spec, site model.Site, batch, seq int, strength float64) (*Edit, error) {
	d := len(e.Bias)
	class, err := editClass(spec, site, d, seq)
	if err != nil {
		return nil, err
	}
	values := map[string]*tensors.Tensor{"bias": vector32(e.Bias), "gate": everywhere(spec, site, batch, seq, strength)}
	rank := e.Rank()
	if bucket, err := model.RankBucket(max(rank, 1)); err == nil {
		class.Rank = bucket
		v, u := mat.NewDense(bucket, d, nil), mat.NewDense(bucket, d, nil)
		if rank > 0 {
			v.Copy(e.Right)
			u.Copy(e.Left.T())
			u.Scale(-1, u)
		}
		values["V"], values["U"] = matrix32(v), matrix32(u)
	} else {
		class.Affine = true
		var a mat.Dense
		a.Mul(e.Left, e.Right)
		a.Scale(-1, &a)
		values["A"] = matrix32(&a)
	}
	return &Edit{Class: class, Values: values}, nil
}

// Edit makes the steering act at a site of a model, at every position of [batch, seq].
func (s Steering) Edit(spec *model.Spec, site model.Site, batch, seq int) (*Edit, error) {
	return s.EditAt(spec, site, batch, seq, nil)
}

// EditAt is Intervention's.
func (s Steering) EditAt(spec *model.Spec, site model.Site, batch, seq int, weight []float32) (*Edit, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	d := len(s.Vector)
	class, err := editClass(spec, site, d, seq)
	if err != nil {
		return nil, err
	}
	class.Add, class.KeepNorm = true, s.KeepNorm
	strength, err := placed(spec, site, batch, seq, s.Strength, weight)
	if err != nil {
		return nil, err
	}
	values := map[string]*tensors.Tensor{"direction": vector32(s.Vector), "strength": strength}
	if s.Ablate {
		u, err := Unit(s.Vector)
		if err != nil {
			return nil, err
		}
		class.Rank = 1
		if values["gate"], err = placed(spec, site, batch, seq, 1, weight); err != nil {
			return nil, err
		}
		values["bias"] = zeros32(d)
		values["V"] = matrix32(mat.NewDense(1, d, u))
		values["U"] = matrix32(scaled(-1, mat.NewDense(1, d, u)))
	}
	return &Edit{Class: class, Values: values}, nil
}

// editClass is an edit at one site whose last axis is d.
func editClass(spec *model.Spec, site model.Site, d, seq int) (model.Edit, error) {
	if err := spec.Has(site); err != nil {
		return model.Edit{}, fmt.Errorf("vectors: edit: %w", err)
	}
	if w := spec.Width(site.Kind, seq); w != d {
		return model.Edit{}, fmt.Errorf("vectors: edit of width %d at %s, which is of width %d: %w; is it of another model or layer?", d, site, w, ErrShape)
	}
	class := model.Edit{Site: site.Kind}
	if site.Kind.InBlock() {
		class.Layers = []int{site.Layer}
	}
	return class, nil
}

// everywhere fills the tensor that says where an edit acts: one layer and the site's axes but the last.
func everywhere(spec *model.Spec, site model.Site, batch, seq int, strength float64) *tensors.Tensor {
	dims := spec.Dims(site.Kind, batch, seq)
	return tensors.FromScalarAndDimensions(float32(strength), append([]int{1}, dims[:len(dims)-1]...)...)
}

// placed is everywhere with the strength times a weight for each position, row-major [batch*seq]; nil is 1.
func placed(spec *model.Spec, site model.Site, batch, seq int, strength float64, weight []float32) (*tensors.Tensor, error) {
	if weight == nil {
		return everywhere(spec, site, batch, seq, strength), nil
	}
	dims := spec.Dims(site.Kind, batch, seq)
	if len(weight) != batch*seq {
		return nil, fmt.Errorf("vectors: edit: %d weights for %d rows of %d positions: %w", len(weight), batch, seq, ErrShape)
	}
	if axes := site.Kind.Axes(); len(axes) < 3 || axes[:2] != "bt" {
		return nil, fmt.Errorf("vectors: edit: %s has no token axis for a mask: %w", site, ErrArgument)
	}
	heads := 1
	for _, n := range dims[2 : len(dims)-1] {
		heads *= n
	}
	values := make([]float32, 0, batch*seq*heads)
	for _, w := range weight {
		for range heads {
			values = append(values, float32(strength)*w)
		}
	}
	return tensors.FromFlatDataAndDimensions(values, append([]int{1}, dims[:len(dims)-1]...)...), nil
}

func vector32(v []float64) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(float32s(v), len(v))
}

func matrix32(m *mat.Dense) *tensors.Tensor {
	r, c := m.Dims()
	return tensors.FromFlatDataAndDimensions(float32s(mat.DenseCopyOf(m).RawMatrix().Data), r, c)
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, e := range v {
		out[i] = float32(e)
	}
	return out
}

func scaled(f float64, m *mat.Dense) *mat.Dense {
	var out mat.Dense
	out.Scale(f, m)
	return &out
}
