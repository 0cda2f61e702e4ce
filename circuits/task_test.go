package circuits

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/circuits/task"
	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// plantedTask is the planted induction model with its logit difference.
func plantedTask(t *testing.T, engine *model.Engine, metric Metric) *Task {
	t.Helper()
	root := filepath.Join(graphtest.Golden(t), "circuits")
	in := openArrays(t, root, "planted", "induction", "inputs.safetensors")
	pairs := pairsOf(in, "")
	return newTask(t, engine, loadModel(t, engine, root, "models", "induction"), pairs, metric)
}

// TestMetricsByHand: two rows of four logits. Row 0 has logits log(1, 2, 3, 4), so probabilities .1 .2 .3 .4; its answer is token 3
// against tokens 0 and 1. Row 1 is even.
func TestMetricsByHand(t *testing.T) {
	backend := graphtest.Interpreted(t)
	x := []float32{0, float32(math.Log(2)), float32(math.Log(3)), float32(math.Log(4)), 0, 0, 0, 0}
	reference := []float32{0, 0, 0, 0, 0, 0, 0, float32(math.Log(5))}
	pairs := &Pairs{Rows: 2, Seq: 1, Clean: []int32{0, 1}, Corrupted: []int32{1, 0}, Answer: [][]int32{{3}, {2}}, Wrong: [][]int32{{0, 1}, {0}}}
	p, q := []float64{.25, .25, .25, .25}, []float64{.1, .2, .3, .4}
	r := []float64{.125, .125, .125, .625}
	kl := func(p, q []float64) (sum float64) {
		for i := range p {
			sum += p[i] * math.Log(p[i]/q[i])
		}
		return sum
	}
	js := func(p, q []float64) float64 {
		m := make([]float64, len(p))
		for i := range m {
			m[i] = (p[i] + q[i]) / 2
		}
		return (kl(p, m) + kl(q, m)) / 2
	}
	for _, c := range []struct {
		metric Metric
		want   []float64
	}{
		{LogitDiff(), []float64{-(math.Log(4) - math.Log(2)/2), 0}}, {ProbDiff(), []float64{-(.4 - .3), 0}},
		{KL(), []float64{kl(p, q), kl(r, p)}}, {JS(), []float64{js(p, q), js(r, p)}}, {AccuracyAtK(1), []float64{-1, -1}},
	} {
		b := must[*binding](t)(c.metric.bind(pairs, 4))
		b.reference = reference
		exec := must[*graph.Exec](t)(graph.NewExec(backend, func(x, reference, tokens, weights, choice *graph.Node) *graph.Node {
			in := MetricInputs{X: x, Reference: reference, Tokens: tokens, Weights: weights}
			if c.metric.choice > 0 {
				return chosen(in, choice)
			}
			return c.metric.Graph(in)
		}))
		choice := make([]float32, len(logitLosses))
		if c.metric.choice > 0 {
			choice[c.metric.choice-1] = 1
		}
		out := must[[]*tensors.Tensor](t)(exec.Call(tensors.FromFlatDataAndDimensions(x, 2, 4), tensors.FromFlatDataAndDimensions(reference, 2, 4),
			tensors.FromFlatDataAndDimensions(b.tokens, 2, b.k), tensors.FromFlatDataAndDimensions(b.weights, 2, b.k), tensors.FromFlatDataAndDimensions(choice, len(choice))))
		if out[0].DType() != dtypes.Float32 {
			t.Fatal(out[0].DType())
		}
		close(t, c.metric.Name, must[[]float64](t)(floats(out[0])), c.want, 1e-5)
	}
}

