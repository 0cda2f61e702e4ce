package tracing

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"loupe/probe/model"
)

// Config says what a graph holds.
type Config struct {
	LogitProbability float64 `json:"logit_probability" doc:"the targets are the fewest most probable next tokens that have this probability together"`
	MaxLogits        int     `json:"max_logits" doc:"but at most so many"`
	MaxFeatures      int     `json:"max_features" doc:"features in the graph; where more are active, those of most influence on the targets, found batch after batch"`
	Batch            int     `json:"batch" doc:"targets that go through the model at once"`
	MaxBytes         int64   `json:"max_bytes" doc:"largest adjacency; a prompt that needs more is an error before it is computed"`
}

// DefaultConfig is that of circuit-tracer.
func DefaultConfig() Config {
	return Config{LogitProbability: 0.95, MaxLogits: 10, MaxFeatures: 7500, Batch: 512, MaxBytes: 4 << 30}
}

// Validate checks the settings.
func (c Config) Validate() error {
	if !(c.LogitProbability > 0 && c.LogitProbability <= 1) || c.MaxLogits < 1 || c.MaxFeatures < 1 || c.Batch < 1 || c.MaxBytes < 1 {
		return fmt.Errorf("tracing: %+v: logit_probability must be in (0,1], the other numbers positive", c)
	}
	return nil
}

// Tracer makes attribution graphs of one model with one dictionary.
type Tracer struct {
	engine  *model.Engine
	model   *model.Model
	dict    *Dictionary
	weights *weights

	unembed []float32 // [v, d]
	mean    []float64 // [d], of the unembedding over the vocabulary
}

// New reads the weights that attribution needs to the host. m must be a decoder that normalises what a sub-layer reads or writes, not the
// residual stream itself.
func New(ctx context.Context, e *model.Engine, m *model.Model, d *Dictionary) (*Tracer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if d.d != m.Spec.DModel || d.clt == nil && len(d.layers) != m.Spec.Layers {
		return nil, fmt.Errorf("tracing: the dictionary is of a model of width %d, this one has %d", d.d, m.Spec.DModel)
	}
	w, err := readWeights(m, !d.transcodes())
	if err != nil {
		return nil, err
	}
	t := &Tracer{engine: e, model: m, dict: d, weights: w, mean: make([]float64, m.Spec.DModel)}
	name := "W_U"
	if m.Spec.Tied {
		name = "W_E"
	}
	if t.unembed, err = m.Params.Values(name); err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	each32(t.unembed, d.d, func(row []float32) {
		for i, v := range row {
			t.mean[i] += float64(v) / float64(m.Spec.Vocab)
		}
	})
	return t, nil
}

// Run is a traced prompt: its graph, and what interventions need.
type Run struct {
	Graph *Graph
	// Errors are the vectors behind the graph's error nodes, by layer [t, d]; nil where the dictionary does not write.
	Errors [][]float64

	tracer  *Tracer
	frozen  *frozen
	targets []target  // by row
	bias    []float64 // by row: of the encoder
	embed   []float64 // [t, d]
	all     []Feature // every active feature
	kept    []int     // of all, those in the graph
}

// Trace makes the graph of the next token after tokens [t].
func (t *Tracer) Trace(ctx context.Context, tokens []int32, cfg Config) (*Run, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("tracing: no tokens")
	}
	c, err := t.capture(ctx, tokens)
	if err != nil {
		return nil, err
	}
	s := t.model.Spec
	r := &Run{tracer: t, frozen: t.freezeAt(c, len(tokens)), embed: widen(c.sites[model.Site{Kind: model.Embed}])}
	g := &Graph{Layers: s.Layers, Tokens: slices.Clone(tokens)}
	r.Graph = g
	in := make([][]float32, s.Layers)
	for l := range in {
		in[l] = c.sites[model.Site{Kind: t.dict.In, Layer: l}]
	}
	if err := r.encode(in); err != nil {
		return nil, err
	}
	r.Errors = r.leave(c, in)
	for l := range s.Layers {
		if t.dict.cuts(l) {
			for p := range tokens {
				g.Errors = append(g.Errors, Error{l, p})
			}
		}
	}
	g.Logits = t.logits(c, cfg)
	if err := r.attribute(ctx, cfg); err != nil {
		return nil, err
	}
	r.explain(in, c)
	return r, nil
}

