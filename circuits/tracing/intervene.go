package tracing

import (
	"fmt"
)

// Intervention sets a feature of the graph to a value: 0 suppresses it.
type Intervention struct {
	Feature int // of Graph.Features
	Value   float64
}

// check returns the values of the features that are set, by the feature.
func (r *Run) check(set []Intervention) (map[int]float64, error) {
	out := map[int]float64{}
	for _, s := range set {
		if s.Feature < 0 || s.Feature >= len(r.Graph.Features) {
			return nil, fmt.Errorf("tracing: intervention on feature %d of %d", s.Feature, len(r.Graph.Features))
		}
		if _, twice := out[s.Feature]; twice || !finite(s.Value) {
			return nil, fmt.Errorf("tracing: feature %d is set twice, or to %v", s.Feature, s.Value)
		}
		out[s.Feature] = s.Value
	}
	return out, nil
}

// Direct is what the graph says of the change of every row's target [r] when features are set and all others keep their values:
// the sum of A[target, source] (value / activation - 1).
func (r *Run) Direct(set []Intervention) ([]float64, error) {
	values, err := r.check(set)
	if err != nil {
		return nil, err
	}
	g := r.Graph
	out := make([]float64, g.Rows())
	for f, feature := range g.Features {
		v, ok := values[f]
		if !ok {
			continue
		}
		for i := range out {
			out[i] += g.Row(i)[f] * (v/feature.Activation - 1)
		}
	}
	return out, nil
}

// Total is what the graph says of the change of every row's target [r] when features are set and the others follow: each by the change of its
// pre-activation, as long as it stays active, so that effects add up over all paths. Features that are set stay as set.
func (r *Run) Total(set []Intervention) ([]float64, error) {
	values, err := r.check(set)
	if err != nil {
		return nil, err
	}
	g := r.Graph
	change := make([]float64, len(g.Features)) // of the activations
	out := make([]float64, g.Rows())
	for i := range out { // features are in the order of layers, so that a row's sources have been changed by now
		for f, d := range change {
			if d != 0 {
				out[i] += g.Row(i)[f] / g.Features[f].Activation * d
			}
		}
		if i < len(g.Features) {
			change[i] = out[i]
			if v, ok := values[i]; ok {
				change[i] = v - g.Features[i].Activation
			}
		}
	}
	return out, nil
}

// Constrained measures the change of every row's target [r] when features are set in the frozen model and all others keep their values. It is the
// forward pass, which shares nothing with the attribution but the captured values, so that it equals Direct up to rounding where no feature was left out.
func (r *Run) Constrained(set []Intervention) ([]float64, error) {
	values, err := r.check(set)
	if err != nil {
		return nil, err
	}
	activation := r.activations()
	before := r.frozen.forward(r.embed, true, r.writer(activation))
	for f, v := range values {
		activation[r.kept[f]] = v
	}
	return r.difference(before, r.frozen.forward(r.embed, true, r.writer(activation))), nil
}

// Replaced measures the change of every row's target [r] when features are set in the replaced model: patterns, divisors and errors are those of
// the prompt, and every feature that is not set follows its own activation function, new ones included.
func (r *Run) Replaced(set []Intervention) ([]float64, error) {
	values, err := r.check(set)
	if err != nil {
		return nil, err
	}
	before, err := r.follow(nil)
	if err != nil {
		return nil, err
	}
	after, err := r.follow(values)
	if err != nil {
		return nil, err
	}
	return r.difference(before, after), nil
}

// difference is the change of every row's target from one frozen pass to another.
func (r *Run) difference(before, after read) []float64 {
	out := make([]float64, r.Graph.Rows())
	for i := range out {
		out[i] = r.read(i, after) - r.read(i, before)
	}
	return out
}

// activations are those of all active features.
func (r *Run) activations() []float64 {
	out := make([]float64, len(r.all))
	for i, f := range r.all {
		out[i] = f.Activation
	}
	return out
}

// constant is what is written at layer l whatever is active: the error and the decoders' bias.
func (r *Run) constant(l int) []float64 {
	out := make([]float64, r.frozen.t*r.tracer.dict.d)
	add(out, r.Errors[l])
	add(out, spread(r.tracer.dict.bias(l), r.frozen.t))
	return out
}

// writer writes given activations of all active features.
func (r *Run) writer(activation []float64) written {
	d := r.tracer.dict
	return func(l int, _ []float64) []float64 {
		out := r.constant(l)
		for i, f := range r.all {
			if f.Layer <= l && l <= d.last(f.Layer) {
				d.addDecoder(out[f.Position*d.d:(f.Position+1)*d.d], f.Layer, f.Index, l, activation[i])
			}
		}
		return out
	}
}

// follow runs the replaced model with some of the graph's features set.
func (r *Run) follow(set map[int]float64) (read, error) {
	d := r.tracer.dict
	var failed error
	active := make([][]Feature, r.Graph.Layers)
	pass := r.frozen.forward(r.embed, true, func(l int, x []float64) []float64 {
		out := r.constant(l)
		if d.width(l) == 0 || failed != nil {
			return out
		}
		lat, err := d.encode(l, narrow(x))
		if err != nil {
			failed = err
			return out
		}
		fixed := map[[2]int]bool{}
		for i, f := range r.Graph.Features {
			if v, ok := set[i]; ok && f.Layer == l {
				fixed[[2]int{f.Position, f.Index}] = true
				active[l] = append(active[l], Feature{Layer: l, Position: f.Position, Index: f.Index, Activation: v})
			}
		}
		for p := range lat.Rows() {
			index, value := lat.Row(p)
			for j, i := range index {
				if !fixed[[2]int{p, int(i)}] && value[j] != 0 {
					active[l] = append(active[l], Feature{Layer: l, Position: p, Index: int(i), Activation: float64(value[j])})
				}
			}
		}
		for _, features := range active[:l+1] {
			for _, f := range features {
				if l <= d.last(f.Layer) {
					d.addDecoder(out[f.Position*d.d:(f.Position+1)*d.d], f.Layer, f.Index, l, f.Activation)
				}
			}
		}
		return out
	})
	return pass, failed
}