// TestSiteMetrics: a probe's logit and the cosine change of a site, against the same numbers from a capture.
func TestSiteMetrics(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	site := model.Site{Kind: model.ResidPost, Layer: 0}
	base := plantedTask(t, engine, Cosine(site))
	p, d := base.Pairs, base.Model.Spec.DModel
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq, Captures: []model.Capture{{Site: site}}}
	program := must[*model.Program](t)(engine.Compile(base.Model.Spec, plan))
	read := func(ids []int32) [][]float64 {
		out := must[*model.Outputs](t)(program.Run(t.Context(), base.Model.Params, model.Inputs{IDs: ids}))
		x := must[[]float64](t)(floats(out.Site(site)))
		rows := make([][]float64, p.Rows)
		for r := range rows {
			at := (r*p.Seq + p.last(r)) * d
			rows[r] = x[at : at+d]
		}
		return rows
	}
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	clean, corrupted := read(p.Clean), read(p.Corrupted)
	w := make([]float32, d)
	for i := range w {
		w[i] = float32(i%5) - 2
	}
	probe := newTask(t, engine, base.Model, p, ProbeLogit(site, w, 0.5))
	var cosine, logit []float64
	for r := range clean {
		cosine = append(cosine, 1-dot(clean[r], corrupted[r])/math.Sqrt(dot(clean[r], clean[r])*dot(corrupted[r], corrupted[r])))
		logit = append(logit, -dot(corrupted[r], widen(w))-0.5)
	}
	close(t, "cosine", base.CorruptedLoss, cosine, 1e-3)
	close(t, "probe", probe.CorruptedLoss, logit, 1e-4)
	// what a direction reads has edges too: in this site's block, and none later
	scores := must[*Scores](t)(EAP(t.Context(), probe))
	late := 0
	for _, e := range probe.Graph.Edges() {
		if name := probe.Graph.Receivers[e.V]; strings.HasPrefix(name, "a1") || name == "m1" || name == "logits" {
			for r := range p.Rows {
				if scores.Values[r*probe.Graph.Size()+probe.Graph.At(e)] != 0 {
					late++
				}
			}
		}
	}
	if late > 0 || scores.Sum() == 0 {
		t.Errorf("%d scores after the probed site; the sum is %g", late, scores.Sum())
	}
}

// TestCertificate: all identities hold on the planted model and are written beside a result; a score that does not add up shows.
func TestCertificate(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	tsk := plantedTask(t, engine, LogitDiff())
	scores := must[*Scores](t)(MaskIG(t.Context(), tsk, 20))
	c := must[*Certificate](t)(Certify(t.Context(), tsk, scores))
	if err := c.Err(); err != nil || len(c.Checks) != 4 {
		t.Errorf("%v: %+v", err, c.Checks)
	}
	for _, check := range c.Checks {
		if check.Skipped != "" || check.Error == 0 && strings.HasPrefix(check.Name, "gradient") {
			t.Errorf("%+v", check)
		}
	}
	if c.Change <= 0 || math.Abs(c.Sum-c.Change) > 0.02*c.Change {
		t.Errorf("mask-path scores add up to %g, the loss changes by %g", c.Sum, c.Change)
	}
	bad := &Certificate{Checks: []Check{{Name: "mask 0 is the plain model", Error: 0.5, Tolerance: 1e-3}}}
	if err := bad.Err(); err == nil || !strings.Contains(err.Error(), "mask 0") {
		t.Errorf("a failed check: %v", err)
	}
	path := filepath.Join(t.TempDir(), "certificate.json")
	if err := c.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	var back Certificate
	readJSON(t, &back, path)
	if len(back.Checks) != 4 || back.Method != "mask_ig(20)" {
		t.Errorf("read back %+v", back)
	}
	if n := tsk.Bytes(); n < 1<<16 || n > 1<<28 {
		t.Errorf("an estimate of %d bytes", n)
	}
}

