package circuits

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// interpretedTask is a model of golden/circuits with random inputs, on the pure Go backend.
func interpretedTask(t *testing.T, metric Metric, path ...string) *Task {
	t.Helper()
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, e, append([]string{graphtest.Golden(t)}, path...)...)
	return must[*Task](t)(NewTask(t.Context(), e, m, randomPairs(m.Spec, 2, 5, 7), metric, Options{SweepRows: 8}))
}

// activations captures where components send and receive, and more.
func activations(t *testing.T, task *Task, more ...model.Site) *Activations {
	t.Helper()
	sites := append(SenderSites(task.Model.Spec), ReceiverSites(task.Model.Spec)...)
	return must[*Activations](t)(task.Activations(t.Context(), append(sites, more...)))
}

// TestComponentsByHand: two places of a site of width 4.
func TestComponentsByHand(t *testing.T) {
	x, y := []float32{1, 2, 3, 4, 5, 6, 7, 8}, []float32{0, 0, 1, 0, 0, 0, 0, 0}
	g := []float64{1, 10, 100, 1000, 2, 20, 200, 2000}
	head := &part{width: 4, lo: 2, hi: 4, clean: x, corrupted: y}
	concept := &part{width: 4, hi: 4, write: []float32{0, 2, 0, 0}, read: []float32{0, .5, 0, 0}, clean: []float32{1, 3}, corrupted: []float32{0, 0}}
	for _, c := range []struct {
		name      string
		got, want []float64
	}{
		{"value of a head", head.Value(g), []float64{4300, 17400}},
		{"change of a head", head.Change(g), []float64{-4200, -17400}},
		{"value of a concept", concept.Value(g), []float64{20, 120}},
		{"change of a concept", concept.Change(g), []float64{-20, -120}},
		{"coefficients", concept.coefficients(x), []float64{1, 3}},
		{"what a head receives", widen(head.Receive(g)), []float64{0, 0, 100, 1000, 0, 0, 200, 2000}},
		{"what a concept receives", widen(concept.Receive(g)), []float64{0, 10, 0, 0, 0, 20, 0, 0}},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, c.got, c.want)
		}
	}
}

// TestComponentsAreEAP: direct edges between components are EAP's, and those into a head the sum of EAP's into its query, key and value.
func TestComponentsAreEAP(t *testing.T) {
	for _, name := range []string{"gpt2-b", "llama-a"} {
		task := interpretedTask(t, LogitDiff(), "circuits", "models", name)
		a := activations(t, task)
		eap := must[*Scores](t)(EAP(t.Context(), task))
		senders, receivers := must[[]Component](t)(a.Senders()), must[[]Component](t)(a.Receivers())
		paths := Paths{Held: SenderSites(task.Model.Spec)}
		units := senders
		if senders[1].Name() == "positions" {
			units = slices.Delete(slices.Clone(senders), 1, 2) // the edge graph has no node for them
		}
		fine := must[*ComponentScores](t)(AttributeComponents(t.Context(), task, units, receivers, a.Clean, paths))
		coarse := must[*ComponentScores](t)(AttributeComponents(t.Context(), task, units, units, a.Clean, paths))
		g := task.Graph
		group := task.Model.Spec.Heads / task.Model.Spec.KVHeads
		var got, want, gotCoarse, wantCoarse []float64
		mean := eap.Mean()
		sum := func(u int, match func(receiver string) bool) (s float64) {
			for v, r := range g.Receivers {
				if match(r) && g.Real(Edge{u, v}) {
					s += mean[g.At(Edge{u, v})]
				}
			}
			return s
		}
		for u := range g.Senders {
			if fine.Senders[u] != g.Senders[u] {
				t.Fatalf("sender %d is %s, want %s", u, fine.Senders[u], g.Senders[u])
			}
			for v, r := range fine.Receivers {
				got = append(got, fine.At(u, v))
				want = append(want, sum(u, func(name string) bool {
					var layer, head int
					if r[0] == 'm' {
						return name == strings.TrimSuffix(r, "<in>")
					}
					wanted := groupOf(t, r, &layer, &head)
					if name[0] != 'a' || name[len(name)-2] != r[len(r)-2] {
						return false
					}
					var l, h int
					groupOf(t, name, &l, &h)
					if wanted == 'q' {
						return l == layer && h == head
					}
					return l == layer && h/group == head
				}))
			}
			for v, r := range coarse.Receivers {
				gotCoarse = append(gotCoarse, coarse.At(u, v))
				wantCoarse = append(wantCoarse, sum(u, func(name string) bool { return name == r || strings.HasPrefix(name, r+"<") }))
			}
			got = append(got, rowMean(fine.Loss, u, len(g.Senders)))
			want = append(want, sum(u, func(name string) bool { return name == "logits" }))
		}
		close(t, name+" edges", got, want, 1e-3)
		close(t, name+" edges into heads and MLPs", gotCoarse, wantCoarse, 1e-3)
	}
}

