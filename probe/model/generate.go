package model

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/support/exceptions"
)

// GenerateOptions say how tokens are chosen.
type GenerateOptions struct {
	MaxNew      int
	Temperature float64 // 0: greedy
	TopK        int     // 0: no limit
	TopP        float64 // 0 or 1: no limit
	Seed        uint64
	Stop        []int32 // tokens that end a row; they are part of the output
	// Edits are active at every position, prompt included. Pattern and score sites cannot be edited while generating.
	Edits []Edit
	// Values gives the edits' run-time tensors for a pass over positions from..from+seq of each row.
	Values func(batch, seq, from int) ([]map[string]*tensors.Tensor, error)
	// OnToken, when set, receives each new token as it is chosen; returning false ends that row.
	OnToken func(row int, token int32) bool
}

func (o *GenerateOptions) validate(s *Spec) error {
	switch {
	case !s.Decoder:
		return fmt.Errorf("model: a %s encoder does not generate text; use a decoder", s.Family)
	case o.MaxNew < 1:
		return errors.New("model: generate: MaxNew must be positive")
	case o.Temperature < 0 || o.TopP < 0 || o.TopP > 1 || o.TopK < 0:
		return errors.New("model: generate: temperature and top-k must not be negative, top-p must be from 0 to 1")
	case len(o.Edits) > 0 && o.Values == nil:
		return errors.New("model: generate: edits need Values")
	}
	for i, e := range o.Edits {
		if e.Site == Pattern || e.Site == Scores {
			return fmt.Errorf("model: generate: edit %d: patterns and scores cannot be edited while generating", i)
		}
		if e.GateMax {
			return fmt.Errorf("model: generate: edit %d: a gate by the row's maximum needs the whole row; gate each position instead", i)
		}
	}
	return nil
}

// cacheBucket is the unit of a cache's length: prompts and outputs of similar length share a compile.
const cacheBucket = 64

// stepKey identifies a compiled decoding step.
func stepKey(s *Spec, plan Plan, rows int) string {
	return fmt.Sprintf("%s%s step %d", s.Digest(), plan.digest(), rows)
}

// stepper decodes one position at a time with a key/value cache.
type stepper struct {
	engine       *Engine
	model        *Model
	plan         Plan
	exec         *graph.Exec
	inputs       []Input
	batch, rows  int
	keys, values []*tensors.Tensor // per layer [b,k,n,e]
	valid        []int32           // [b,n]
}

// Generate continues prompts, one row each, and returns the new tokens of each row. Prompts are padded on the left, so
// rows of different lengths do not influence each other. Greedy output equals that of repeated uncached passes.
func (e *Engine) Generate(ctx context.Context, m *Model, prompts [][]int32, opt GenerateOptions) ([][]int32, error) {
	if err := opt.validate(m.Spec); err != nil {
		return nil, err
	}
	longest := 0
	for i, p := range prompts {
		if len(p) == 0 {
			return nil, fmt.Errorf("model: generate: prompt %d is empty; give at least one token (BOS)", i)
		}
		longest = max(longest, len(p))
	}
	if len(prompts) == 0 {
		return nil, nil
	}
	if limit := m.Spec.MaxPos; limit > 0 && longest+opt.MaxNew > limit {
		return nil, fmt.Errorf("model: generate: %d prompt and %d new tokens exceed this model's %d positions", longest, opt.MaxNew, limit)
	}
	b := len(prompts)
	seq := roundUp(longest, 16)
	if limit := m.Spec.MaxPos; limit > 0 {
		seq = min(seq, limit)
	}
	st := &stepper{engine: e, model: m, batch: b, rows: roundUp(seq+opt.MaxNew, cacheBucket)}
	if err := st.allocate(); err != nil {
		return nil, err
	}
	defer st.free()
	logits, counts, err := st.prefill(ctx, prompts, seq, opt)
	if err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(opt.Seed, 0x6c6f757065))
	out := make([][]int32, b)
	done := make([]bool, b)
	next := make([]int32, b)
	for step := 0; ; step++ {
		for r := range b {
			if done[r] {
				continue
			}
			next[r] = choose(logits[r*m.Spec.Vocab:(r+1)*m.Spec.Vocab], opt, random)
			out[r] = append(out[r], next[r])
			goOn := opt.OnToken == nil || opt.OnToken(r, next[r])
			done[r] = !goOn || slices.Contains(opt.Stop, next[r])
		}
		if step+1 == opt.MaxNew || !slices.Contains(done, false) {
			return out, nil
		}
		if err := st.step(ctx, next, counts, seq+step, opt, logits); err != nil {
			return nil, err
		}
		for r := range counts {
			counts[r]++
		}
	}
}

func roundUp(n, unit int) int { return (n + unit - 1) / unit * unit }

