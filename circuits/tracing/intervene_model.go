package tracing

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/probe/model"
)

// Hold says what stays as it was on the prompt while features are set in the model.
type Hold struct {
	Attention bool // attention patterns
	FinalNorm bool // the last norm's divisor
}

// Measured measures, in the model itself, the change of every row's target [sets, r] when features are set: what they write is added to the
// sites that they write, and everything behind follows, norms and MLPs included, but for what hold says. The change is that of a feature's
// pre-activation, which it has whether or not it fires.
func (r *Run) Measured(ctx context.Context, sets [][]Intervention, hold Hold) ([][]float64, error) {
	slots := 1 // positions of one layer that are written
	writes := make([]map[[2]int][]float64, len(sets))
	for i, set := range sets {
		var err error
		if writes[i], err = r.added(set); err != nil {
			return nil, err
		}
		count := map[int]int{}
		for at := range writes[i] {
			count[at[0]]++
			slots = max(slots, count[at[0]])
		}
	}
	p, err := r.interventions(slots, hold)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.free() }()
	before, err := p.run(ctx, nil)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(sets))
	for i, write := range writes {
		if out[i], err = p.run(ctx, write); err != nil {
			return nil, err
		}
		for j, v := range before {
			out[i][j] -= v
		}
	}
	return out, nil
}

// added is what is added to written sites, by layer and position.
func (r *Run) added(set []Intervention) (map[[2]int][]float64, error) {
	values, err := r.check(set)
	if err != nil {
		return nil, err
	}
	d := r.tracer.dict
	out := map[[2]int][]float64{}
	for i, f := range r.Graph.Features {
		v, ok := values[i]
		if !ok {
			continue
		}
		for l := f.Layer; l <= d.last(f.Layer); l++ {
			key := [2]int{l, f.Position}
			if out[key] == nil {
				out[key] = make([]float64, d.d)
			}
			d.addDecoder(out[key], f.Layer, f.Index, l, v-f.Activation)
		}
	}
	return out, nil
}

// interventionPass is the compiled model with vectors added at written sites.
type interventionPass struct {
	r         *Run
	program   *model.Program
	slots     int
	finalNorm bool // its divisor is held
	captures  []model.Site
	pattern   map[string]*tensors.Tensor // nil where attention follows
}

func (r *Run) interventions(slots int, hold Hold) (*interventionPass, error) {
	t, s, n := r.tracer, r.tracer.model.Spec, r.frozen.t
	p := &interventionPass{r: r, slots: slots, finalNorm: hold.FinalNorm && s.FinalNorm}
	plan := model.Plan{Batch: 1, Seq: n, Storage: t.model.Params.Storage()}
	for l := range s.Layers {
		for range slots {
			plan.Edits = append(plan.Edits, model.Edit{Site: t.dict.Out, Layers: []int{l}, Add: true})
		}
		p.captures = append(p.captures, model.Site{Kind: t.dict.In, Layer: l})
	}
	p.captures = append(p.captures, model.Site{Kind: model.LastHidden})
	if p.finalNorm {
		p.captures = append(p.captures, model.Site{Kind: model.LNFinalScale})
	}
	for _, site := range p.captures {
		plan.Captures = append(plan.Captures, model.Capture{Site: site})
	}
	if hold.Attention {
		plan.Edits = append(plan.Edits, model.Edit{Site: model.Pattern, Replace: true, SourcePerLayer: true})
		var source []float32
		for l := range r.frozen.layers {
			source = append(source, narrow(r.frozen.layers[l].pattern)...)
		}
		where, dims := ones(s.Layers*s.Heads*n), ones(n)
		p.pattern = map[string]*tensors.Tensor{
			"source": tensors.FromFlatDataAndDimensions(source, s.Layers, 1, s.Heads, n, n),
			"where":  tensors.FromFlatDataAndDimensions(where, s.Layers, 1, s.Heads, n),
			"dims":   tensors.FromFlatDataAndDimensions(dims, n),
		}
	}
	var err error
	if p.program, err = t.engine.Compile(s, plan); err != nil {
		return nil, fmt.Errorf("tracing: interventions: %w", errors.Join(err, p.free()))
	}
	return p, nil
}

// run returns every row's target [r] with vectors added by layer and position.
func (p *interventionPass) run(ctx context.Context, add map[[2]int][]float64) (_ []float64, err error) {
	t, s, n, d := p.r.tracer, p.r.tracer.model.Spec, p.r.frozen.t, p.r.tracer.dict.d
	in := model.Inputs{IDs: p.r.Graph.Tokens}
	var own []*tensors.Tensor
	for l := range s.Layers {
		left := p.slots
		for at := range n {
			v, ok := add[[2]int{l, at}]
			if !ok {
				continue
			}
			strength := make([]float32, n)
			strength[at] = 1
			edit := map[string]*tensors.Tensor{"strength": tensors.FromFlatDataAndDimensions(strength, 1, 1, n), "direction": tensors.FromFlatDataAndDimensions(narrow(v), d)}
			in.Edits = append(in.Edits, edit)
			own = append(own, edit["strength"], edit["direction"])
			left--
		}
		for range left {
			in.Edits = append(in.Edits, nil)
		}
	}
	if p.pattern != nil {
		in.Edits = append(in.Edits, p.pattern)
	}
	defer func() {
		for _, x := range own {
			err = errors.Join(err, x.FinalizeAll())
		}
	}()
	out, err := p.program.Run(ctx, t.model.Params, in)
	if err != nil {
		return nil, fmt.Errorf("tracing: interventions: %w", err)
	}
	defer func() { err = errors.Join(err, out.Free()) }()
	pass := read{in: make([][]float64, s.Layers)}
	for _, site := range p.captures {
		values, err := tensors.CopyFlatData[float32](out.Site(site))
		if err != nil {
			return nil, fmt.Errorf("tracing: interventions: %s: %w", site, err)
		}
		switch site.Kind {
		case model.LastHidden:
			pass.final = widen(values)
			continue
		case model.LNFinalScale:
			p.rescale(pass.final, values)
			continue
		}
		pass.in[site.Layer] = widen(values)
		if t.dict.In == t.dict.Out { // a feature reads the site before the vector is added
			for at := range n {
				if v := add[[2]int{site.Layer, at}]; v != nil {
					axpy(-1, v, pass.in[site.Layer][at*d:(at+1)*d])
				}
			}
		}
	}
	values := make([]float64, p.r.Graph.Rows())
	for i := range values {
		values[i] = p.r.read(i, pass)
	}
	return values, nil
}

// rescale makes the final norm's output that with the prompt's divisors of that with divisors scale [t].
func (p *interventionPass) rescale(final []float64, scale []float32) {
	n := p.r.frozen.final
	each(final, p.r.tracer.dict.d, func(at int, row []float64) {
		for i := range row {
			bias := 0.0
			if n.b != nil {
				bias = n.b[i]
			}
			row[i] = (row[i]-bias)*float64(scale[at])/n.scale[at] + bias
		}
	})
}

func (p *interventionPass) free() error {
	var err error
	for _, x := range p.pattern {
		err = errors.Join(err, x.FinalizeAll())
	}
	return err
}

func ones(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = 1
	}
	return out
}