// groupOf reads "a1.h2<k>".
func groupOf(t *testing.T, name string, layer, head *int) byte {
	t.Helper()
	rest := strings.TrimPrefix(name, "a")
	for _, part := range []struct {
		until string
		into  *int
	}{{".h", layer}, {"<", head}} {
		number, tail, _ := strings.Cut(rest, part.until)
		*part.into = 0
		for _, d := range number {
			*part.into = *part.into*10 + int(d-'0')
		}
		rest = tail
	}
	return rest[0]
}

func rowMean(x []float64, u, n int) (sum float64) {
	for r := range len(x) / n {
		sum += x[r*n+u] * float64(n) / float64(len(x))
	}
	return sum
}

// TestComponentEdgesAddUp: direct edges out of a component, with its own into the loss, add up to its whole effect, in models that normalise their stream
// as well; a concept in the stream and a neuron are senders like the rest.
func TestComponentEdgesAddUp(t *testing.T) {
	for _, name := range []string{"bert-a", "llama-a", "gpt2-a"} {
		task := interpretedTask(t, Cosine(model.Site{Kind: model.LastHidden}), "circuits", "models", name)
		pre := model.Site{Kind: model.ResidPre, Layer: 1}
		neurons := model.Site{Kind: model.MLPPost, Layer: 0}
		a := activations(t, task, pre, neurons)
		senders, receivers := must[[]Component](t)(a.Senders()), must[[]Component](t)(a.Receivers())
		v := make([]float32, task.Model.Spec.DModel)
		v[3], v[7] = 1, -2
		senders = append(senders, must[Component](t)(a.Concept("concept", pre, v)), must[Component](t)(a.Neuron(neurons, 5)))
		// the cosine to the clean vector is flat there, so the gradient is taken of a probe
		probe := must[*Task](t)(NewTask(t.Context(), task.Engine, task.Model, task.Pairs, ProbeLogit(model.Site{Kind: model.LastHidden}, v, 0), Options{SweepRows: 8}))
		paths := Paths{Held: SenderSites(task.Model.Spec)}
		s := must[*ComponentScores](t)(AttributeComponents(t.Context(), probe, senders, receivers, a.Clean, paths))
		var sums []float64
		for i := range s.Total {
			sum := s.Loss[i]
			for v := range receivers {
				sum += s.Values[i*len(receivers)+v]
			}
			if s.Senders[i%len(senders)] == "blocks.0.mlp.hook_post/5" { // all it does goes through m0, which is held
				sum = s.Total[i]
			}
			sums = append(sums, sum)
		}
		close(t, name, sums, s.Total, 1e-3)
	}
}

// TestReading: a head's direct edge into a concept's projection right behind it is the change of what it writes there.
func TestReading(t *testing.T) {
	task := interpretedTask(t, LogitDiff(), "circuits", "models", "gpt2-a")
	mid := model.Site{Kind: model.ResidMid, Layer: 0}
	a := activations(t, task, mid)
	w := make([]float32, task.Model.Spec.DModel)
	w[0], w[9] = 2, 1
	cache := must[*senderCache](t)(task.senders(t.Context()))
	senders := must[[]Component](t)(a.Senders())[2:4]
	reading := must[Component](t)(a.Reading("w", mid, w, false))
	s := must[*ComponentScores](t)(AttributeComponents(t.Context(), task, senders, []Component{reading}, a.Clean, Paths{Held: SenderSites(task.Model.Spec)}))
	d, n := task.Model.Spec.DModel, len(task.Graph.Senders)
	var want []float64
	for r := range task.Pairs.Rows {
		at := r*task.Pairs.Seq + task.Pairs.last(r)
		for u := range senders {
			c := cache.change.values[(at*n+1+u)*d:][:d]
			want = append(want, 2*float64(c[0])+float64(c[9]))
		}
	}
	close(t, "heads into a concept", s.Values, want, 1e-4)
}

