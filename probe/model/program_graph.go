package model

import (
	"fmt"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/support/exceptions"
)

// build is the graph function of a program: nodes are the parameters, then the run-time inputs.
func (p *Program) build(nodes []*Node) []*Node {
	params := p.spec.Params()
	if len(nodes) != len(params)+len(p.inputs) {
		exceptions.Panicf("model: %d tensors for %d parameters and %d inputs", len(nodes), len(params), len(p.inputs))
	}
	f := &forward{
		g: nodes[0].Graph(), spec: p.spec, plan: &p.plan, params: map[string]*Node{}, taps: map[Site]*Node{},
		wanted: map[Site]bool{}, biases: map[int]*Node{},
	}
	for i, param := range params {
		f.params[param.Name] = nodes[i]
	}
	in := map[string]*Node{}
	for i, input := range p.inputs {
		in[input.Name] = nodes[len(params)+i]
	}
	f.bind(in)
	for _, c := range p.plan.Captures {
		f.wanted[c.Site] = true
	}
	for _, s := range p.plan.GradSites {
		f.wanted[s] = true
	}
	x := f.runLayers()
	logits := f.finish(x)
	return p.collect(f, in, logits)
}

// bind connects the run-time inputs and computes what all layers share.
func (f *forward) bind(in map[string]*Node) {
	f.ids, f.input, f.positions, f.types, f.pool = in["ids"], in["input"], in["positions"], in["types"], in["pool"]
	f.mask = GreaterThan(in["mask"], ScalarZero(f.g, dtypes.Int32))
	if at, ok := in[gatherInput]; ok {
		f.params[gatherInput] = at
	}
	f.edits = make([]map[string]*Node, len(f.plan.Edits))
	for i := range f.plan.Edits {
		f.edits[i] = map[string]*Node{}
		for _, t := range f.plan.Edits[i].tensors(f.spec, f.plan.Batch, f.plan.Seq) {
			f.edits[i][t.Name] = in[fmt.Sprintf("edit.%d.%s", i, t.Name)]
		}
	}
	if f.plan.Edges != nil {
		f.edges = &edgePass{mask: in["edges.mask"], corrupted: in["edges.corrupted"]}
		if from, _ := f.plan.layers(f.spec); from > 0 {
			f.edges.column = from * (3*f.spec.Heads + 1)
			f.send(in["edges.before"])
		}
	}
	if f.plan.Receiver {
		f.one = &oneReceiver{change: in["edges.change"], pick: in["edges.pick"]}
	}
	for _, r := range f.spec.Ropes {
		f.angles = append(f.angles, f.ropeAnglesGraph(r))
	}
	if f.spec.RelBias != nil {
		f.rel = f.relBiasGraph(f.spec.RelBias)
	}
}

// collect computes the outputs in order and names them.
func (p *Program) collect(f *forward, in map[string]*Node, logits *Node) []*Node {
	var out []*Node
	p.outputs = p.outputs[:0]
	add := func(name string, x *Node) {
		p.outputs = append(p.outputs, name)
		out = append(out, x)
	}
	if logits != nil {
		add("logits", logits)
	}
	for _, c := range p.plan.Captures {
		x := f.tap(c.Site)
		name := captureName(c)
		switch c.Reduce {
		case Whole:
			add(name, x)
		case Gathered:
			add(name, f.gathered(x))
		case TokenMean:
			real := spread(ConvertDType(f.mask, floatType), x.Rank())
			add(name, Div(ReduceSum(Mul(x, real), 1), MaxScalar(ReduceSum(real, 1), 1)))
		case Moments:
			real := ConvertDType(f.mask, floatType)
			width := x.Shape().Dimensions[2]
			flat := Reshape(Mul(x, ExpandAxes(real, -1)), -1, width)
			add(name+".count", ReduceAllSum(real))
			add(name+".sum", ReduceSum(flat, 0))
			add(name+".cross", Einsum("nv,nw->vw", flat, flat))
		default:
			exceptions.Panicf("model: unknown reduction %q", c.Reduce)
		}
	}
	edges := p.plan.Edges
	if edges != nil && edges.Senders {
		add("edges.senders", Concatenate(f.edges.senders, 2))
	}
	if edges != nil && edges.Receivers {
		add("edges.receivers", Concatenate(f.edges.receivers, 2))
	}
	if p.plan.Objective == nil {
		return out
	}
	objective := p.plan.Objective.Graph(ObjectiveInputs{
		Logits: logits, Mask: f.mask, Site: f.tap, Param: f.param,
		Input: func(name string) *Node { return in["objective."+name] },
	})
	add("objective", objective)
	if p.plan.Objective.Rows {
		objective = ReduceAllSum(objective)
	}
	var names []string
	var wrt []*Node
	for _, s := range p.plan.GradSites {
		names, wrt = append(names, "grad:"+s.String()), append(wrt, f.tap(s))
	}
	for _, name := range p.plan.GradParams {
		names, wrt = append(names, "grad:"+name), append(wrt, f.params[name])
	}
	for _, e := range p.plan.GradEdits {
		name := fmt.Sprintf("edit.%d.%s", e.Edit, e.Name)
		names, wrt = append(names, "grad:"+name), append(wrt, in[name])
	}
	own := len(wrt)
	if edges != nil && edges.gradients() {
		wrt = append(wrt, f.edges.receivers...)
	}
	if len(wrt) == 0 {
		return out
	}
	gradients := Gradient(objective, wrt...)
	for i, name := range names {
		add(name, gradients[i])
	}
	if gradients = gradients[own:]; len(gradients) == 0 {
		return out
	}
	if edges.GradMask {
		add("grad:edges.mask", f.edgeProducts(f.edges.change, gradients))
	}
	if edges.GradReceivers {
		add("grad:edges.receivers", Concatenate(gradients, 2))
	}
	if edges.GradCorrupted {
		add("grad:edges.corrupted", f.edgeReferenceGradient(gradients))
	}
	if edges.Scores {
		add("edges.scores", f.edgeProducts(in["edges.direction"], gradients))
	}
	return out
}

// captureName names a capture among a program's outputs.
func captureName(c Capture) string {
	if c.Reduce == Whole {
		return c.Site.String()
	}
	return c.Site.String() + "@" + string(c.Reduce)
}
