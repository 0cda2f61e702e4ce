package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/graphtest"
)

// every returns one edit of each class at a kind of site.
func everyEdit(k Kind) []Edit {
	edits := []Edit{{Site: k, Replace: true}, {Site: k, Mix: true}}
	if k.Axes() == "bhts" {
		return edits
	}
	edits = append(edits, Edit{Site: k, Add: true}, Edit{Site: k, Rank: 4}, Edit{Site: k, Affine: true}, Edit{Site: k, Add: true, Rank: 1, KeepNorm: true},
		Edit{Site: k, Add: true, Gate: GateStep}, Edit{Site: k, Rank: 1, Gate: GateSigmoid})
	if len(k.Axes()) == 3 {
		edits = append(edits, Edit{Site: k, Latents: 8}, Edit{Site: k, Latents: 8, TopK: 2}, Edit{Site: k, Add: true, Gate: GateStep, GateMax: true})
	}
	return edits
}

// TestZeroEditsAreTheIdentity: a plan with every class of edit at every editable site, all tensors zero.
func TestZeroEditsAreTheIdentity(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	for _, name := range []string{"llama-tied", "bert"} {
		m := tiny(t, engine, name)
		const b, seq = 2, 5
		last := []Capture{{Site: Site{LastHidden, 0}}}
		in := Inputs{IDs: someIDs(2, b*seq, m.Spec.Vocab)}
		want := values(t, run(t, engine, m, Plan{Batch: b, Seq: seq, Captures: last}, in).Site(Site{LastHidden, 0}))
		plan := Plan{Batch: b, Seq: seq, Captures: last}
		for _, k := range []Kind{Embed, ResidPre, ResidMid, ResidPost, AttnOut, MLPOut, Q, K, V, Z, Result, Pattern, Scores, MLPPost, LN1Out} {
			plan.Edits = append(plan.Edits, everyEdit(k)...)
		}
		got := values(t, run(t, engine, m, plan, in).Site(Site{LastHidden, 0}))
		// products with zero are exact, but KeepNorm's quotients round: up to 1.1e-6 over the edits of all layers
		nearly(t, name, got, want, 5e-6)
	}
}

// host computes Edit's equation for one vector in float64.
type host struct {
	x, source, direction, bias []float32
	v, u, a                    []float32
	where, mix, strength, gate float64
	dims                       []float32
	rank                       int
}

func (h host) edit() []float32 {
	w := len(h.x)
	out := make([]float32, w)
	for i := range out {
		x := float64(h.x[i])
		y := x
		if h.where > 0 && h.dims[i] > 0 {
			y = float64(h.source[i])
		}
		y += h.mix * (float64(h.source[i]) - x)
		change := 0.0
		for j := range h.rank {
			dot := 0.0
			for k := range w {
				dot += float64(h.v[j*w+k]) * float64(h.x[k]-h.bias[k])
			}
			change += dot * float64(h.u[j*w+i])
		}
		for k := range w {
			change += float64(h.a[i*w+k]) * float64(h.x[k]-h.bias[k])
		}
		out[i] = float32(y + h.gate*change + h.strength*float64(h.direction[i]))
	}
	return out
}

