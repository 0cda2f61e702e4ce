package circuits

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"loupe/internal/adam"
)

// LearnedMaskConfig says how a mask is learned.
type LearnedMaskConfig struct {
	Steps   int     `json:"steps" doc:"steps of Adam"`
	Rate    float64 `json:"rate" doc:"learning rate of the gates' logits"`
	Penalty float64 `json:"penalty" doc:"loss that keeping an edge costs: an edge worth less goes"`
	Start   float64 `json:"start" doc:"logit of every gate at the start: above 0 most edges are in"`
	Seed    uint64  `json:"seed" doc:"seed of the gates' noise"`
}

// DefaultLearnedMask is 300 steps at rate 0.1 from gates at logit 1, with the penalty given.
func DefaultLearnedMask(penalty float64, seed uint64) LearnedMaskConfig {
	return LearnedMaskConfig{Steps: 300, Rate: 0.1, Penalty: penalty, Start: 1, Seed: seed}
}

// Stretch and temperature of the hard concrete distribution (arXiv:1712.01312, section 4).
const (
	gateLow         = -0.1
	gateHigh        = 1.1
	gateTemperature = 2. / 3
)

// LearnedMaskResult is a mask that was learned.
type LearnedMaskResult struct {
	Circuit *Circuit
	Gates   []float64 // [u,v]: how much of each edge is kept without noise, 0 to 1
	Logits  []float64 // [u,v]: of the gates; a ranking of the edges
	Kept    []float64 // of each step: the expected number of edges whose gate is not 0
}

// LearnedMask is subnetwork probing (Cao et al., arXiv:2104.03514) on edges: a gate z for every edge, of which 1 - z is moved to the reference,
// drawn for every row from the hard concrete distribution (Louizos et al., arXiv:1712.01312)
//
//	s = sigmoid((log u - log(1-u) + a) / beta),  z = clamp(s (high - low) + low, 0, 1),  u uniform
//
// whose logits a minimise by Adam
//
//	mean_b M_b + penalty * sum P(z > 0),  P(z > 0) = sigmoid(a - beta log(-low/high))
//
// The circuit has the edges whose gate without noise, clamp(sigmoid(a) (high-low) + low), is over one half. Take a metric that is least when the
// circuit does what the model does (KL), or one whose gain by improving on the model is small beside the penalty. One pass of one
// program gives a step; nothing is compiled again.
func LearnedMask(ctx context.Context, t *Task, ref *Reference, cfg LearnedMaskConfig) (*LearnedMaskResult, error) {
	switch {
	case t.noEdges != nil:
		return nil, t.noEdges
	case cfg.Steps < 1 || cfg.Rate <= 0 || cfg.Penalty < 0:
		return nil, fmt.Errorf("circuits: a learned mask of %d steps at rate %g with penalty %g; steps and rate must be positive and the penalty not negative", cfg.Steps, cfg.Rate, cfg.Penalty)
	}
	g := t.Graph
	edges, rows, size := g.Edges(), t.Pairs.Rows, g.Size()
	logits := make([]float64, len(edges))
	for i := range logits {
		logits[i] = cfg.Start
	}
	solver := adam.NewSolver(cfg.Rate, len(edges))
	r := rand.New(rand.NewPCG(cfg.Seed, 0x6d61736b))
	out := &LearnedMaskResult{Circuit: NewCircuit(g), Gates: make([]float64, size), Logits: make([]float64, size)}
	mask, slope, gradient := make([]float32, rows*size), make([]float64, rows*len(edges)), make([]float64, len(edges))
	for range cfg.Steps {
		for row := range rows {
			for i, e := range edges {
				var z float64
				z, slope[row*len(edges)+i] = gate(logits[i], r.Float64())
				mask[row*size+g.At(e)] = float32(1 - z)
			}
		}
		inMask, _, err := t.gradients(ctx, t.Pairs.Clean, mask, ref)
		if err != nil {
			return nil, err
		}
		kept := 0.0
		for i, e := range edges {
			p := sigmoid(logits[i] - gateTemperature*math.Log(-gateLow/gateHigh))
			kept += p
			gradient[i] = cfg.Penalty * p * (1 - p)
			for row := range rows {
				gradient[i] -= inMask[row*size+g.At(e)] * slope[row*len(edges)+i] / float64(rows)
			}
		}
		out.Kept = append(out.Kept, kept)
		solver.Step(logits, gradient)
	}
	for i, e := range edges {
		at := g.At(e)
		out.Logits[at] = logits[i]
		out.Gates[at] = min(max(sigmoid(logits[i])*(gateHigh-gateLow)+gateLow, 0), 1)
		out.Circuit.Keep[at] = out.Gates[at] > 0.5
	}
	return out, nil
}

// gate is the hard concrete gate of a logit at u in (0,1), and its derivative in the logit.
func gate(logit, u float64) (z, slope float64) {
	u = min(max(u, 1e-6), 1-1e-6)
	s := sigmoid((math.Log(u) - math.Log1p(-u) + logit) / gateTemperature)
	z = s*(gateHigh-gateLow) + gateLow
	if z <= 0 {
		return 0, 0
	}
	if z >= 1 {
		return 1, 0
	}
	return z, (gateHigh - gateLow) * s * (1 - s) / gateTemperature
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
