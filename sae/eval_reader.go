package sae

import (
	"context"
	"fmt"
	"math"
)

// LinearReader reads attributes by one linear probe for each value; it implements [AttributeReader] without a model.
type LinearReader struct {
	probes [][]LinearProbe // [attribute][value]
}

// FitLinearReader fits, for each attribute, a probe for each of its values 0..max on the rows of x, [n, d].
func FitLinearReader(ctx context.Context, x []float32, value [][]int) (*LinearReader, error) {
	r := &LinearReader{}
	for a, values := range value {
		n := len(values)
		if n == 0 || len(x)%n != 0 {
			return nil, fmt.Errorf("sae: linear reader: %d activations for %d values of attribute %d", len(x), n, a)
		}
		rows, err := SparseOf(x, len(x)/n)
		if err != nil {
			return nil, err
		}
		top := 0
		for _, v := range values {
			top = max(top, v)
		}
		probes := make([]LinearProbe, top+1)
		for v := range probes {
			is := make([]bool, n)
			for i := range is {
				is[i] = values[i] == v
			}
			if probes[v], err = FitLogistic(ctx, rows, is, 1); err != nil {
				return nil, fmt.Errorf("sae: linear reader: attribute %d, value %d: %w", a, v, err)
			}
		}
		r.probes = append(r.probes, probes)
	}
	return r, nil
}

// Read implements [AttributeReader]: the value of largest score is read, and the likelihood is the softmax of the scores.
func (r *LinearReader) Read(_ context.Context, x []float32, _ []int, attribute int, want []int) ([]int, []float32, error) {
	if attribute < 0 || attribute >= len(r.probes) || len(want) == 0 || len(x)%len(want) != 0 {
		return nil, nil, fmt.Errorf("sae: linear reader: attribute %d of %d, %d activations for %d rows", attribute, len(r.probes), len(x), len(want))
	}
	probes, d := r.probes[attribute], len(x)/len(want)
	read, grad := make([]int, len(want)), make([]float32, len(x))
	p := make([]float64, len(probes))
	for i, w := range want {
		row := x[i*d : (i+1)*d]
		top := math.Inf(-1)
		for v, probe := range probes {
			p[v] = probe.Intercept
			for j, c := range probe.Coef {
				p[v] += c * float64(row[j])
			}
			if p[v] > top {
				top, read[i] = p[v], v
			}
		}
		sum := 0.0
		for v := range p {
			p[v] = math.Exp(p[v] - top)
			sum += p[v]
		}
		for v, probe := range probes {
			g := p[v] / sum
			if v == w {
				g--
			}
			for j, c := range probe.Coef {
				grad[i*d+j] += float32(g * c / float64(len(want)))
			}
		}
	}
	return read, grad, nil
}
