package model

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// Engine compiles programs on one backend and keeps them: the same (Spec, Plan) compiles once.
type Engine struct {
	backend  compute.Backend
	log      *slog.Logger
	mu       sync.Mutex
	programs map[string]*Program
	steps    map[string]*graph.Exec // decoding steps
	compiles int
}

// NewEngine returns an Engine on b. Compiles are logged at debug level to log, which may be nil.
func NewEngine(b compute.Backend, log *slog.Logger) *Engine {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engine{backend: b, log: log, programs: map[string]*Program{}, steps: map[string]*graph.Exec{}}
}

// Backend returns the engine's backend.
func (e *Engine) Backend() compute.Backend { return e.backend }

// Compiles counts the programs compiled so far.
func (e *Engine) Compiles() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.compiles
}

// gatherInput names the run-time positions of LogitsAt and Gathered captures.
const gatherInput = "gather"

// Program is a compiled plan. It may be run from one goroutine at a time.
type Program struct {
	engine  *Engine
	spec    *Spec
	plan    Plan
	exec    *graph.Exec
	inputs  []Input  // after the parameters, in order
	outputs []string // names of the outputs, in order
	zeros   map[string]*tensors.Tensor
}

// Compile returns the program of plan for models of Spec s, compiling it on first use.
func (e *Engine) Compile(s *Spec, plan Plan) (*Program, error) {
	if err := plan.validate(s); err != nil {
		return nil, err
	}
	if plan.Storage == "" {
		plan.Storage = Float32
	}
	key := s.Digest() + plan.digest()
	e.mu.Lock()
	defer e.mu.Unlock()
	if p, ok := e.programs[key]; ok {
		return p, nil
	}
	p := &Program{engine: e, spec: s, plan: plan, zeros: map[string]*tensors.Tensor{}}
	p.inputs = planInputs(s, &p.plan)
	exec, err := graph.NewExec(e.backend, p.build)
	if err != nil {
		return nil, fmt.Errorf("model: compile %s: %w", s.Family, err)
	}
	p.exec = exec.WithName("loupe_" + s.Family)
	start := time.Now()
	if err := p.compile(); err != nil {
		return nil, err
	}
	e.compiles++
	e.log.Debug("compiled", "family", s.Family, "batch", plan.Batch, "seq", plan.Seq, "captures", len(plan.Captures),
		"edits", len(plan.Edits), "gradients", len(plan.GradSites)+len(plan.GradParams)+len(plan.GradEdits),
		"took", time.Since(start).Round(time.Millisecond), "compiles", e.compiles)
	e.programs[key] = p
	return p, nil
}

// compile builds the graph for the plan's only shapes.
func (p *Program) compile() error {
	var all []shapes.Shape
	for _, param := range p.spec.Params() {
		all = append(all, shapeOf(paramType(p.plan.Storage, param.Dims), param.Dims...))
	}
	for _, in := range p.inputs {
		all = append(all, shapeOf(in.DType, in.Dims...))
	}
	var err error
	caught := exceptions.TryCatch[error](func() { _, err = p.exec.Compile(all...) })
	if caught != nil {
		err = caught
	}
	if err != nil {
		return fmt.Errorf("model: compile %s, batch %d, sequence %d: %w", p.spec.Family, p.plan.Batch, p.plan.Seq, err)
	}
	return nil
}