// allocate makes the empty cache.
func (st *stepper) allocate() error {
	s := st.model.Spec
	for range s.Layers {
		for _, to := range []*[]*tensors.Tensor{&st.keys, &st.values} {
			t, err := tensors.FromShapeForBackend(st.engine.backend, 0, shapeOf(floatType, st.batch, s.KVHeads, st.rows, s.DHead))
			if err != nil {
				return fmt.Errorf("model: key/value cache: %w", err)
			}
			if err := tensors.MutableFlatData(t, func(flat []float32) { clear(flat) }); err != nil {
				return fmt.Errorf("model: key/value cache: %w", err)
			}
			*to = append(*to, t)
		}
	}
	st.valid = make([]int32, st.batch*st.rows)
	return nil
}

func (st *stepper) free() {
	for _, t := range append(st.keys, st.values...) {
		_ = t.FinalizeAll()
	}
}

// prefill runs the prompts at once, fills the cache and returns the last logits [b,v] and the rows' lengths.
func (st *stepper) prefill(ctx context.Context, prompts [][]int32, seq int, opt GenerateOptions) ([]float32, []int32, error) {
	s := st.model.Spec
	plan := Plan{Batch: st.batch, Seq: seq, Gather: 1, Logits: LogitsAt, Storage: st.model.Params.dtype, Edits: opt.Edits}
	key := K
	if s.Positions == PosRotary {
		key = RotK
	}
	for i := range s.Layers {
		plan.Captures = append(plan.Captures, Capture{Site: Site{key, i}}, Capture{Site: Site{V, i}})
	}
	in := Inputs{IDs: make([]int32, st.batch*seq), Mask: make([]int32, st.batch*seq), Gather: slices.Repeat([]int32{int32(seq - 1)}, st.batch)}
	counts := make([]int32, st.batch)
	for r, p := range prompts {
		from := r*seq + seq - len(p)
		copy(in.IDs[from:], p)
		for i := range p {
			in.Mask[from+i] = 1
			st.valid[r*st.rows+seq-len(p)+i] = 1
		}
		for i := r * seq; i < from; i++ {
			in.IDs[i] = int32(s.PadID) % int32(s.Vocab)
		}
		counts[r] = int32(len(p))
	}
	if opt.Values != nil {
		var err error
		if in.Edits, err = opt.Values(st.batch, seq, 0); err != nil {
			return nil, nil, err
		}
	}
	p, err := st.engine.Compile(s, plan)
	if err != nil {
		return nil, nil, err
	}
	out, err := p.Run(ctx, st.model.Params, in)
	if err != nil {
		return nil, nil, err
	}
	for i := range s.Layers {
		if err := errors.Join(st.fill(st.keys[i], out.Site(Site{key, i}), seq), st.fill(st.values[i], out.Site(Site{V, i}), seq)); err != nil {
			return nil, nil, err
		}
	}
	logits, err := tensors.CopyFlatData[float32](out.Logits())
	if err != nil {
		return nil, nil, fmt.Errorf("model: generate: %w", err)
	}
	return logits, counts, out.Free()
}

// fill copies rows [b,t,k,e] into a cache [b,k,n,e].
func (st *stepper) fill(cache, rows *tensors.Tensor, seq int) error {
	heads, e := st.model.Spec.KVHeads, st.model.Spec.DHead
	var inner error
	err := tensors.ConstFlatData(rows, func(from []float32) {
		inner = tensors.MutableFlatData(cache, func(to []float32) {
			for b := range st.batch {
				for t := range seq {
					for h := range heads {
						src := ((b*seq+t)*heads + h) * e
						copy(to[((b*heads+h)*st.rows+t)*e:][:e], from[src:src+e])
					}
				}
			}
		})
	})
	return errors.Join(err, inner)
}

// step runs one position: next tokens at cache row now, positions counts; logits receives [b,v].
func (st *stepper) step(ctx context.Context, next, counts []int32, now int, opt GenerateOptions, logits []float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if st.exec == nil {
		if err := st.compile(opt); err != nil {
			return err
		}
	}
	s := st.model.Spec
	positions := slices.Clone(counts)
	values := map[string]*tensors.Tensor{
		"ids": tensors.FromFlatDataAndDimensions(next, st.batch, 1), "positions": tensors.FromFlatDataAndDimensions(positions, st.batch, 1),
		"valid": tensors.FromFlatDataAndDimensions(st.valid, st.batch, st.rows), "now": tensors.FromScalar(int32(now)),
	}
	if opt.Values != nil {
		edits, err := opt.Values(st.batch, 1, now)
		if err != nil {
			return err
		}
		for i, edit := range edits {
			for name, t := range edit {
				values[fmt.Sprintf("edit.%d.%s", i, name)] = t
			}
		}
	}
	args := make([]any, 0, len(st.model.Params.tensors)+2*s.Layers+len(st.inputs))
	for _, t := range st.model.Params.tensors {
		args = append(args, t)
	}
	for i := range s.Layers {
		args = append(args, st.keys[i], st.values[i])
	}
	for _, in := range st.inputs {
		t, ok := values[in.Name]
		if !ok {
			return fmt.Errorf("model: generate: input %q %v is missing from Values", in.Name, in.Dims)
		}
		args = append(args, t)
	}
	var out []*tensors.Tensor
	var err error
	if caught := exceptions.TryCatch[error](func() { out, err = st.exec.Call(args...) }); caught != nil {
		err = caught
	}
	if err != nil {
		return fmt.Errorf("model: generate: %w", err)
	}
	err = tensors.ConstFlatData(out[0], func(flat []float32) { copy(logits, flat) })
	for i := range s.Layers {
		err = errors.Join(err, st.write(st.keys[i], out[1+2*i], now), st.write(st.values[i], out[2+2*i], now))
	}
	for r := range st.batch {
		st.valid[r*st.rows+now] = 1
	}
	for _, t := range out {
		err = errors.Join(err, t.FinalizeAll())
	}
	if err != nil {
		return fmt.Errorf("model: generate: %w", err)
	}
	return nil
}