// TestWhatWrites: what senders write adds up to the projection but for biases: nothing is left in models without them, the attention's output biases
// in GPT-2's stream; in a post-norm block what its norms make of biases and of their own. Logits are split as well.
func TestWhatWrites(t *testing.T) {
	for _, path := range [][]string{{"circuits", "models", "llama-a"}, {"models", "tiny", "gemma2"}, {"models", "tiny", "olmo2"}, {"models", "tiny", "qwen3"}} {
		task := interpretedTask(t, LogitDiff(), path...)
		for _, site := range []model.Site{{Kind: model.LNFinalOut}, {Kind: model.ResidPost, Layer: task.Model.Spec.Layers - 1}} {
			a := activations(t, task, site)
			got := must[*Written](t)(WhatWrites(t.Context(), a, site, someDirection(task), must[[]Component](t)(a.Senders())))
			nothing := make([]float64, len(got.Rest))
			closeScale(t, path[2]+" "+site.String(), scaled(got.Rest, got.Total), nothing, 1e-4)
		}
	}
	task := interpretedTask(t, LogitDiff(), "circuits", "models", "gpt2-b")
	s, v := task.Model.Spec, someDirection(task)
	site := model.Site{Kind: model.ResidPost, Layer: 1}
	a := activations(t, task, site)
	got := must[*Written](t)(WhatWrites(t.Context(), a, site, v, must[[]Component](t)(a.Senders())))
	want := 0.0
	for _, name := range []string{"blocks.0.b_O", "blocks.1.b_O"} {
		for j, b := range must[[]float32](t)(task.Model.Params.Values(name)) {
			want += float64(b) * float64(v[j])
		}
	}
	if want == 0 {
		t.Fatal("no biases")
	}
	close(t, "GPT-2's biases", got.Rest, slices.Repeat([]float64{want}, len(got.Rest)), 1e-3)
	for u, name := range got.Senders {
		if strings.HasPrefix(name, "a2") && slices.ContainsFunc(got.Values[u], func(x float64) bool { return x != 0 }) {
			t.Errorf("%s writes into a site before it", name)
		}
	}
	// the last position's logit difference through the unembedding
	final := model.Site{Kind: model.LNFinalOut}
	a = activations(t, task, final)
	unembed := must[[]float32](t)(task.Model.Params.Values("W_E"))
	if !s.Tied {
		unembed = must[[]float32](t)(task.Model.Params.Values("W_U"))
	}
	answer, wrong := int(task.Pairs.Answer[0][0]), int(task.Pairs.Wrong[0][0])
	for j := range v {
		v[j] = unembed[answer*s.DModel+j] - unembed[wrong*s.DModel+j]
	}
	got = must[*Written](t)(WhatWrites(t.Context(), a, final, v, must[[]Component](t)(a.Senders())))
	close(t, "logit difference", got.Total[task.Pairs.last(0):][:1], []float64{-task.CleanLoss[0]}, 1e-4)
	wholeSum := got.Rest[task.Pairs.last(0)]
	for u := range got.Senders {
		wholeSum += got.Values[u][task.Pairs.last(0)]
	}
	close(t, "shares of the logit difference", []float64{wholeSum}, []float64{-task.CleanLoss[0]}, 1e-4)
}