// encode lists the active features.
func (r *Run) encode(in [][]float32) error {
	latents, err := r.tracer.dict.encodeAll(in)
	if err != nil {
		return err
	}
	for l, lat := range latents {
		for p := range lat.Rows() {
			index, value := lat.Row(p)
			from := len(r.all)
			for j, i := range index {
				if value[j] != 0 {
					r.all = append(r.all, Feature{Layer: l, Position: p, Index: int(i), Activation: float64(value[j])})
				}
			}
			slices.SortFunc(r.all[from:], func(a, b Feature) int { return cmp.Compare(a.Index, b.Index) })
		}
	}
	r.Graph.Active = len(r.all)
	return nil
}

// leave is what the dictionary leaves of each written site.
func (r *Run) leave(c *captured, in [][]float32) [][]float64 {
	d, t := r.tracer.dict, r.frozen.t
	out := make([][]float64, len(in))
	for l := range in {
		if !d.cuts(l) {
			continue
		}
		left := widen(c.sites[model.Site{Kind: d.Out, Layer: l}])
		if skip := r.frozen.layers[l].skip; skip != nil {
			path := make([]float64, len(left))
			addProduct(path, widen(in[l]), skip.forward)
			axpy(-1, path, left)
		}
		if b := d.bias(l); b != nil {
			wide := widen(b)
			for p := range t {
				axpy(-1, wide, left[p*d.d:(p+1)*d.d])
			}
		}
		for _, f := range r.all {
			if f.Layer <= l && l <= d.last(f.Layer) {
				d.addDecoder(left[f.Position*d.d:(f.Position+1)*d.d], f.Layer, f.Index, l, -f.Activation)
			}
		}
		out[l] = left
	}
	return out
}

// logits are the targets at the last position.
func (t *Tracer) logits(c *captured, cfg Config) []Logit {
	order := make([]int, len(c.logits))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.logits[b], c.logits[a]) })
	total, top := 0.0, float64(c.logits[order[0]])
	for _, v := range c.logits {
		total += math.Exp(float64(v) - top)
	}
	last := c.sites[model.Site{Kind: model.LastHidden}]
	last = last[len(last)-t.dict.d:]
	var out []Logit
	sum := 0.0
	for _, token := range order[:min(cfg.MaxLogits, len(order))] {
		p := math.Exp(float64(c.logits[token])-top) / total
		out = append(out, Logit{Token: int32(token), Logit: dot(t.direction(token), last), Probability: p})
		if sum += p; sum >= cfg.LogitProbability {
			break
		}
	}
	return out
}

// direction is a token's unembedding less the mean over the vocabulary.
func (t *Tracer) direction(token int) []float64 {
	d := t.dict.d
	out := widen(t.unembed[token*d : (token+1)*d])
	axpy(-1, t.mean, out)
	return out
}

// explain fills in what every row should sum to, and its bias.
func (r *Run) explain(in [][]float32, c *captured) {
	d, g := r.tracer.dict, r.Graph
	bias := r.frozen.forward(nil, true, func(l int, _ []float64) []float64 { return spread(d.bias(l), r.frozen.t) })
	g.Bias, g.Target = make([]float64, g.Rows()), make([]float64, g.Rows())
	for i := range g.Rows() {
		g.Bias[i] = r.read(i, bias) // with the encoder's bias
		if i < len(g.Features) {
			f := &g.Features[i]
			f.Pre = dot(r.targets[i].direction, in[f.Layer][f.Position*d.d:(f.Position+1)*d.d]) + r.bias[i]
			g.Target[i] = f.Pre
		} else {
			g.Target[i] = g.Logits[i-len(g.Features)].Logit
		}
	}
}

// read is the value of row i's target in a frozen pass.
func (r *Run) read(i int, pass read) float64 {
	t, d := r.targets[i], r.tracer.dict.d
	x := pass.final
	if t.layer < r.Graph.Layers {
		x = pass.in[t.layer]
	}
	sum := r.bias[i]
	for j, v := range x[t.position*d : (t.position+1)*d] {
		sum += v * t.direction[j]
	}
	return sum
}

// spread repeats a row for every position; nil stays nil.
func spread(row []float32, t int) []float64 {
	var out []float64
	for range t {
		for _, v := range row {
			out = append(out, float64(v))
		}
	}
	return out
}

func dot(a []float64, b []float32) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * float64(b[i])
	}
	return sum
}

func each32(x []float32, width int, f func(row []float32)) {
	for i := 0; i < len(x); i += width {
		f(x[i : i+width])
	}
}