// TestEditEquation applies all linear classes at once at residual, head and MLP sites and compares the edited site with
// the equation computed on the host; places without edit must not change.
func TestEditEquation(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "llama-untied")
	s := m.Spec
	const b, seq, layer, rank = 2, 4, 1, 4
	for _, k := range []Kind{ResidPost, Z, MLPPost, AttnOut, K} {
		t.Run(k.Name(), func(t *testing.T) {
			site := Site{k, layer}
			in := Inputs{IDs: someIDs(4, b*seq, s.Vocab)}
			plan := Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: site}}}
			before := values(t, run(t, engine, m, plan, in).Site(site))
			edit := Edit{Site: k, Replace: true, Mix: true, Add: true, Rank: rank, Affine: true}
			plan.Edits = []Edit{edit}
			place := edit.placeDims(s, b, seq)
			width := s.Width(k, seq)
			vectors := len(before) / width
			r := rand.New(rand.NewPCG(9, 9))
			sparse := func() *tensors.Tensor { // a few places of the edited layer only
				v := make([]float32, s.Layers*vectors)
				for i := range vectors {
					if r.IntN(3) == 0 {
						v[layer*vectors+i] = float32(0.25 + r.Float64())
					}
				}
				return tensors.FromFlatDataAndDimensions(v, place...)
			}
			dims := make([]float32, width)
			for i := range dims {
				dims[i] = float32(i % 2)
			}
			in.Edits = []map[string]*tensors.Tensor{{
				"where": sparse(), "mix": sparse(), "strength": sparse(), "gate": sparse(), "dims": tensors.FromFlatDataAndDimensions(dims, width),
				"source": normal(1, s.Dims(k, b, seq)...), "direction": normal(2, width), "bias": normal(3, width),
				"V": normal(4, rank, width), "U": normal(5, rank, width), "A": normal(6, width, width),
			}}
			after := values(t, run(t, engine, m, plan, in).Site(site))
			get := func(name string) []float32 { return values(t, in.Edits[0][name]) }
			want := make([]float32, 0, len(after))
			for i := range vectors {
				at := layer*vectors + i
				want = append(want, host{
					x: before[i*width : (i+1)*width], source: get("source")[i*width : (i+1)*width], direction: get("direction"), bias: get("bias"),
					v: get("V"), u: get("U"), a: get("A"), dims: dims, rank: rank,
					where: float64(get("where")[at]), mix: float64(get("mix")[at]), strength: float64(get("strength")[at]), gate: float64(get("gate")[at]),
				}.edit()...)
			}
			nearly(t, site.String(), after, want, 2e-5)
			differs(t, site.String(), after, before, 1e-3)
		})
	}
}

// TestPatching: replacing one layer's whole residual stream by another run's gives that run's output, at every layer.
func TestPatching(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2")
	s := m.Spec
	const b, seq = 1, 6
	clean, corrupt := someIDs(11, b*seq, s.Vocab), someIDs(12, b*seq, s.Vocab)
	plan := Plan{Batch: b, Seq: seq, Logits: LogitsAll}
	for i := range s.Layers {
		plan.Captures = append(plan.Captures, Capture{Site: Site{ResidPost, i}})
	}
	other := run(t, engine, m, plan, Inputs{IDs: corrupt})
	want := values(t, other.Logits())
	plan.Captures = nil
	plan.Edits = []Edit{{Site: ResidPost, Replace: true}}
	for i := range s.Layers {
		where := make([]float32, s.Layers*b*seq)
		for j := range b * seq {
			where[i*b*seq+j] = 1
		}
		out := run(t, engine, m, plan, Inputs{IDs: clean, Edits: []map[string]*tensors.Tensor{{
			"where": tensors.FromFlatDataAndDimensions(where, s.Layers, b, seq), "source": other.Site(Site{ResidPost, i}),
		}}})
		nearly(t, fmt.Sprintf("layer %d", i), values(t, out.Logits()), want, 1e-5)
	}
}

// TestPatternReplacement: a pattern that attends only to itself makes z the values.
func TestPatternReplacement(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "bert")
	s := m.Spec
	const b, seq = 1, 4
	eye := make([]float32, b*s.Heads*seq*seq)
	for i := range b * s.Heads * seq {
		eye[i*seq+i%seq] = 1
	}
	plan := Plan{Batch: b, Seq: seq, Edits: []Edit{{Site: Pattern, Replace: true}}, Captures: []Capture{{Site: Site{Z, 0}}, {Site: Site{V, 0}}}}
	out := run(t, engine, m, plan, Inputs{IDs: someIDs(3, b*seq, s.Vocab), Edits: []map[string]*tensors.Tensor{{
		"where": constant(1, s.Layers, b, s.Heads, seq), "source": tensors.FromFlatDataAndDimensions(eye, b, s.Heads, seq, seq),
	}}})
	nearly(t, "z", values(t, out.Site(Site{Z, 0})), values(t, out.Site(Site{V, 0})), 1e-6)
}

