package tracing

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/sae"
)

// coder is a random coder of width 24 at the scale of its input.
func coder(seed uint64, arch string, d int) *sae.SAE {
	const f = 24
	r := rand.New(rand.NewPCG(seed, 7))
	normals := func(n int, scale float64) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(scale * r.NormFloat64())
		}
		return out
	}
	size := 1 / math.Sqrt(float64(d))
	c := &sae.SAE{Arch: arch, DIn: d, DSAE: f, Normalize: sae.NormalizeNone, WEnc: normals(d*f, size), BEnc: normals(f, 0.1), WDec: normals(f*d, size), BDec: normals(d, 0.1)}
	if strings.Contains(arch, "transcoder") {
		c.DOut = d
	} else {
		c.ApplyBDecToInput = true
	}
	if strings.Contains(arch, "skip") {
		c.WSkip = normals(d*d, size)
	}
	switch {
	case strings.HasPrefix(arch, "topk"):
		c.K = 6
		if !strings.Contains(arch, "transcoder") {
			c.RescaleByDecoder = true
		}
	case strings.HasPrefix(arch, "jumprelu"):
		c.Threshold = make([]float32, f)
		for i := range c.Threshold {
			c.Threshold[i] = 0.05
		}
	case arch == sae.ArchGated:
		c.BEnc, c.BGate, c.BMag, c.RMag = nil, normals(f, 0.1), normals(f, 0.1), normals(f, 0.1)
	}
	return c
}

// dictionaries are one of each sort for a model, by name.
func dictionaries(t *testing.T, s *model.Spec) map[string]*Dictionary {
	t.Helper()
	out := map[string]*Dictionary{}
	add := func(name string, d *Dictionary, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = d
	}
	layers := func(arch string, skip int) []*sae.SAE {
		all := make([]*sae.SAE, s.Layers)
		for l := range all {
			if l != skip {
				all[l] = coder(uint64(l+1), arch, s.DModel)
			}
		}
		return all
	}
	d, err := Transcoders(s, layers(sae.ArchTopKTranscoder, -1))
	add("transcoders", d, err)
	d, err = Transcoders(s, layers(sae.ArchJumpReLUSkip, 0)) // the first layer has none
	add("skip transcoders", d, err)
	for arch, site := range map[string]model.Kind{sae.ArchStandard: model.MLPOut, sae.ArchGated: model.AttnOut, sae.ArchTopK: model.ResidPost, sae.ArchJumpReLU: model.ResidPre} {
		d, err = Autoencoders(s, site, layers(arch, -1))
		add(arch+" at "+site.Name(), d, err)
	}
	if !s.Parallel {
		d, err = Autoencoders(s, model.ResidMid, layers(sae.ArchStandard, s.Layers-1))
		add("hook_resid_mid", d, err)
	}
	clt := &sae.CLT{DIn: s.DModel, DOut: s.DModel, DSAE: 24, Activation: sae.ActivationReLU}
	for l := range s.Layers {
		c := coder(uint64(l+1), sae.ArchTranscoder, s.DModel)
		layer := sae.CLTLayer{BEnc: c.BEnc, BDec: c.BDec, WEnc: make([]float32, len(c.WEnc)), WSkip: coder(9, sae.ArchSkipTranscoder, s.DModel).WSkip}
		for i := range s.DModel {
			for j := range 24 {
				layer.WEnc[j*s.DModel+i] = c.WEnc[i*24+j]
			}
		}
		for range s.Layers - l {
			layer.WDec = append(layer.WDec, c.WDec...)
		}
		for i := range layer.WDec { // other directions for other layers
			layer.WDec[i] *= float32(1 + i%3)
		}
		clt.Layers = append(clt.Layers, layer)
	}
	d, err = CrossLayer(s, clt)
	add("cross-layer transcoder", d, err)
	return out
}

// families calls f for every decoder among the tiny models that has a residual stream that is a sum.
func families(t *testing.T, f func(name string, e *model.Engine, m *model.Model)) {
	t.Helper()
	dir := filepath.Join(graphtest.Golden(t), "models", "tiny")
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, entry := range all {
		if !entry.IsDir() {
			continue
		}
		info, err := model.Inspect(filepath.Join(dir, entry.Name()), model.Options{AllowExtra: true})
		if err != nil {
			t.Fatal(err)
		}
		if !info.Spec.Decoder || info.Spec.HasEdges() != nil {
			continue
		}
		tried++
		e := model.NewEngine(graphtest.Interpreted(t), nil)
		m, err := model.Load(t.Context(), e.Backend(), filepath.Join(dir, entry.Name()), model.Options{AllowExtra: true})
		if err != nil {
			t.Fatal(err)
		}
		f(entry.Name(), e, m)
		if err := m.Params.Free(); err != nil {
			t.Error(err)
		}
	}
	if tried < 12 {
		t.Errorf("only %d families were tried", tried)
	}
}