// TestWhatWritesPostNorm: in a block x -> LN2(LN1(x + attn) + mlp) the rest is LN2's linear part of (LN1's linear part of b_O, plus LN1's bias), plus LN2's bias.
func TestWhatWritesPostNorm(t *testing.T) {
	task := interpretedTask(t, Cosine(model.Site{Kind: model.LastHidden}), "circuits", "models", "bert-a")
	s, v := task.Model.Spec, someDirection(task)
	pre, post := model.Site{Kind: model.ResidPre, Layer: 1}, model.Site{Kind: model.NormalizedResidPost, Layer: 1}
	mid, last := model.Site{Kind: model.ResidMid, Layer: 1}, model.Site{Kind: model.ResidPost, Layer: 1}
	a := activations(t, task, pre, post, mid, last)
	senders := []Component{must[Component](t)(a.Whole("stream", pre)), must[Component](t)(a.Whole("m1", model.Site{Kind: model.MLPOut, Layer: 1}))}
	for h := range s.Heads {
		senders = append(senders, must[Component](t)(a.Head(model.Site{Kind: model.Z, Layer: 1}, h)))
	}
	got := must[*Written](t)(WhatWrites(t.Context(), a, post, v, senders))
	param := func(name string) []float64 {
		return widen(must[[]float32](t)(task.Model.Params.Values("blocks.1." + name)))
	}
	// linear is a norm with the divisor of x
	linear := func(y []float64, x []float32, w []float64) []float64 {
		spread := func(x []float64) (centred []float64, scale float64) {
			m := mean(x)
			for _, v := range x {
				centred = append(centred, v-m)
				scale += (v - m) * (v - m) / float64(len(x))
			}
			return centred, math.Sqrt(scale + s.NormEps)
		}
		_, scale := spread(widen(x))
		out, _ := spread(y)
		for j := range out {
			out[j] *= w[j] / scale
		}
		return out
	}
	want := make([]float64, len(got.Rest))
	for at := range want {
		lo, hi := at*s.DModel, (at+1)*s.DModel
		x := linear(param("b_O"), a.Clean[mid][lo:hi], param("ln1.w"))
		for j, b := range param("ln1.b") {
			x[j] += b
		}
		x = linear(x, a.Clean[last][lo:hi], param("ln2.w"))
		for j, b := range param("ln2.b") {
			want[at] += float64(v[j]) * (x[j] + b)
		}
	}
	close(t, "rest", got.Rest, want, 1e-3)
}

// someDirection is a fixed vector of the stream's width.
func someDirection(task *Task) []float32 {
	v := make([]float32, task.Model.Spec.DModel)
	for j := range v {
		v[j] = float32(math.Sin(float64(3 * j)))
	}
	return v
}

// scaled divides by the largest size of by.
func scaled(x, by []float64) []float64 {
	size := 0.0
	for _, v := range by {
		size = max(size, math.Abs(v))
	}
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v / size
	}
	return out
}

// TestWhatReads: for a small move the effects through all receivers and past them add up to the measured change of the loss, in a decoder and in an
// encoder that normalises its stream.
func TestWhatReads(t *testing.T) {
	for _, name := range []string{"llama-a", "bert-a"} {
		encoder := interpretedTask(t, Cosine(model.Site{Kind: model.LastHidden}), "circuits", "models", name)
		v := someDirection(encoder)
		task := must[*Task](t)(NewTask(t.Context(), encoder.Engine, encoder.Model, encoder.Pairs, ProbeLogit(model.Site{Kind: model.LastHidden}, v, 0), Options{}))
		site := model.Site{Kind: model.ResidPre, Layer: 1}
		a := activations(t, task, site)
		all := must[[]Component](t)(a.Receivers())
		later := slices.DeleteFunc(all, func(n Component) bool { return n.Site().Layer < 1 })
		move := slices.Repeat([]float32{3e-3}, task.Pairs.Rows*task.Pairs.Seq)
		got := must[*Read](t)(WhatReads(t.Context(), a, site, v, move, later))
		sums := slices.Clone(got.Past)
		for r := range sums {
			for i := range later {
				sums[r] += got.Effect[r*len(later)+i]
			}
		}
		close(t, name, sums, got.Loss, 0.02)
	}
}

// TestPlantedReadsAndWrites: in the planted induction model the first layer's head 0 alone writes the token before, and the keys of the second
// layer's head 0 alone read it.
func TestPlantedReadsAndWrites(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	pairs := pairsOf(openArrays(t, root, "planted", "induction", "inputs.safetensors"), "").pick([]int{0, 1, 2})
	task := newTask(t, e, loadModel(t, e, root, "models", "induction"), pairs, LogitDiff())
	site := model.Site{Kind: model.ResidPre, Layer: 1}
	a := activations(t, task, site)
	previous := make([]float32, task.Model.Spec.DModel)
	for i := range 12 {
		previous[12+i] = float32(i) - 5.5 // no mean, which a norm would take from every coordinate
	}
	w := must[*Written](t)(WhatWrites(t.Context(), a, site, previous, must[[]Component](t)(a.Senders())))
	for u, name := range w.Senders {
		want := make([]float64, len(w.Total))
		if name == "a0.h0" {
			want = w.Total
		}
		closeScale(t, name, w.Values[u], want, 1e-3)
	}
	later := slices.DeleteFunc(must[[]Component](t)(a.Receivers()), func(n Component) bool { return n.Site().Layer < 1 })
	r := must[*Read](t)(WhatReads(t.Context(), a, site, previous, slices.Repeat([]float32{.1}, task.Pairs.Rows*task.Pairs.Seq), later))
	for i, name := range r.Receivers {
		if name == "m1<in>" { // the stream itself, before the MLP's weights
			continue
		}
		if reads := r.Direct[i] > 0.01; reads != (name == "a1.h0<k>") {
			t.Errorf("%s changes by %.3g of its size", name, r.Direct[i])
		}
	}
}

