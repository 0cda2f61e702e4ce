package probe

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"loupe/vectors"
)

// MLPConfig says how a nonlinear probe is trained.
type MLPConfig struct {
	Hidden       int     `json:"hidden" doc:"units of a hidden layer"`
	Layers       int     `json:"layers" doc:"hidden layers"`
	LearningRate float64 `json:"learning_rate" doc:"of Adam"`
	L2           float64 `json:"l2" doc:"weight of half the squared norm of the weights"`
	Batch        int     `json:"batch" doc:"rows of a step"`
	Epochs       int     `json:"epochs" doc:"passes over the training rows, at most"`
	Validation   float64 `json:"validation" doc:"share of the training rows that decides when to stop; 0: train for all epochs"`
	Patience     int     `json:"patience" doc:"epochs without a better validation loss after which training stops"`
}

// DefaultMLP is one hidden layer with early stopping.
func DefaultMLP() MLPConfig {
	return MLPConfig{Hidden: 64, Layers: 1, LearningRate: 1e-3, L2: 1e-4, Batch: 64, Epochs: 100, Validation: 0.1, Patience: 10}
}

// Validate names the field that is out of range.
func (c MLPConfig) Validate() error {
	bad := func(field string, v any, want string) error {
		return fmt.Errorf("probe: MLP: %s is %v: %w; it is %s", field, v, vectors.ErrArgument, want)
	}
	switch {
	case c.Hidden < 1 || c.Hidden > 65536:
		return bad("hidden", c.Hidden, "1 to 65536")
	case c.Layers < 1 || c.Layers > 8:
		return bad("layers", c.Layers, "1 to 8")
	case !(c.LearningRate > 0 && c.LearningRate < 1):
		return bad("learning_rate", c.LearningRate, "between 0 and 1")
	case !(c.L2 >= 0) || math.IsInf(c.L2, 0):
		return bad("l2", c.L2, "0 or more")
	case c.Batch < 1:
		return bad("batch", c.Batch, "1 or more")
	case c.Epochs < 1:
		return bad("epochs", c.Epochs, "1 or more")
	case !(c.Validation >= 0 && c.Validation < 1):
		return bad("validation", c.Validation, "a share from 0 to below 1")
	case c.Validation > 0 && c.Patience < 1:
		return bad("patience", c.Patience, "1 or more")
	}
	return nil
}

// MLP is a probe with hidden layers of rectified units: h_0 = x, h_l = max(0, h_(l-1) W_l' + b_l), and scores without the
// max at the end.
type MLP struct {
	Layers []Layer
	Epochs int     // trained
	Loss   float64 // on the validation rows, or on the training rows without any, at the weights that were kept
}

// Layer is an affine map, W [out, in] and b [out].
type Layer struct {
	In, Out int
	Weights []float64
	Bias    []float64
}

// Outputs returns the number of scores a row.
func (m *MLP) Outputs() int { return m.Layers[len(m.Layers)-1].Out }

// Scores returns [n, outputs] for rows x [n, d].
func (m *MLP) Scores(x Rows) ([]float64, error) {
	if d := m.Layers[0].In; x.D != d {
		return nil, fmt.Errorf("probe: activations of width %d for a probe of width %d: %w; is it of another model or site?", x.D, d, vectors.ErrShape)
	}
	const part = 1024
	var out []float64
	for lo := 0; lo < x.N; lo += part {
		n := min(part, x.N-lo)
		h := Rows{N: n, D: x.D, Values: x.Values[lo*x.D : (lo+n)*x.D]}.Dense()
		for i, l := range m.Layers {
			h = l.apply(h, i < len(m.Layers)-1)
		}
		out = append(out, h.RawMatrix().Data...)
	}
	return out, nil
}

func (l Layer) apply(h *mat.Dense, rectify bool) *mat.Dense {
	var out mat.Dense
	out.Mul(h, mat.NewDense(l.Out, l.In, l.Weights).T())
	n, _ := out.Dims()
	for i := range n {
		row := out.RawRowView(i)
		for j := range row {
			if row[j] += l.Bias[j]; rectify {
				row[j] = max(row[j], 0)
			}
		}
	}
	return &out
}

// unscale makes the first layer, trained on (x - mean)/deviation, one of x.
func (l *Layer) unscale(mean, deviation []float64) {
	for o := range l.Out {
		row := l.Weights[o*l.In : (o+1)*l.In]
		for j, s := range deviation {
			if s == 0 {
				row[j] = 0
				continue
			}
			row[j] /= s
			l.Bias[o] -= row[j] * mean[j]
		}
	}
}

// halve turns the two scores of a binary probe into their difference.
func (l *Layer) halve() {
	for j := range l.In {
		l.Weights[j] = l.Weights[l.In+j] - l.Weights[j]
	}
	*l = Layer{In: l.In, Out: 1, Weights: l.Weights[:l.In], Bias: []float64{l.Bias[1] - l.Bias[0]}}
}
