package vectors

import (
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// lensNodes are a lens as run-time inputs: gamma and beta [d], unembedding [d,v], its bias [v].
type lensNodes struct {
	of                         *Lens
	gamma, beta, unembed, bias *graph.Node
}

// lensTensors are the inputs of lensNodes, ones and zeros where the lens has none.
func lensTensors(l *Lens) []any {
	d, v := l.Unembed.Dims()
	gamma, beta, bias := make([]float64, d), make([]float64, d), make([]float64, v)
	for i := range gamma {
		gamma[i] = 1
	}
	copy(gamma, l.Gamma)
	copy(beta, l.Beta)
	copy(bias, l.Bias)
	return []any{vector32(gamma), vector32(beta), matrix32(l.Unembed), vector32(bias)}
}

func takeLens(l *Lens, nodes []*graph.Node) (lensNodes, []*graph.Node) {
	return lensNodes{l, nodes[0], nodes[1], nodes[2], nodes[3]}, nodes[4:]
}

// logProb is log softmax of the lens's logits [n,v] of h [n,d]; see Lens.Logits.
func (l lensNodes) logProb(h *graph.Node) *graph.Node {
	if l.of.Norm == LayerNorm {
		h = graph.Sub(h, graph.ReduceAndKeep(h, graph.ReduceMean, -1))
	}
	if l.of.Norm != NoNorm {
		h = graph.Div(h, graph.Sqrt(graph.AddScalar(graph.ReduceAndKeep(graph.Square(h), graph.ReduceMean, -1), l.of.Eps)))
		h = graph.Mul(h, graph.ExpandAxes(l.gamma, 0))
	}
	if l.of.Norm == LayerNorm {
		h = graph.Add(h, graph.ExpandAxes(l.beta, 0))
	}
	logits := graph.Add(graph.Einsum("nd,dv->nv", h, l.unembed), graph.ExpandAxes(l.bias, 0))
	if c := l.of.Softcap; c > 0 {
		logits = graph.MulScalar(graph.Tanh(graph.DivScalar(logits, c)), c)
	}
	return graph.LogSoftmax(logits, -1)
}

// klGraph is KL(final || translated) [n] in nats: h and final [n,d], weight [d,d], bias [d].
func (l lensNodes) klGraph(h, final, weight, bias *graph.Node) *graph.Node {
	moved := graph.Add(h, graph.Add(graph.Einsum("nd,ed->ne", h, weight), graph.ExpandAxes(bias, 0)))
	target := graph.StopGradient(l.logProb(final))
	return graph.ReduceSum(graph.Mul(graph.Exp(target), graph.Sub(target, l.logProb(moved))), -1)
}

// lensStepGraph is one Adam step of a translator on the mean KL of a batch. Nodes: the lens, weight, bias, their first and second
// moments, h, final, rate, and the corrections of the moments 1/(1-beta1^t), 1/(1-beta2^t). It returns the weights, the moments and
// the loss before the step.
func lensStepGraph(l *Lens, cfg TunedLensConfig, nodes []*graph.Node) []*graph.Node {
	lens, in := takeLens(l, nodes)
	weights, first, second := in[0:2], in[2:4], in[4:6]
	h, final, rate, correct1, correct2 := in[6], in[7], in[8], in[9], in[10]
	loss := graph.ReduceAllMean(lens.klGraph(h, final, weights[0], weights[1]))
	gradients := graph.Gradient(loss, weights[0], weights[1])
	var newW, newM, newV []*graph.Node
	for i, g := range gradients {
		m := graph.Add(graph.MulScalar(first[i], cfg.Beta1), graph.MulScalar(g, 1-cfg.Beta1))
		v := graph.Add(graph.MulScalar(second[i], cfg.Beta2), graph.MulScalar(graph.Square(g), 1-cfg.Beta2))
		step := graph.Div(graph.Mul(m, correct1), graph.AddScalar(graph.Sqrt(graph.Mul(v, correct2)), cfg.Eps))
		newW, newM, newV = append(newW, graph.Sub(weights[i], graph.Mul(rate, step))), append(newM, m), append(newV, v)
	}
	return append(append(append(newW, newM...), newV...), loss)
}

// zeros32 is a float32 tensor of zeros.
func zeros32(dims ...int) *tensors.Tensor {
	return tensors.FromScalarAndDimensions(float32(0), dims...)
}