// write puts one new row [b,k,e] into the cache at row now, in place.
func (st *stepper) write(cache, row *tensors.Tensor, now int) error {
	e := st.model.Spec.DHead
	var inner error
	err := tensors.ConstFlatData(row, func(from []float32) {
		inner = tensors.MutableFlatData(cache, func(to []float32) {
			for i := range len(from) / e {
				copy(to[(i*st.rows+now)*e:][:e], from[i*e:(i+1)*e])
			}
		})
	})
	return errors.Join(err, inner)
}

// compile builds the decoding step, or takes it from the engine.
func (st *stepper) compile(opt GenerateOptions) error {
	s := st.model.Spec
	st.plan = Plan{Batch: st.batch, Seq: 1, Logits: LogitsAll, Storage: st.model.Params.dtype, Edits: opt.Edits}
	if err := st.plan.validate(s); err != nil {
		return err
	}
	st.inputs = []Input{
		{"ids", dtypes.Int32, []int{st.batch, 1}}, {"positions", dtypes.Int32, []int{st.batch, 1}},
		{"valid", dtypes.Int32, []int{st.batch, st.rows}}, {"now", dtypes.Int32, nil},
	}
	for i := range opt.Edits {
		for _, t := range opt.Edits[i].tensors(s, st.batch, 1) {
			st.inputs = append(st.inputs, Input{fmt.Sprintf("edit.%d.%s", i, t.Name), t.DType, t.Dims})
		}
	}
	exec, err := st.engine.step(stepKey(s, st.plan, st.rows), func() (*graph.Exec, error) {
		return newStepExec(st.engine.backend, s, st.plan, st.rows, st.inputs)
	})
	st.exec = exec
	return err
}

// step returns the compiled decoding step under key, building it on first use.
func (e *Engine) step(key string, build func() (*graph.Exec, error)) (*graph.Exec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if exec, ok := e.steps[key]; ok {
		return exec, nil
	}
	exec, err := build()
	if err != nil {
		return nil, fmt.Errorf("model: compile a decoding step: %w", err)
	}
	e.compiles++
	e.log.Debug("compiled a decoding step", "compiles", e.compiles)
	e.steps[key] = exec
	return exec, nil
}

// newStepExec builds the executor of a decoding step.
func newStepExec(b compute.Backend, s *Spec, plan Plan, rows int, inputs []Input) (*graph.Exec, error) {
	return graph.NewExec(b, func(nodes []*graph.Node) []*graph.Node { return stepGraph(s, &plan, rows, inputs, nodes) })
}

// choose picks the next token from logits [v].
func choose(logits []float32, opt GenerateOptions, random *rand.Rand) int32 {
	if opt.Temperature == 0 {
		best := 0
		for i, v := range logits {
			if v > logits[best] {
				best = i
			}
		}
		return int32(best)
	}
	type candidate struct {
		id int32
		p  float64
	}
	all := make([]candidate, len(logits))
	for i, v := range logits {
		all[i] = candidate{int32(i), float64(v) / opt.Temperature}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		switch {
		case a.p > b.p:
			return -1
		case a.p < b.p:
			return 1
		}
		return 0
	})
	if opt.TopK > 0 && opt.TopK < len(all) {
		all = all[:opt.TopK]
	}
	top, sum := all[0].p, 0.0
	for i := range all {
		all[i].p = math.Exp(all[i].p - top)
		sum += all[i].p
	}
	if opt.TopP > 0 && opt.TopP < 1 {
		// the smallest set of most likely tokens whose probability reaches TopP
		kept := 0.0
		for i := range all {
			kept += all[i].p
			if kept >= opt.TopP*sum {
				all, sum = all[:i+1], kept
				break
			}
		}
	}
	at := random.Float64() * sum
	for _, c := range all {
		if at -= c.p; at <= 0 {
			return c.id
		}
	}
	return all[len(all)-1].id
}