func trace(t *testing.T, e *model.Engine, m *model.Model, d *Dictionary, tokens []int32, cfg Config) *Run {
	t.Helper()
	tracer, err := New(t.Context(), e, m, d)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tracer.Trace(t.Context(), tokens, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must[T any](t *testing.T) func(x T, err error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// TestRows: in every decoder family, with transcoders, cross-layer transcoders and autoencoders of every site, a row's sum and its bias make its target,
// and what the graph says of an intervention is what the frozen forward pass gives.
func TestRows(t *testing.T) {
	worst, far := 0.0, 0.0
	families(t, func(name string, e *model.Engine, m *model.Model) {
		for kind, d := range dictionaries(t, m.Spec) {
			r := trace(t, e, m, d, []int32{3, 1, 4, 1, 5}, DefaultConfig())
			g := r.Graph
			if len(g.Features) == 0 {
				t.Errorf("%s, %s: nothing is active", name, kind)
				continue
			}
			worst = max(worst, g.Gap())
			if g.Gap() > 1e-4 { // what is captured is float32
				t.Errorf("%s, %s: row sums miss by %.2g", name, kind, g.Gap())
			}
			set := []Intervention{{0, 0}, {len(g.Features) / 2, -1}}
			direct, measured := must[[]float64](t)(r.Direct(set)), must[[]float64](t)(r.Constrained(set))
			for i, v := range direct {
				gap := math.Abs(v-measured[i]) / (1 + math.Abs(v))
				far = max(far, gap)
				if gap > 1e-9 {
					t.Errorf("%s, %s: target %d changes by %v, the graph says %v", name, kind, i, measured[i], v)
				}
			}
		}
	})
	t.Logf("row sums miss their targets by %.1e at most, the frozen model the graph by %.1e", worst, far)
}

// exactTranscoders replace the relu MLPs of a model by themselves: one latent a neuron.
func exactTranscoders(t *testing.T, m *model.Model) []*sae.SAE {
	t.Helper()
	s := m.Spec
	var out []*sae.SAE
	for l := range s.Layers {
		values := func(name string) []float32 {
			return must[[]float32](t)(m.Params.Values(fmt.Sprintf("blocks.%d.%s", l, name)))
		}
		in, back := values("W_in"), values("W_out") // [f, d], [d, f]
		c := &sae.SAE{Arch: sae.ArchTranscoder, DIn: s.DModel, DOut: s.DModel, DSAE: s.DMLP, Normalize: sae.NormalizeNone, BEnc: values("b_in"), BDec: values("b_out"), WEnc: make([]float32, len(in)), WDec: make([]float32, len(back))}
		for i := range s.DModel {
			for j := range s.DMLP {
				c.WEnc[i*s.DMLP+j], c.WDec[j*s.DModel+i] = in[j*s.DModel+i], back[i*s.DMLP+j]
			}
		}
		out = append(out, c)
	}
	return out
}

// TestPlanted: in a hand-built model a head moves the digit 6 from position 1 and neuron 6 of the second MLP raises the logits of the digits above it.
// With transcoders that are the MLPs, the graph is that path and nothing else, and setting the neuron in the model does what the graph says.
func TestPlanted(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	m := must[*model.Model](t)(model.Load(t.Context(), e.Backend(), filepath.Join(graphtest.Golden(t), "circuits", "models", "greater-than"), model.Options{}))
	d := must[*Dictionary](t)(Transcoders(m.Spec, exactTranscoders(t, m)))
	cfg := DefaultConfig()
	cfg.MaxLogits = 3 // 7, 8 and 9
	r := trace(t, e, m, d, []int32{14, 6, 12, 11, 12, 10, 15}, cfg)
	g := r.Graph
	inf := must[*Influence](t)(g.Influence())
	t.Logf("%d features, replacement %.6f, completeness %.6f, gap %.1e", len(g.Features), inf.Replacement, inf.Completeness, g.Gap())
	if inf.Replacement < 0.999 || inf.Completeness < 0.999 { // the MLPs are relu, so that nothing is left
		t.Errorf("replacement %v and completeness %v", inf.Replacement, inf.Completeness)
	}
	neuron := slices.IndexFunc(g.Features, func(f Feature) bool { return f.Layer == 1 && f.Position == 6 && f.Index == 6 })
	if neuron < 0 {
		t.Fatalf("neuron 6 is not among %v", g.Features)
	}
	for _, f := range g.Features {
		if f.Index != 6 {
			t.Errorf("%v is active", f)
		}
	}
	// its pre-activation is twice the digit's own coordinate, which is 15/16 since embeddings of 16 tokens are centred, less 1
	tokens := g.Row(neuron)[len(g.Features)+len(g.Errors):]
	equal(t, "bias of the neuron", g.Bias[neuron:neuron+1], []float64{-1}, 1e-3)
	equal(t, "tokens to the neuron", tokens, []float64{0, 1.875, 0, 0, 0, 0, 0}, 1e-3)
	for i, l := range g.Logits {
		row := g.Row(len(g.Features) + i)
		above, other := row[neuron], 0.0
		for c, v := range row {
			if c != neuron {
				other = max(other, math.Abs(v))
			}
		}
		if l.Token <= 6 || l.Token > 9 || above < 10*other {
			t.Errorf("token %d gets %v from the neuron and %v from another source", l.Token, above, other)
		}
	}
	set := []Intervention{{neuron, 0}}
	said := must[[]float64](t)(r.Direct(set))
	for _, hold := range []Hold{{}, {Attention: true}, {Attention: true, FinalNorm: true}} {
		equal(t, "suppressed in the model", must[[][]float64](t)(r.Measured(t.Context(), [][]Intervention{set}, hold))[0], said, 1e-3)
	}
}

// TestReplaced: the local replacement model with nothing set is the model; where no feature starts or stops, it changes as the graph says over all
// paths; set features stay as they are set.
func TestReplaced(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits", "attribution", "relu")
	m := must[*model.Model](t)(model.Load(t.Context(), e.Backend(), filepath.Join(root, "model"), model.Options{}))
	for kind, d := range dictionaries(t, m.Spec) {
		r := trace(t, e, m, d, []int32{3, 1, 4, 1, 5}, DefaultConfig())
		equal(t, kind+": nothing set", must[[]float64](t)(r.Replaced(nil)), make([]float64, r.Graph.Rows()), 0)
		strongest, most := 0, 0.0
		for i := range r.Graph.Features {
			for _, v := range must[[]float64](t)(r.Direct([]Intervention{{i, 0}})) {
				if math.Abs(v) > most {
					strongest, most = i, math.Abs(v)
				}
			}
		}
		set := []Intervention{{strongest, r.Graph.Features[strongest].Activation * (1 + 1e-3)}} // so little that thresholds are not passed
		total, got := must[[]float64](t)(r.Total(set)), must[[]float64](t)(r.Replaced(set))
		equal(t, kind+": small change", got, total, 2e-6) // activations are rounded to float32
		changed := 0.0
		for _, v := range got {
			changed = max(changed, math.Abs(v))
		}
		if changed < 1e-4 {
			t.Errorf("%s: nothing changes", kind)
		}
	}
}

// TestMeasured: vectors are added where they belong. Of two features of the last layer only the one at the last position reaches the logits, each
// alone and both together; nothing before the site changes; and with the last norm's divisor held, which is all that lies behind, the logits change in the
// model as the graph says.
func TestMeasured(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits", "attribution", "relu")
	m := must[*model.Model](t)(model.Load(t.Context(), e.Backend(), filepath.Join(root, "model"), model.Options{}))
	for kind, d := range dictionaries(t, m.Spec) {
		r := trace(t, e, m, d, []int32{3, 1, 4, 1, 5}, DefaultConfig())
		g := r.Graph
		find := func(p int) int {
			return slices.IndexFunc(g.Features, func(f Feature) bool { return f.Layer == g.Layers-1 && f.Position == p })
		}
		early, late := find(2), find(4)
		if kind == "hook_resid_mid" || d.Out == model.ResidPre || d.Out == model.AttnOut { // the last layer has none, or its attention or MLP lies behind the site
			continue
		}
		got := must[[][]float64](t)(r.Measured(t.Context(), [][]Intervention{{{early, 9}}, {{late, 9}}, {{early, 9}, {late, 9}}}, Hold{Attention: true}))
		equal(t, kind+": early", got[0], make([]float64, g.Rows()), 1e-5) // an own site's vector is added and taken off again in float32
		equal(t, kind+": both", got[2], got[1], 1e-5)
		features := len(g.Features)
		equal(t, kind+": features", got[1][:features], make([]float64, features), 1e-5)
		moved := 0.0
		for _, v := range got[1][features:] {
			moved = max(moved, math.Abs(v))
		}
		if moved < 0.01 {
			t.Errorf("%s: the logits change by %v at most", kind, moved)
		}
		held := must[[][]float64](t)(r.Measured(t.Context(), [][]Intervention{{{late, 9}}}, Hold{FinalNorm: true}))[0]
		equal(t, kind+": last divisor held", held, must[[]float64](t)(r.Direct([]Intervention{{late, 9}})), 1e-4)
	}
}

// TestMaxFeatures: where features are left out, the rows that stay are those of the whole graph, and they are the most influential by the rows found.
func TestMaxFeatures(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits", "attribution", "relu")
	m := must[*model.Model](t)(model.Load(t.Context(), e.Backend(), filepath.Join(root, "model"), model.Options{}))
	d := dictionaries(t, m.Spec)["cross-layer transcoder"]
	cfg := DefaultConfig()
	whole := trace(t, e, m, d, []int32{3, 1, 4, 1, 5}, cfg)
	cfg.MaxFeatures, cfg.Batch = 20, 3
	part := trace(t, e, m, d, []int32{3, 1, 4, 1, 5}, cfg)
	if len(part.Graph.Features) != 20 || part.Graph.Active != len(whole.Graph.Features) {
		t.Fatalf("%d of %d features, want 20 of %d", len(part.Graph.Features), part.Graph.Active, len(whole.Graph.Features))
	}
	columns := append([]int(nil), part.kept...)
	for c := len(whole.Graph.Features); c < whole.Graph.Columns(); c++ {
		columns = append(columns, c)
	}
	rows := append([]int(nil), part.kept...)
	for i := range whole.Graph.Logits {
		rows = append(rows, len(whole.Graph.Features)+i)
	}
	for i, row := range rows {
		for j, c := range columns {
			if a, b := part.Graph.Row(i)[j], whole.Graph.Row(row)[c]; math.Abs(a-b) > 1e-12 {
				t.Fatalf("row %d, column %d is %v, in the whole graph %v", i, j, a, b)
			}
		}
	}
	inf := must[*Influence](t)(whole.Graph.Influence())
	best := slices.MaxFunc(whole.Graph.Features, func(a, b Feature) int {
		return cmp.Compare(inf.Values[slices.Index(whole.Graph.Features, a)], inf.Values[slices.Index(whole.Graph.Features, b)])
	})
	if !slices.Contains(part.Graph.Features, best) {
		t.Errorf("the most influential feature %v was left out", best)
	}
	// the last layer's edges to logits do not depend on what was left out, so that the frozen model still agrees
	set := []Intervention{{len(part.Graph.Features) - 1, 0}}
	equal(t, "constrained", must[[]float64](t)(part.Constrained(set)), must[[]float64](t)(part.Direct(set)), 1e-9)
}

// TestErrors: what cannot be traced is refused with the reason.
func TestErrors(t *testing.T) {
	s := &model.Spec{Family: "gpt2", Layers: 1, DModel: 4, Decoder: true, Causal: true}
	for want, c := range map[string]*sae.SAE{
		"widths":       coder(1, sae.ArchTranscoder, 5),
		"other sort":   coder(1, sae.ArchStandard, 4),
		"no layer has": nil,
	} {
		if _, err := Transcoders(s, []*sae.SAE{c}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if _, err := Transcoders(s, nil); err == nil {
		t.Error("no coders for one layer")
	}
	r := byHand(t)
	if err := r.attribute(t.Context(), Config{LogitProbability: 1, MaxLogits: 1, MaxFeatures: 9, Batch: 1, MaxBytes: 8}); err == nil || !strings.Contains(err.Error(), "max_bytes") {
		t.Errorf("a graph above max_bytes: %v", err)
	}
	if err := r.attribute(t.Context(), DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	for _, set := range [][]Intervention{{{9, 0}}, {{0, 0}, {0, 1}}, {{0, math.NaN()}}} {
		if _, err := r.Direct(set); err == nil {
			t.Errorf("%v is no intervention", set)
		}
	}
	if _, err := r.Graph.Prune(Pruning{Nodes: 2, Edges: 1}); err == nil {
		t.Error("pruning to 200 %")
	}
}