// TestDirectionalAblation: x - v (v.x) for a unit v leaves nothing along v and everything across it.
func TestDirectionalAblation(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "bert")
	s := m.Spec
	const b, seq = 2, 3
	site := Site{NormalizedResidPost, 1}
	v := values(t, normal(7, s.DModel))
	length := 0.0
	for _, x := range v {
		length += float64(x) * float64(x)
	}
	minus := make([]float32, len(v))
	for i := range v {
		v[i] /= float32(math.Sqrt(length))
		minus[i] = -v[i]
	}
	plan := Plan{Batch: b, Seq: seq, Edits: []Edit{{Site: site.Kind, Layers: []int{1}, Rank: 1}}, Captures: []Capture{{Site: site}}}
	in := Inputs{IDs: someIDs(3, b*seq, s.Vocab), Edits: []map[string]*tensors.Tensor{{
		"gate": constant(1, 1, b, seq), "V": tensors.FromFlatDataAndDimensions(v, 1, s.DModel), "U": tensors.FromFlatDataAndDimensions(minus, 1, s.DModel),
	}}}
	x := values(t, run(t, engine, m, plan, in).Site(site))
	for row := range b * seq {
		dot := 0.0
		for i := range v {
			dot += float64(v[i]) * float64(x[row*s.DModel+i])
		}
		if math.Abs(dot) > 1e-5 {
			t.Errorf("row %d keeps %g along the removed direction", row, dot)
		}
	}
}

// TestGates: a step gate opens exactly where the probe's score is above the threshold; with GateMax whole rows open; a
// steep sigmoid agrees with the step; KeepNorm keeps lengths.
func TestGates(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "llama-tied")
	s := m.Spec
	const b, seq = 3, 4
	site := Site{ResidPost, 0}
	ids := someIDs(5, b*seq, s.Vocab)
	before := values(t, run(t, engine, m, Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: site}}}, Inputs{IDs: ids}).Site(site))
	probe := values(t, normal(8, s.DModel))
	scores := make([]float64, b*seq)
	for i := range scores {
		for j, p := range probe {
			scores[i] += float64(p) * float64(before[i*s.DModel+j])
		}
	}
	sorted := slices.Sorted(slices.Values(scores))
	threshold := (sorted[len(sorted)/2-1] + sorted[len(sorted)/2]) / 2
	for _, test := range []struct {
		name string
		edit Edit
		open func(row int) bool
	}{
		{"step", Edit{Gate: GateStep}, func(i int) bool { return scores[i] > threshold }},
		{"sigmoid", Edit{Gate: GateSigmoid}, func(i int) bool { return scores[i] > threshold }},
		{"row", Edit{Gate: GateStep, GateMax: true}, func(i int) bool { return slices.Max(scores[i/seq*seq:(i/seq+1)*seq]) > threshold }},
		{"norm", Edit{Gate: GateStep, KeepNorm: true}, func(i int) bool { return scores[i] > threshold }},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.edit.Site, test.edit.Add, test.edit.Layers = site.Kind, true, []int{0}
			out := run(t, engine, m, Plan{Batch: b, Seq: seq, Edits: []Edit{test.edit}, Captures: []Capture{{Site: site}}}, Inputs{IDs: ids, Edits: []map[string]*tensors.Tensor{{
				"strength": constant(2, 1, b, seq), "direction": normal(9, s.DModel), "probe": tensors.FromFlatDataAndDimensions(probe, s.DModel),
				"threshold": tensors.FromScalar(float32(threshold)), "sharpness": tensors.FromScalar(float32(1e4)),
			}}})
			after := values(t, out.Site(site))
			opened := 0
			for i := range scores {
				row, old := after[i*s.DModel:(i+1)*s.DModel], before[i*s.DModel:(i+1)*s.DModel]
				if !test.open(i) {
					nearly(t, fmt.Sprintf("closed row %d", i), row, old, 1e-5)
					continue
				}
				opened++
				differs(t, fmt.Sprintf("open row %d", i), row, old, 1e-3)
				if test.edit.KeepNorm {
					nearly(t, "length", []float32{length(row)}, []float32{length(old)}, 1e-5)
				}
			}
			if opened == 0 || opened == len(scores) && !test.edit.GateMax {
				t.Errorf("%d of %d gates open: the test shows nothing", opened, len(scores))
			}
		})
	}
}

func length(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return float32(math.Sqrt(sum))
}