// TestSelectionByHand: one layer of one head. Edges: input to q, k, v, m0 and logits; a0.h0 to m0 and logits; m0 to logits.
func TestSelectionByHand(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, false))
	if n := len(g.Edges()); n != 8 {
		t.Fatalf("%d edges", n)
	}
	if p := must[*EdgeGraph](t)(NewEdgeGraph(1, 1, true)); len(p.Edges()) != 7 {
		t.Errorf("a parallel block has %d edges: its head does not feed its MLP", len(p.Edges()))
	}
	if small := must[*EdgeGraph](t)(NewEdgeGraph(12, 12, false)); len(small.Senders) != 157 || len(small.Receivers) != 445 || len(small.Edges()) != 32491 {
		t.Errorf("GPT-2 small has %d senders, %d receivers, %d edges", len(small.Senders), len(small.Receivers), len(small.Edges()))
	}
	scores := make([]float64, g.Size())
	for name, v := range map[string]float64{"input->a0.h0<v>": -5, "a0.h0->m0": 4, "input->m0": 1, "m0->logits": -3, "input->logits": 0.5, "a0.h0->logits": 0.1} {
		scores[g.At(must[Edge](t)(g.Parse(name)))] = v
	}
	for _, c := range []struct {
		pick Selector
		n    int
		want string
	}{
		{TopN, 2, "input->a0.h0<v> a0.h0->m0"}, {TopN, 99, ""}, {TopN, -1, "none"},
		{Greedy, 1, "m0->logits"}, {Greedy, 3, "input->a0.h0<v> a0.h0->m0 m0->logits"}, {Greedy, 99, ""},
	} {
		got := strings.Join(c.pick(g, scores, c.n).Names(), " ")
		want := map[string]string{"": strings.Join(Whole(g).Names(), " "), "none": ""}[c.want]
		if c.want != "" && c.want != "none" {
			want = c.want
		}
		if got != want {
			t.Errorf("%d edges: %q, want %q", c.n, got, want)
		}
	}
	loose := must[*Circuit](t)(CircuitOf(g, []string{"input->a0.h0<v>", "a0.h0->m0", "input->logits"}))
	kept, nodes := Prune(loose)
	if !slices.Equal(kept.Names(), []string{"input->logits"}) || !slices.Equal(nodes, []int{0}) {
		t.Errorf("pruned to %v, nodes %v: m0 leads nowhere, and then the head too", kept.Names(), nodes)
	}
	if got := Threshold(g, scores, 3).Len(); got != 3 {
		t.Errorf("%d edges of at least 3", got)
	}
	if cut := Whole(g).Without(1).Names(); !slices.Equal(cut, []string{"input->m0", "input->logits", "m0->logits"}) {
		t.Errorf("without the head: %v", cut)
	}
}

