package circuits

import (
	"errors"
	"fmt"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Metric is a loss of one row, read off the model at the row's last real position.
type Metric struct {
	Name string
	// Site is what the metric reads: nil for next-token logits, else a site with a token axis, or of one vector per row.
	Site *model.Site
	// Reference: the metric compares with what is read on the clean input.
	Reference bool
	// Step: the metric is a step function, whose gradient says nothing.
	Step bool
	// Constants are further inputs of Graph, the same for all rows.
	Constants map[string]*tensors.Tensor
	// weigh gives the tokens of a row their weights; nil when the metric names no tokens.
	weigh func(answer, wrong int) (right, bad float32)
	// Graph returns the losses [b] of x [b,w].
	Graph  func(in MetricInputs) *graph.Node
	tokens []int32 // that the metric names itself
	// choice is 1 + the index of this metric in logitLosses, which one program computes together; 0 for metrics with a program of
	// their own.
	choice int
}

// MetricInputs is what a metric sees.
type MetricInputs struct {
	X         *graph.Node // [b,w]
	Reference *graph.Node // [b,w] of the clean input, or nil
	Tokens    *graph.Node // [b,k] int32; the right ones come first
	Weights   *graph.Node // [b,k]: positive for right tokens, negative for wrong ones, zero for fillers
	Constant  func(name string) *graph.Node
}

// binding is a Metric with the tokens of a batch.
type binding struct {
	metric    Metric
	pairs     *Pairs
	width     int
	k         int // tokens per row
	tokens    []int32
	weights   []float32
	position  []int32
	reference []float32 // [rows,width]; nil before the clean run
}

// bind lays the answers of a batch out for a metric that reads width values.
func (m Metric) bind(p *Pairs, width int) (*binding, error) {
	b := &binding{metric: m, pairs: p, width: width, position: make([]int32, p.Rows)}
	for r := range p.Rows {
		b.position[r] = int32(p.last(r))
	}
	for _, token := range m.tokens {
		if int(token) >= width {
			return nil, fmt.Errorf("circuits: metric %s names token %d, which is outside the vocabulary of %d", m.Name, token, width)
		}
	}
	if m.choice > 0 {
		b.k = 1
	}
	if m.weigh == nil && (m.choice == 0 || p.Answer == nil) {
		b.tokens, b.weights = make([]int32, p.Rows*b.k), make([]float32, p.Rows*b.k)
		return b, nil
	}
	if m.weigh == nil { // the tokens are there but do not count
		m.weigh = func(int, int) (float32, float32) { return 0, 0 }
	}
	if p.Answer == nil {
		return nil, fmt.Errorf("circuits: metric %s needs an answer for every row", m.Name)
	}
	for r := range p.Rows {
		right, wrong := len(p.Answer[r]), len(p.wrong(r))
		if right == 0 {
			return nil, fmt.Errorf("circuits: row %d has no answer", r)
		}
		if _, bad := m.weigh(1, 1); bad != 0 && wrong == 0 {
			return nil, fmt.Errorf("circuits: row %d has no wrong answer for metric %s to compare with", r, m.Name)
		}
		b.k = max(b.k, right+wrong)
	}
	b.tokens, b.weights = make([]int32, p.Rows*b.k), make([]float32, p.Rows*b.k)
	for r := range p.Rows {
		right, bad := m.weigh(len(p.Answer[r]), len(p.wrong(r)))
		for i, token := range p.Answer[r] {
			b.tokens[r*b.k+i], b.weights[r*b.k+i] = token, right
		}
		for i, token := range p.wrong(r) {
			at := r*b.k + len(p.Answer[r]) + i
			b.tokens[at], b.weights[at] = token, bad
		}
	}
	return b, nil
}

// apply puts what the metric reads into a plan of rows rows.
func (b *binding) apply(plan *model.Plan) {
	rows := plan.Batch
	plan.Gather = 1
	if b.metric.Site == nil {
		plan.Logits = model.LogitsAt
	} else {
		plan.Captures = append(plan.Captures, b.capture())
	}
	o := &model.Objective{Name: "circuits." + b.metric.Name, Rows: true}
	if b.metric.choice > 0 {
		o.Name = "circuits.logits"
	}
	add := func(name string, dtype dtypes.DType, dims ...int) {
		o.Inputs = append(o.Inputs, model.Input{Name: name, DType: dtype, Dims: dims})
	}
	if b.k > 0 {
		add("tokens", dtypes.Int32, rows, b.k)
		add("weights", dtypes.Float32, rows, b.k)
	}
	if b.metric.Reference || b.metric.choice > 0 {
		add("reference", dtypes.Float32, rows, b.width)
	}
	if b.metric.choice > 0 {
		add("choice", dtypes.Float32, len(logitLosses))
	}
	if b.metric.Site != nil {
		add("position", dtypes.Int32, rows)
	}
	for _, name := range sortedKeys(b.metric.Constants) {
		shape := b.metric.Constants[name].Shape()
		add("constant."+name, shape.DType, shape.Dimensions...)
	}
	o.Graph = b.graph
	plan.Objective = o
}

// capture is how a plan returns what the metric reads.
func (b *binding) capture() model.Capture {
	c := model.Capture{Site: *b.metric.Site}
	if len(c.Site.Kind.Axes()) > 2 {
		c.Reduce = model.Gathered
	}
	return c
}

// inputs are the objective's run-time tensors for copies repetitions of the batch.
func (b *binding) inputs(copies int) (map[string]*tensors.Tensor, error) {
	rows := b.pairs.Rows * copies
	out := map[string]*tensors.Tensor{}
	if b.k > 0 {
		out["tokens"] = tensors.FromFlatDataAndDimensions(tile(b.tokens, copies), rows, b.k)
		out["weights"] = tensors.FromFlatDataAndDimensions(tile(b.weights, copies), rows, b.k)
	}
	if b.metric.choice > 0 {
		choice := make([]float32, len(logitLosses))
		choice[b.metric.choice-1] = 1
		out["choice"] = tensors.FromFlatDataAndDimensions(choice, len(choice))
	}
	if b.metric.Reference || b.metric.choice > 0 {
		reference := b.reference
		if reference == nil {
			reference = make([]float32, b.pairs.Rows*b.width)
		}
		out["reference"] = tensors.FromFlatDataAndDimensions(tile(reference, copies), rows, b.width)
	}
	if b.metric.Site != nil {
		out["position"] = tensors.FromFlatDataAndDimensions(tile(b.position, copies), rows)
	}
	for name, value := range b.metric.Constants {
		out["constant."+name] = value
	}
	return out, nil
}

// read returns what the metric reads, [rows*width], from a run.
func (b *binding) read(out *model.Outputs) ([]float32, error) {
	t := out.Logits()
	if b.metric.Site != nil {
		t = out.Capture(b.capture())
	}
	if t == nil {
		return nil, errors.New("circuits: the metric's site was not captured")
	}
	return tensors.CopyFlatData[float32](t)
}