// TestSplicedAutoencoder: with the error kept and no latent edited the site is unchanged; forcing a latent by hand moves
// it by the change of that latent along its decoder row; TopK keeps only the largest.
func TestSplicedAutoencoder(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "bert")
	s := m.Spec
	const b, seq, latents = 1, 3, 6
	site := Site{NormalizedResidPost, 0}
	ids := someIDs(5, b*seq, s.Vocab)
	before := values(t, run(t, engine, m, Plan{Batch: b, Seq: seq, Captures: []Capture{{Site: site}}}, Inputs{IDs: ids}).Site(site))
	enc, dec, bias := values(t, normal(1, s.DModel, latents)), values(t, normal(2, latents, s.DModel)), values(t, normal(3, latents))
	base := map[string]*tensors.Tensor{
		"sae": constant(1, 1, b, seq), "W_enc": normal(1, s.DModel, latents), "W_dec": normal(2, latents, s.DModel), "b_enc": normal(3, latents), "keep_error": tensors.FromScalar(float32(1)),
	}
	for _, topK := range []int{0, 2} {
		edit := Edit{Site: site.Kind, Layers: []int{0}, Latents: latents, TopK: topK}
		plan := Plan{Batch: b, Seq: seq, Edits: []Edit{edit}, Captures: []Capture{{Site: site}}}
		nearly(t, "no latent edited", values(t, run(t, engine, m, plan, Inputs{IDs: ids, Edits: []map[string]*tensors.Tensor{base}}).Site(site)), before, 2e-5)
		forced := map[string]*tensors.Tensor{"latent_where": tensors.FromValue([]float32{0, 0, 1, 0, 0, 0}), "latent_set": tensors.FromValue([]float32{0, 0, 5, 0, 0, 0})}
		for k, v := range base {
			forced[k] = v
		}
		after := values(t, run(t, engine, m, plan, Inputs{IDs: ids, Edits: []map[string]*tensors.Tensor{forced}}).Site(site))
		want := make([]float32, len(before))
		for r := range b * seq {
			pre := make([]float64, latents)
			for j := range latents {
				pre[j] = float64(bias[j])
				for i := range s.DModel {
					pre[j] += float64(before[r*s.DModel+i]) * float64(enc[i*latents+j])
				}
			}
			f := max(pre[2], 0)
			if topK > 0 && pre[2] < slices.Sorted(slices.Values(pre))[latents-topK] {
				f = 0
			}
			for i := range s.DModel {
				want[r*s.DModel+i] = before[r*s.DModel+i] + float32((5-f)*float64(dec[2*s.DModel+i]))
			}
		}
		nearly(t, fmt.Sprintf("forced latent, top-k %d", topK), after, want, 5e-5)
	}
}

// TestSweepCompilesOnce: many interventions that differ in layer, head, position, direction and strength.
func TestSweepCompilesOnce(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2")
	s := m.Spec
	const b, seq = 2, 8
	plan := Plan{Batch: b, Seq: seq, Logits: LogitsAt, Gather: 1, Edits: []Edit{{Site: Z, Add: true, Rank: 1}, {Site: ResidPost, Replace: true}}}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[float32]bool{}
	for range 100 {
		strength := make([]float32, s.Layers*b*seq*s.Heads)
		strength[r.IntN(len(strength))] = float32(1 + r.Float64())
		where := make([]float32, s.Layers*b*seq)
		where[r.IntN(len(where))] = 1
		out := run(t, engine, m, plan, Inputs{
			IDs: someIDs(1, b*seq, s.Vocab), Gather: []int32{seq - 1, seq - 1},
			Edits: []map[string]*tensors.Tensor{
				{"strength": tensors.FromFlatDataAndDimensions(strength, s.Layers, b, seq, s.Heads), "direction": normal(r.Uint64(), s.DHead)},
				{"where": tensors.FromFlatDataAndDimensions(where, s.Layers, b, seq), "source": normal(r.Uint64(), b, seq, s.DModel)},
			},
		})
		seen[values(t, out.Logits())[0]] = true
	}
	if engine.Compiles() != 1 {
		t.Errorf("100 interventions compiled %d programs, want 1", engine.Compiles())
	}
	if len(seen) < 20 {
		t.Errorf("only %d different outcomes of 100 interventions", len(seen))
	}
}