// TestBadInput: each wrong input is an error that names it.
func TestBadInput(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	m := loadModel(t, engine, root, "models", "induction")
	good := func() *Pairs {
		return &Pairs{Rows: 1, Seq: 3, Clean: []int32{1, 2, 3}, Corrupted: []int32{1, 4, 3}, Answer: [][]int32{{2}}, Wrong: [][]int32{{4}}}
	}
	for want, change := range map[string]func(*Pairs){
		"equal lengths":             func(p *Pairs) { p.Corrupted = p.Corrupted[:2] },
		"both right and wrong":      func(p *Pairs) { p.Wrong = [][]int32{{2}} },
		"nothing can be attributed": func(p *Pairs) { p.Corrupted = p.Clean },
		"no real token":             func(p *Pairs) { p.Mask = make([]int32, 3) },
		"outside the vocabulary":    func(p *Pairs) { p.Answer = [][]int32{{999}} },
		"no wrong answer":           func(p *Pairs) { p.Wrong = nil },
		"needs an answer":           func(p *Pairs) { p.Answer, p.Wrong = nil, nil },
	} {
		p := good()
		change(p)
		if _, err := NewTask(t.Context(), engine, m, p, LogitDiff(), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	tsk := must[*Task](t)(NewTask(t.Context(), engine, m, good(), LogitDiff(), Options{SweepRows: 4}))
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
	step := must[*Task](t)(NewTask(t.Context(), engine, m, good(), AccuracyAtK(1), Options{SweepRows: 4}))
	fail := func(want string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	_, err := EAP(t.Context(), step)
	fail("step function", err)
	_, err = tsk.masked(t.Context(), [][]float32{make([]float32, 5)}, ref)
	fail("a mask of 5 values", err)
	_, err = ACDC(t.Context(), tsk, ref, 0)
	fail("must be positive", err)
	_, err = MaskIG(t.Context(), tsk, 0)
	fail("0 steps", err)
	_, err = PatchNodes(t.Context(), tsk, model.LNFinalOut, Noise)
	fail("cannot be patched", err)
	_, err = PatchNodes(t.Context(), tsk, model.ResidPre, "sideways")
	fail("neither", err)
	_, err = tsk.Reference(t.Context(), Resample, 1)
	fail("needs other rows", err)
	_, err = tsk.Reference(t.Context(), "none", 1)
	fail("none of", err)
	_, err = CircuitOf(tsk.Graph, []string{"a1.h0->a0.h0<q>"})
	fail("comes after", err)
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	_, err = Exact(cancelled, tsk)
	fail("canceled", err)
	_, err = MeasureFaithfulness(t.Context(), tsk, ref, make([]float64, tsk.Graph.Size()), TopN, []float64{.5, .1})
	fail("must rise", err)
}

// TestPairsOf: examples of unequal lengths are padded on the left and give the losses they have alone.
func TestPairsOf(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, engine, filepath.Join(graphtest.Golden(t), "circuits", "models", "induction"))
	long := task.Example{CleanIDs: []int32{0, 1, 2, 5, 3, 4, 6, 1}, CorruptedIDs: []int32{0, 1, 2, 5, 3, 4, 6, 3}, AnswerIDs: []int32{2}, WrongIDs: []int32{4}}
	short := task.Example{CleanIDs: []int32{1, 2, 5, 1}, CorruptedIDs: []int32{1, 2, 5, 5}, AnswerIDs: []int32{2}, WrongIDs: []int32{3}}
	both := newTask(t, engine, m, must[*Pairs](t)(PairsOf([]task.Example{long, short})), LogitDiff())
	for r, e := range []task.Example{long, short} {
		alone := newTask(t, engine, m, must[*Pairs](t)(PairsOf([]task.Example{e})), LogitDiff())
		close(t, "clean", both.CleanLoss[r:r+1], alone.CleanLoss, 1e-4)
		close(t, "corrupted", both.CorruptedLoss[r:r+1], alone.CorruptedLoss, 1e-4)
	}
	if both.CleanLoss[0] > -5 {
		t.Errorf("the planted model does not do induction: loss %g", both.CleanLoss[0])
	}
	if _, err := PairsOf(nil); err == nil {
		t.Error("no examples, no pairs")
	}
}

// TestRan: every pass tells how many rows it took: both inputs, the senders of both, and one gradient; then a sweep of two copies.
func TestRan(t *testing.T) {
	e := model.NewEngine(graphtest.Interpreted(t), nil)
	base := plantedTask(t, e, LogitDiff())
	ran, rows := 0, base.Pairs.Rows
	tsk := must[*Task](t)(NewTask(t.Context(), e, base.Model, base.Pairs, LogitDiff(), Options{SweepRows: 2 * rows, Ran: func(n int) { ran += n }}))
	must[*Scores](t)(EAP(t.Context(), tsk))
	if ran != 5*rows {
		t.Errorf("%d rows ran, want 5 times %d", ran, rows)
	}
	whole := Whole(tsk.Graph)
	ref := must[*Reference](t)(tsk.Reference(t.Context(), Patching, 0))
	if must[[][]float64](t)(tsk.Evaluate(t.Context(), ref, whole, whole)); ran != 7*rows {
		t.Errorf("%d rows ran, want 7 times %d", ran, rows)
	}
}