func TestComponentErrors(t *testing.T) {
	task := interpretedTask(t, LogitDiff(), "circuits", "models", "gpt2-a")
	ctx := t.Context()
	pre, z := model.Site{Kind: model.ResidPre, Layer: 1}, model.Site{Kind: model.Z}
	a := must[*Activations](t)(task.Activations(ctx, []model.Site{pre, z}))
	v := someDirection(task)
	concept := must[Component](t)(a.Concept("c", pre, v))
	second := func(_ any, err error) error { return err }
	size := task.Pairs.Rows * task.Pairs.Seq
	target := Target{pre, make([]float32, size*len(v))}
	nothing := func(int, map[model.Site][]float64) error { return nil }
	splice := func(model.Site, []int, []float32) error { return nil }
	for what, err := range map[string]error{
		"a site that is no vector":   second(task.CaptureSites(ctx, task.Pairs.Clean, []model.Site{{Kind: model.Pattern}})),
		"a layer too far":            second(task.Activations(ctx, []model.Site{{Kind: model.Z, Layer: 5}})),
		"a site twice":               second(task.GradientsAt(ctx, []model.Site{pre, pre}, nil)),
		"a value of another size":    second(task.GradientsAt(ctx, []model.Site{pre}, SiteValues{pre: make([]float32, 7)})),
		"a site that was not run":    second(a.Whole("m", model.Site{Kind: model.MLPOut})),
		"a head too many":            second(a.Head(z, 9)),
		"a head of a stream":         second(a.Head(pre, 0)),
		"a neuron too far":           second(a.Neuron(pre, len(v))),
		"a concept too short":        second(a.Concept("c", pre, v[1:])),
		"a concept of nothing":       second(a.Concept("c", pre, make([]float32, len(v)))),
		"a reading too short":        second(a.Reading("r", pre, v[1:], true)),
		"no senders":                 second(AttributeComponents(ctx, task, nil, nil, a.Clean, Paths{})),
		"a held site without value":  second(AttributeComponents(ctx, task, []Component{concept}, nil, a.Clean, Paths{Held: []model.Site{{Kind: model.MLPOut}}})),
		"senders not captured":       second(a.Senders()),
		"no targets":                 task.Pull(ctx, nil, []model.Site{z}, a.Clean, Paths{}, nothing),
		"weights of another size":    task.Pull(ctx, []Target{{pre, v}}, []model.Site{z}, a.Clean, Paths{}, nothing),
		"held by nothing":            task.Pull(ctx, []Target{target}, []model.Site{z}, nil, Paths{Held: []model.Site{z}}, nothing),
		"what writes, not captured":  second(WhatWrites(ctx, a, pre, v, []Component{concept})),
		"what reads, not captured":   second(WhatReads(ctx, a, pre, v, make([]float32, size), []Component{concept})),
		"moves for other places":     second(WhatReads(ctx, a, pre, v, nil, []Component{concept})),
		"a splice at no site":        second(task.Splice(ctx, nil, 1, splice)),
		"a splice of the embeddings": second(task.Splice(ctx, []model.Site{{Kind: model.Embed}}, 1, splice)),
		"frozen, not captured":       second(AttributeFrozen(ctx, a, 0, 1)),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		} else if !strings.Contains(err.Error(), "circuits:") && !strings.Contains(err.Error(), "model:") {
			t.Errorf("%s: %v", what, err)
		}
	}
	step := must[*Task](t)(NewTask(ctx, task.Engine, task.Model, task.Pairs, AccuracyAtK(1), Options{}))
	if _, err := step.GradientsAt(ctx, []model.Site{pre}, nil); err == nil {
		t.Error("the gradient of a step: no error")
	}
}