// TestEditGradients holds gradients with respect to edit tensors, parameters and embeddings against central differences.
func TestEditGradients(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "llama-untied")
	s := m.Spec
	const b, seq = 1, 4
	plan := Plan{
		Batch: b, Seq: seq, Logits: LogitsAt, Gather: 1, Edits: []Edit{{Site: Z, Mix: true}, {Site: ResidPost, Add: true}},
		Objective: TokenLogits(b, 1, 2), GradEdits: []EditTensor{{0, "mix"}, {1, "direction"}}, GradParams: []string{"blocks.1.W_in"}, GradSites: []Site{{Embed, 0}},
	}
	mix := values(t, constant(0.3, s.Layers, b, seq, s.Heads))
	direction := values(t, normal(4, s.DModel))
	in := func() Inputs {
		return Inputs{
			IDs: someIDs(9, b*seq, s.Vocab), Gather: []int32{seq - 1},
			Edits: []map[string]*tensors.Tensor{
				{"mix": tensors.FromFlatDataAndDimensions(mix, s.Layers, b, seq, s.Heads), "source": normal(3, b, seq, s.Heads, s.DHead)},
				{"strength": constant(0.5, s.Layers, b, seq), "direction": tensors.FromFlatDataAndDimensions(direction, s.DModel)},
			},
			Objective: map[string]*tensors.Tensor{"tokens": tensors.FromValue([][][]int32{{{5, 9}}}), "weights": tensors.FromValue([][][]float32{{{1, -1}}})},
		}
	}
	at := func() float64 {
		v, err := run(t, engine, m, plan, in()).Objective()
		if err != nil {
			t.Fatal(err)
		}
		return float64(v)
	}
	out := run(t, engine, m, plan, in())
	for _, test := range []struct {
		name string
		to   []float32
		grad []float32
	}{
		{"mix", mix, values(t, out.GradEdit(plan.GradEdits[0]))},
		{"direction", direction, values(t, out.GradEdit(plan.GradEdits[1]))},
	} {
		for _, i := range []int{0, 3, len(test.to) - 1} {
			const h = 1e-2
			old := test.to[i]
			test.to[i] = old + h
			up := at()
			test.to[i] = old - h
			down := at()
			test.to[i] = old
			// float32 logits carry 1e-6 of noise, divided by 2h; curvature adds h^2
			if want := (up - down) / (2 * h); math.Abs(want-float64(test.grad[i])) > 2e-3*(1+math.Abs(want)) {
				t.Errorf("d objective / d %s[%d] = %g, central difference %g", test.name, i, test.grad[i], want)
			}
		}
	}
	grad := values(t, out.GradParam("blocks.1.W_in"))
	w := values(t, m.Params.Get("blocks.1.W_in"))
	for _, i := range []int{0, 17, len(w) - 1} {
		difference := func(d float32) float64 {
			moved := slices.Clone(w)
			moved[i] += d
			params, err := m.Params.With(map[string]*tensors.Tensor{"blocks.1.W_in": tensors.FromFlatDataAndDimensions(moved, s.DMLP, s.DModel)})
			if err != nil {
				t.Fatal(err)
			}
			p, err := engine.Compile(s, plan)
			if err != nil {
				t.Fatal(err)
			}
			o, err := p.Run(t.Context(), params, in())
			if err != nil {
				t.Fatal(err)
			}
			v, err := o.Objective()
			if err != nil {
				t.Fatal(err)
			}
			return float64(v)
		}
		const h = 1e-2
		if want := (difference(h) - difference(-h)) / (2 * h); math.Abs(want-float64(grad[i])) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("d objective / d W_in[%d] = %g, central difference %g", i, grad[i], want)
		}
	}
	if engine.Compiles() != 1 {
		t.Errorf("%d compiles for one plan and several weights", engine.Compiles())
	}
}

func TestEditsThatCannotBe(t *testing.T) {
	engine := NewEngine(graphtest.Backend(t), nil)
	m := tiny(t, engine, "gpt2")
	for name, e := range map[string]Edit{
		"layer out of range":      {Site: ResidPost, Layers: []int{9}, Add: true},
		"projection of a pattern": {Site: Pattern, Rank: 1},
		"rank that is no bucket":  {Site: Z, Rank: 3},
		"norm scale":              {Site: LN1Scale, Add: true},
		"more kept than latents":  {Site: ResidPost, Latents: 4, TopK: 5},
		"site of another family":  {Site: RotQ, Add: true},
		"latents per head":        {Site: Z, Latents: 4},
	} {
		if _, err := engine.Compile(m.Spec, Plan{Batch: 1, Seq: 4, Edits: []Edit{e}}); err == nil {
			t.Errorf("%s: compiled", name)
		}
	}
	if r, err := RankBucket(5); r != 16 || err != nil {
		t.Errorf("RankBucket(5) = %d, %v", r, err)
	}
	if _, err := RankBucket(65); err == nil {
		t.Error("RankBucket(65) succeeded")
	}
}