// planInputs lists the run-time tensors of a plan, in order.
func planInputs(s *Spec, p *Plan) []Input {
	b, t := p.Batch, p.Seq
	var in []Input
	add := func(name string, dtype dtypes.DType, dims ...int) { in = append(in, Input{name, dtype, dims}) }
	from, _ := p.layers(s)
	switch {
	case from > 0 || p.Embeds:
		add("input", floatType, b, t, s.DModel)
	default:
		add("ids", dtypes.Int32, b, t)
	}
	add("mask", dtypes.Int32, b, t)
	add("positions", dtypes.Int32, b, t)
	if s.TypeVocab > 0 && from == 0 {
		add("types", dtypes.Int32, b, t)
	}
	if s.Pooler != PoolerNone || s.Sentence.Mode == "cls" {
		add("pool", dtypes.Int32, b)
	}
	if p.Gather > 0 {
		add(gatherInput, dtypes.Int32, b, p.Gather)
	}
	for i := range p.Edits {
		for _, tensor := range p.Edits[i].tensors(s, b, t) {
			add(fmt.Sprintf("edit.%d.%s", i, tensor.Name), tensor.DType, tensor.Dims...)
		}
	}
	if p.Edges != nil {
		for _, tensor := range p.Edges.tensors(s, from, b, t) {
			add("edges."+tensor.Name, tensor.DType, tensor.Dims...)
		}
	}
	if p.Receiver {
		add("edges.change", floatType, b, t, s.DModel)
		add("edges.pick", floatType, b, 3*s.Heads+1)
	}
	if p.Objective != nil {
		for _, o := range p.Objective.Inputs {
			add("objective."+o.Name, o.DType, o.Dims...)
		}
	}
	return in
}

// Run executes the program on params and in. The caller owns the outputs and frees them with Outputs.Free.
func (p *Program) Run(ctx context.Context, params *Params, in Inputs) (*Outputs, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if params.spec != p.spec && params.spec.Digest() != p.spec.Digest() {
		return nil, fmt.Errorf("model: weights of a %s model given to a program of another architecture (%s)", params.spec.Family, p.spec.Family)
	}
	if params.dtype != p.plan.Storage {
		return nil, fmt.Errorf("model: weights stored as %s given to a program for %s; set Plan.Storage", params.dtype, p.plan.Storage)
	}
	args := make([]any, 0, len(params.tensors)+len(p.inputs))
	for _, t := range params.tensors {
		args = append(args, t)
	}
	values, err := in.prepare(p.spec, &p.plan)
	if err != nil {
		return nil, err
	}
	for _, want := range p.inputs {
		t, ok := values[want.Name]
		if !ok {
			if t, err = p.zero(want); err != nil {
				return nil, err
			}
		}
		if shape := shapeOf(want.DType, want.Dims...); !t.Shape().Equal(shape) {
			return nil, fmt.Errorf("model: input %q has shape %s; this plan needs %s", want.Name, t.Shape(), shape)
		}
		args = append(args, t)
		delete(values, want.Name)
	}
	for name := range values {
		return nil, fmt.Errorf("model: input %q is not part of this plan", name)
	}
	var out []*tensors.Tensor
	caught := exceptions.TryCatch[error](func() { out, err = p.exec.Call(args...) })
	if caught != nil {
		err = caught
	}
	if err != nil {
		return nil, fmt.Errorf("model: run %s: %w", p.spec.Family, err)
	}
	o := &Outputs{tensors: make(map[string]*tensors.Tensor, len(out))}
	for i, name := range p.outputs {
		o.tensors[name] = out[i]
	}
	return o, nil
}

// zero returns a tensor of zeros for an input of an edit or of edges that the caller left out; "dims" defaults to ones.
func (p *Program) zero(in Input) (*tensors.Tensor, error) {
	if t, ok := p.zeros[in.Name]; ok {
		return t, nil
	}
	optional := strings.HasPrefix(in.Name, "edit.") || strings.HasPrefix(in.Name, "edges.")
	if !optional {
		return nil, fmt.Errorf("model: input %q %v is missing", in.Name, in.Dims)
	}
	t, err := tensors.FromShapeForBackend(p.engine.backend, 0, shapeOf(in.DType, in.Dims...))
	if err != nil {
		return nil, fmt.Errorf("model: input %q: %w", in.Name, err)
	}
	value := float32(0)
	if len(in.Name) > 5 && in.Name[len(in.Name)-5:] == ".dims" {
		value = 1
	}
	err = tensors.MutableFlatData(t, func(flat []float32) {
		for i := range flat {
			flat[i] = value
		}
	})
	if err != nil {
		return nil, fmt.Errorf("model: input %q: %w", in.Name, err)
	}
	p.zeros[in.Name] = t
	return t, nil
}
