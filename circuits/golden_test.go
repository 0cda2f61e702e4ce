package circuits

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/probe/model"
)

var oneEngine sync.Once
var engine *model.Engine

// testEngine is one engine for all tests, so that equal programs compile once.
func testEngine(t *testing.T) *model.Engine {
	backend := graphtest.Backend(t)
	oneEngine.Do(func() { engine = model.NewEngine(backend, nil) })
	return engine
}

// arrays is a golden file whose every entry must be compared.
type arrays struct {
	t    *testing.T
	path string
	file *safetensors.File
	seen map[string]bool
}

func openArrays(t *testing.T, path ...string) *arrays {
	t.Helper()
	file, err := safetensors.Open(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	a := &arrays{t, filepath.Join(path...), file, map[string]bool{}}
	t.Cleanup(func() {
		for _, name := range file.Names() {
			if !a.seen[name] {
				t.Errorf("%s: %s was not compared", filepath.Base(a.path), name)
			}
		}
		_ = file.Close()
	})
	return a
}

func (a *arrays) floats(name string) []float64 {
	a.t.Helper()
	a.seen[name] = true
	x, err := a.file.Float64(name)
	if err != nil {
		single, other := a.file.Float32(name)
		if other != nil {
			a.t.Fatal(err)
		}
		for _, v := range single {
			x = append(x, float64(v))
		}
	}
	return x
}

func (a *arrays) ints(name string) []int32 {
	a.t.Helper()
	a.seen[name] = true
	x, err := a.file.Int64(name)
	if err != nil {
		a.t.Fatal(err)
	}
	out := make([]int32, len(x))
	for i, v := range x {
		out[i] = int32(v)
	}
	return out
}

func (a *arrays) bools(name string) []bool {
	a.t.Helper()
	a.seen[name] = true
	raw, err := a.file.Bytes(name)
	if err != nil {
		a.t.Fatal(err)
	}
	out := make([]bool, len(raw))
	for i, v := range raw {
		out[i] = v != 0
	}
	return out
}

// is compares an array within 1e-3 of its largest size.
func (a *arrays) is(name string, got []float64) {
	a.t.Helper()
	close(a.t, name, got, a.floats(name), 1e-3)
}

// close fails unless |got-want| <= tol max|want| everywhere.
func close(t *testing.T, name string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", name, len(got), len(want))
		return
	}
	size := 0.0
	for _, v := range want {
		size = max(size, math.Abs(v))
	}
	worst, at := 0.0, 0
	for i := range got {
		if d := math.Abs(got[i] - want[i]); !(d <= worst) {
			worst, at = d, i
		}
	}
	// 2e-6 is what float32 leaves of a score that is zero in exact arithmetic
	if !(worst <= tol*size+2e-6) {
		t.Errorf("%s: value %d is %g, want %g (largest %g)", name, at, got[at], want[at], size)
	}
}

func readJSON(t *testing.T, into any, path ...string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func loadModel(t *testing.T, e *model.Engine, path ...string) *model.Model {
	t.Helper()
	m, err := model.Load(t.Context(), e.Backend(), filepath.Join(path...), model.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Params.Free() })
	return m
}

// pairsOf reads the inputs of a case; prefix is "", "left." or "right.".
func pairsOf(in *arrays, prefix string) *Pairs {
	info, ok := in.file.Info(prefix + "clean")
	if !ok {
		in.t.Fatalf("%s: no %sclean", in.path, prefix)
	}
	p := &Pairs{Rows: info.Shape[0], Seq: info.Shape[1], Clean: in.ints(prefix + "clean"), Corrupted: in.ints(prefix + "corrupted"), Mask: in.ints(prefix + "attention_mask")}
	for r, answer := range in.ints(prefix + "answer") {
		p.Answer = append(p.Answer, []int32{answer})
		p.Wrong = append(p.Wrong, []int32{in.ints(prefix + "wrong")[r]})
	}
	return p
}

func newTask(t *testing.T, e *model.Engine, m *model.Model, p *Pairs, metric Metric) *Task {
	t.Helper()
	task, err := NewTask(t.Context(), e, m, p, metric, Options{SweepRows: 96})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// must fails the test on an error.
func must[T any](t *testing.T) func(x T, err error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func negative(x []float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = -v
	}
	return out
}

// expectations is expected.json of a case.
type expectations struct {
	Senders   []string
	Receivers []string
	NEdges    int                `json:"n_edges"`
	LD        map[string]float64 `json:"ld.sum_to_total"`
	KL        map[string]float64 `json:"kl.sum_to_total"`
	Selection []struct {
		Scores, How        string
		N                  int
		Raw, Pruned, Nodes []string
	}
	Faithfulness map[string]struct {
		Full, Empty, CPR, CMD float64
		NEdges                int `json:"n_edges"`
		Points                []struct {
			Pct, Metric, F float64
			Requested      int
			KeptEdges      int `json:"kept_edges"`
			KeptNodes      int `json:"kept_nodes"`
		}
	}
	Ablation     map[string]json.RawMessage
	Completeness []struct {
		K              []string
		Circuit        float64 `json:"circuit_minus_K"`
		Model          float64 `json:"model_minus_K"`
		Incompleteness float64
	}
	Minimality map[string]float64
	ACDCOrder  []string `json:"acdc_order"`
	ACDC       []struct {
		Metric                    string
		Tau, Start, Final, Margin float64
		Deltas                    []float64
		Kept                      []string
		KeptPruned                []string `json:"kept_pruned"`
	}
	Bootstrap struct {
		Scores    string
		N         int
		Resamples int
		Pairwise  float64  `json:"mean_pairwise_jaccard"`
		WithFull  float64  `json:"mean_jaccard_with_full"`
		FullSet   []string `json:"full_set"`
		Gap       float64  `json:"score_gap_at_cut"`
	}
	PaddedLengths []int `json:"padded_lengths"`
}

// TestGoldenCircuits holds the package against golden/circuits: every folder and every entry of every file is compared.
func TestGoldenCircuits(t *testing.T) {
	root := filepath.Join(graphtest.Golden(t), "circuits")
	engine := testEngine(t)
	parts := map[string]func(t *testing.T, engine *model.Engine, root, name string){
		"cases": goldenCase, "planted": goldenPlanted, "graph_metrics": goldenGraphMetrics, "formats": goldenFormats, "sfc": goldenSFC,
		"attribution": goldenAttribution,
	}
	dirs := must[[]os.DirEntry](t)(os.ReadDir(root))
	for _, d := range dirs {
		if !d.IsDir() || d.Name() == "models" || d.Name() == "gen" {
			continue
		}
		test, ok := parts[d.Name()]
		if !ok {
			t.Errorf("golden part %s is not compared", d.Name())
			continue
		}
		entries := must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(root, d.Name())))
		ran := 0
		for _, e := range entries {
			if e.IsDir() {
				ran++
				t.Run(d.Name()+"/"+e.Name(), func(t *testing.T) { test(t, engine, root, e.Name()) })
			}
		}
		if ran == 0 { // a part without cases is one folder of files
			t.Run(d.Name(), func(t *testing.T) { test(t, engine, root, "") })
		}
	}
}

func goldenCase(t *testing.T, engine *model.Engine, root, name string) {
	dir := filepath.Join(root, "cases", name)
	m := loadModel(t, engine, root, "models", name)
	if _, err := os.Stat(filepath.Join(dir, "edges.safetensors")); err != nil {
		goldenEncoder(t, engine, m, dir)
		return
	}
	inputs := openArrays(t, dir, "inputs.safetensors")
	pairs := pairsOf(inputs, "")
	want := openArrays(t, dir, "edges.safetensors")
	var expected expectations
	readJSON(t, &expected, dir, "expected.json")
	before := engine.Compiles()
	ld := newTask(t, engine, m, pairs, LogitDiff())
	kl := newTask(t, engine, m, pairs, KL())

	g := ld.Graph
	if !slices.Equal(g.Senders, expected.Senders) || !slices.Equal(g.Receivers, expected.Receivers) || len(g.Edges()) != expected.NEdges {
		t.Errorf("graph of %d senders, %d receivers, %d edges", len(g.Senders), len(g.Receivers), len(g.Edges()))
	}
	if !slices.Equal(want.bools("real_edges"), Whole(g).Keep) {
		t.Error("real_edges differ")
	}
	want.is("clean_logit_diff", negative(ld.CleanLoss))
	want.is("corrupted_logit_diff", negative(ld.CorruptedLoss))
	cache := must[*senderCache](t)(ld.senders(t.Context()))
	want.is("clean_sender_acts", widen(cache.clean.values))
	want.is("corrupted_sender_acts", widen(cache.corrupted.values))
	goldenMasks(t, ld, want)

	change := func(task *Task) float64 { return mean(task.CorruptedLoss) - mean(task.CleanLoss) }
	for tag, task := range map[string]*Task{"ld": ld, "kl": kl} {
		sums := map[string]map[string]float64{"ld": expected.LD, "kl": expected.KL}[tag]
		close(t, tag+" change", []float64{change(task)}, []float64{sums["true_change"]}, 1e-3)
		for method, run := range map[string]func() (*Scores, error){
			"exact":           func() (*Scores, error) { return Exact(t.Context(), task) },
			"eap":             func() (*Scores, error) { return EAP(t.Context(), task) },
			"clean_corrupted": func() (*Scores, error) { return CleanCorrupted(t.Context(), task) },
			"eap_ig_inputs":   func() (*Scores, error) { return EAPIGInputs(t.Context(), task, 5) },
			"mask_ig":         func() (*Scores, error) { return MaskIG(t.Context(), task, 20) },
		} {
			s := must[*Scores](t)(run())
			want.is(tag+"."+method, s.Values)
			if size := math.Abs(sums["true_change"]); math.Abs(s.Sum()-sums[method]) > 1e-3*max(size, math.Abs(sums[method])) {
				t.Errorf("%s.%s adds up to %g, want %g", tag, method, s.Sum(), sums[method])
			}
		}
		if len(sums) != 6 {
			t.Errorf("%s: %d sums", tag, len(sums))
		}
	}
	for suffix, path := range map[string]Path{"": PathSender, "_sublayer": PathSubLayer, "_compat": PathCompat} {
		want.is("ld.eap_ig_activations"+suffix, must[*Scores](t)(EAPIGActivations(t.Context(), ld, path, 5)).Values)
	}
	goldenSelection(t, ld, want, &expected)
	goldenAblation(t, ld, kl, want, &expected)
	goldenACDC(t, ld, kl, &expected)
	goldenBootstrap(t, g, want, &expected)
	goldenPadded(t, engine, m, dir, g, &expected)

	nodes := openArrays(t, dir, "nodes.safetensors")
	goldenNodes(t, ld, nodes)
	// the plain run, the masked pass of the batch and of a sweep, and the gradient; a capture and a patch of nodes; logits at all
	// positions; exact edges capture the stream and run one program for each block and one for the logits. Other metrics, and the
	// padded inputs of the same shape, run the same programs.
	if n := engine.Compiles() - before; n != 4+2+1+m.Spec.Layers+2 {
		t.Errorf("%d compiles for one shape", n)
	}
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// goldenMasks compares logits under the random soft mask, and of the two inputs, at every position.
func goldenMasks(t *testing.T, task *Task, want *arrays) {
	p, g := task.Pairs, task.Graph
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq, Logits: model.LogitsAll, Edges: &model.Edges{Batch: true}}
	program := must[*model.Program](t)(task.Engine.Compile(task.Model.Spec, plan))
	for name, c := range map[string]struct {
		ids  []int32
		mask []float64
	}{
		"clean_logits": {p.Clean, nil}, "corrupted_logits": {p.Corrupted, nil}, "random_mask_logits": {p.Clean, want.floats("random_mask")},
	} {
		in := model.Inputs{IDs: c.ids, Mask: p.Mask}
		if c.mask != nil {
			in.Edges = task.maskTensors(t, c.mask, g)
		}
		out := must[*model.Outputs](t)(program.Run(t.Context(), task.Model.Params, in))
		got := must[[]float64](t)(floats(out.Logits()))
		for i, v := range want.floats(name) {
			if math.Abs(got[i]-v) > 1e-4 {
				t.Fatalf("%s: value %d is %g, want %g", name, i, got[i], v)
			}
		}
	}
}

func goldenSelection(t *testing.T, task *Task, want *arrays, expected *expectations) {
	g := task.Graph
	pick := map[string]Selector{"topn": TopN, "greedy": Greedy}
	meanOf := func(name string) []float64 {
		return (&Scores{Graph: g, Rows: task.Pairs.Rows, Values: want.floats(name)}).Mean()
	}
	for _, s := range expected.Selection {
		raw := pick[s.How](g, meanOf(s.Scores), s.N)
		kept, nodes := Prune(raw)
		names := []string{}
		for _, u := range nodes {
			names = append(names, g.Senders[u])
		}
		if !slices.Equal(raw.Names(), s.Raw) || !slices.Equal(kept.Names(), s.Pruned) || !slices.Equal(names, s.Nodes) {
			t.Errorf("%s of %d by %s: %v, pruned %v, nodes %v", s.How, s.N, s.Scores, raw.Names(), kept.Names(), names)
		}
	}
	ref := must[*Reference](t)(task.Reference(t.Context(), Patching, 0))
	for name, f := range expected.Faithfulness {
		method, how, _ := strings.Cut(name, ".")
		got := must[*Faithfulness](t)(MeasureFaithfulness(t.Context(), task, ref, meanOf("ld."+method), pick[how], Percentages))
		close(t, name, []float64{-got.Full, -got.Empty, got.CPR, got.CMD}, []float64{f.Full, f.Empty, f.CPR, f.CMD}, 1e-3)
		if got.Edges != f.NEdges || len(got.Points) != len(f.Points) {
			t.Fatalf("%s: %d edges, %d points", name, got.Edges, len(got.Points))
		}
		for i, p := range f.Points {
			q := got.Points[i]
			if q.Share != p.Pct || q.Requested != p.Requested || q.Kept != p.KeptEdges || q.Nodes != p.KeptNodes {
				t.Errorf("%s: point %d is %+v, want %+v", name, i, q, p)
			}
			close(t, fmt.Sprintf("%s at %g", name, p.Pct), []float64{-q.Loss, q.F}, []float64{p.Metric, p.F}, 1e-3)
		}
	}
}

func goldenAblation(t *testing.T, ld, kl *Task, want *arrays, expected *expectations) {
	g := ld.Graph
	var circuit, nodeNames []string
	var order []int
	var full float64
	for key, into := range map[string]any{"circuit": &circuit, "nodes": &nodeNames, "resample_permutation": &order, "full_logit_diff": &full} {
		if err := json.Unmarshal(expected.Ablation[key], into); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	c := must[*Circuit](t)(CircuitOf(g, circuit))
	for key, raw := range expected.Ablation {
		if slices.Contains([]string{"circuit", "nodes", "resample_permutation", "full_logit_diff", "reference"}, key) {
			continue
		}
		var sums map[string]float64
		if err := json.Unmarshal(raw, &sums); err != nil {
			t.Fatal(err)
		}
		var ref, klRef *Reference
		if kind := Ablation(key); kind == Resample {
			ref, klRef = must[*Reference](t)(ld.ResampleReference(t.Context(), order)), must[*Reference](t)(kl.ResampleReference(t.Context(), order))
		} else {
			ref, klRef = must[*Reference](t)(ld.Reference(t.Context(), kind, 0)), must[*Reference](t)(kl.Reference(t.Context(), kind, 0))
		}
		rows := must[[][]float64](t)(ld.Evaluate(t.Context(), ref, c, NewCircuit(g), c.Complement()))
		klRows := must[[][]float64](t)(kl.Evaluate(t.Context(), klRef, c))
		got := map[string][]float64{"circuit": negative(rows[0]), "empty": negative(rows[1]), "complement": negative(rows[2]), "circuit_kl": klRows[0]}
		for name, x := range got {
			want.is("ablation."+key+"."+name, x)
			close(t, key+" "+name, []float64{mean(x)}, []float64{sums[name]}, 1e-3)
		}
		whole, empty := mean(negative(ld.CleanLoss)), mean(got["empty"])
		share := func(x []float64) float64 { return (mean(x) - empty) / (whole - empty) }
		close(t, key+" faithfulness", []float64{share(got["circuit"]), share(got["complement"]), whole}, []float64{sums["faithfulness"], sums["complement_faithfulness"], full}, 1e-3)
	}
	// the circuit cut from itself and from the model
	ref := must[*Reference](t)(ld.Reference(t.Context(), Patching, 0))
	var cuts [][]int
	for _, c := range expected.Completeness {
		cut := []int{}
		for _, name := range c.K {
			cut = append(cut, must[int](t)(g.Sender(name)))
		}
		cuts = append(cuts, cut)
	}
	for i, m := range must[[]Completeness](t)(MeasureCompleteness(t.Context(), ld, ref, c, cuts)) {
		e := expected.Completeness[i]
		close(t, fmt.Sprintf("completeness of %v", e.K), []float64{-m.Circuit, -m.Model, m.Incompleteness}, []float64{e.Circuit, e.Model, e.Incompleteness}, 1e-3)
	}
	var senders []int
	var minimality []float64
	for name, v := range expected.Minimality {
		senders, minimality = append(senders, must[int](t)(g.Sender(name))), append(minimality, v)
	}
	if _, nodes := Prune(c); len(nodes) != len(nodeNames) || len(senders)+1 != len(nodes) {
		t.Errorf("the circuit has nodes %v", nodes)
	}
	close(t, "minimality", must[[]float64](t)(MeasureMinimality(t.Context(), ld, ref, c, senders)), minimality, 1e-3)
}

func goldenACDC(t *testing.T, ld, kl *Task, expected *expectations) {
	g := ld.Graph
	for _, e := range expected.ACDC {
		task := map[string]*Task{"ld": ld, "kl": kl}[e.Metric]
		ref := must[*Reference](t)(task.Reference(t.Context(), Patching, 0))
		got := must[*ACDCResult](t)(ACDC(t.Context(), task, ref, e.Tau))
		var order []string
		margin := math.Inf(1)
		for i, edge := range got.Order {
			order = append(order, g.Name(edge))
			margin = min(margin, math.Abs(got.Deltas[i]-e.Tau))
		}
		pruned, _ := Prune(got.Circuit)
		if !slices.Equal(order, expected.ACDCOrder) || !slices.Equal(got.Circuit.Names(), e.Kept) || !slices.Equal(pruned.Names(), e.KeptPruned) {
			t.Errorf("ACDC of %s at %g keeps %v", e.Metric, e.Tau, got.Circuit.Names())
		}
		close(t, fmt.Sprintf("ACDC of %s at %g", e.Metric, e.Tau), append(got.Deltas, got.Start, got.Final), append(e.Deltas, e.Start, e.Final), 1e-3)
		close(t, "margin", []float64{margin}, []float64{e.Margin}, 0.05)
		if got.Runs > len(order)+1 || got.Runs < len(order)/2 {
			t.Errorf("ACDC took %d runs for %d edges", got.Runs, len(order))
		}
	}
}

func goldenBootstrap(t *testing.T, g *EdgeGraph, want *arrays, expected *expectations) {
	e := expected.Bootstrap
	scores := &Scores{Graph: g, Values: want.floats(e.Scores)}
	scores.Rows = len(scores.Values) / g.Size()
	index := make([][]int, e.Resamples)
	for i, row := range want.ints("bootstrap.indices") {
		index[i/scores.Rows] = append(index[i/scores.Rows], int(row))
	}
	b := must[*Bootstrap](t)(BootstrapFrom(scores, TopN, e.N, index))
	close(t, "inclusion", b.Inclusion, want.floats("bootstrap.inclusion"), 1e-9)
	close(t, "standard errors", b.StdErr, want.floats("bootstrap.score_se"), 1e-9)
	close(t, "bootstrap", []float64{b.Pairwise, b.WithFull, b.GapAtCut}, []float64{e.Pairwise, e.WithFull, e.Gap}, 1e-9)
	if !slices.Equal(b.Full.Names(), e.FullSet) || !b.Unstable {
		t.Errorf("full set %v, unstable %v at a Jaccard index of %g", b.Full.Names(), b.Unstable, b.Pairwise)
	}
}

// goldenPadded: padding on either side gives one set of numbers.
func goldenPadded(t *testing.T, engine *model.Engine, m *model.Model, dir string, g *EdgeGraph, expected *expectations) {
	inputs := openArrays(t, dir, "padded_inputs.safetensors")
	want := openArrays(t, dir, "padded_edges.safetensors")
	var circuit []string
	if err := json.Unmarshal(expected.Ablation["circuit"], &circuit); err != nil {
		t.Fatal(err)
	}
	c := must[*Circuit](t)(CircuitOf(g, circuit))
	for _, side := range []string{"left.", "right."} {
		pairs := pairsOf(inputs, side)
		for r, n := range expected.PaddedLengths {
			real := 0
			for i := range pairs.Seq {
				if pairs.real(r*pairs.Seq + i) {
					real++
				}
			}
			if real != n {
				t.Fatalf("row %d has %d tokens, want %d", r, real, n)
			}
		}
		task := newTask(t, engine, m, pairs, LogitDiff())
		want.is("clean_logit_diff", negative(task.CleanLoss))
		goldenLastLogits(t, task, want)
		want.is("ld.eap", must[*Scores](t)(EAP(t.Context(), task)).Values)
		want.is("ld.mask_ig", must[*Scores](t)(MaskIG(t.Context(), task, 20)).Values)
		want.is("ld.exact", must[*Scores](t)(Exact(t.Context(), task)).Values)
		for _, kind := range []Ablation{Mean, MeanPositional} {
			ref := must[*Reference](t)(task.Reference(t.Context(), kind, 0))
			if kind == Mean {
				want.is("mean_ablation_reference", widen(ref.values[:len(g.Senders)*m.Spec.DModel]))
			}
			want.is("ablation."+string(kind)+".circuit", negative(must[[][]float64](t)(task.Evaluate(t.Context(), ref, c))[0]))
		}
	}
}

func goldenLastLogits(t *testing.T, task *Task, want *arrays) {
	plan := model.Plan{Batch: task.Pairs.Rows, Seq: task.Pairs.Seq}
	task.metric.apply(&plan)
	for name, ids := range map[string][]int32{"clean_logits_last": task.Pairs.Clean, "corrupted_logits_last": task.Pairs.Corrupted} {
		out := must[*model.Outputs](t)(task.run(t.Context(), plan, ids, 1, nil, nil))
		want.is(name, must[[]float64](t)(floats(out.Logits())))
	}
}

func goldenNodes(t *testing.T, task *Task, want *arrays) {
	kinds := map[string]model.Kind{"resid_pre": model.ResidPre, "attn_out": model.AttnOut, "mlp_out": model.MLPOut, "z": model.Z}
	for _, name := range want.file.Names() {
		parts := strings.Split(name, ".")
		if parts[0] != "loss" {
			continue
		}
		kind, ok := kinds[parts[2]]
		if !ok {
			t.Errorf("no site for %s", name)
			continue
		}
		got := must[*NodeEffects](t)(PatchNodes(t.Context(), task, kind, Direction(parts[1])))
		if info, _ := want.file.Info(name); !slices.Equal(got.Dims, info.Shape) {
			t.Errorf("%s: shape %v, want %v", name, got.Dims, info.Shape)
		}
		want.is(name, got.Loss)
	}
}

func goldenPlanted(t *testing.T, engine *model.Engine, root, name string) {
	dir := filepath.Join(root, "planted", name)
	m := loadModel(t, engine, root, "models", name)
	all := pairsOf(openArrays(t, dir, "inputs.safetensors"), "")
	want := openArrays(t, dir, "expected.safetensors")
	var expected struct {
		Circuit  []string
		Accuracy *float64
		Kinds    map[string]struct {
			Examples []int
			Edges    []string
			Exact    map[string]float64 `json:"exact_loss_change"`
			Other    float64            `json:"largest_other"`
			Total    float64            `json:"total_loss_change"`
			Full     float64            `json:"full_logit_diff"`
			Circuit  float64            `json:"circuit_logit_diff"`
		} `json:"by_corruption"`
	}
	readJSON(t, &expected, dir, "expected.json")
	task := newTask(t, engine, m, all, LogitDiff())
	g := task.Graph
	exact := must[*Scores](t)(Exact(t.Context(), task))
	want.is("exact", exact.Values)
	want.is("eap", must[*Scores](t)(EAP(t.Context(), task)).Values)
	want.is("mask_ig", must[*Scores](t)(MaskIG(t.Context(), task, 20)).Values)
	plantedPasses(t, task, want)
	if expected.Accuracy != nil {
		hits := newTask(t, engine, m, all, AccuracyAtK(1))
		if got := -mean(hits.CleanLoss); got != *expected.Accuracy {
			t.Errorf("accuracy %g, want %g", got, *expected.Accuracy)
		}
	}
	found := map[string]bool{}
	ref := must[*Reference](t)(task.Reference(t.Context(), Patching, 0))
	for kind, e := range expected.Kinds {
		scores := exact.mean(e.Examples)
		truth := must[*Circuit](t)(CircuitOf(g, e.Edges))
		// the planted edges, and no others, carry more than a tenth of the change each
		got := Threshold(g, scores, e.Total/10)
		if !slices.Equal(got.Names(), truth.Names()) {
			t.Errorf("%s: exact edges %v, planted %v", kind, got.Names(), truth.Names())
		}
		for name, v := range e.Exact {
			found[name] = true
			close(t, name, []float64{scores[g.At(must[Edge](t)(g.Parse(name)))]}, []float64{v}, 1e-3)
		}
		other := 0.0
		for _, edge := range g.Edges() {
			if at := g.At(edge); !truth.Keep[at] {
				other = max(other, math.Abs(scores[at]))
			}
		}
		// in float64 the other edges change the loss by at most 1e-5; float32 leaves about 1e-4 of 20
		if e.Other > 1e-2*e.Total || other > 1e-3*e.Total {
			t.Errorf("%s: another edge changes the loss by %g", kind, other)
		}
		rows := must[[][]float64](t)(task.Evaluate(t.Context(), ref, truth))[0]
		var circuit, full, total float64
		for _, r := range e.Examples {
			circuit -= rows[r] / float64(len(e.Examples))
			full -= task.CleanLoss[r] / float64(len(e.Examples))
			total += (task.CorruptedLoss[r] - task.CleanLoss[r]) / float64(len(e.Examples))
		}
		close(t, kind, []float64{full, circuit, total}, []float64{e.Full, e.Circuit, e.Total}, 1e-3)
	}
	for _, name := range expected.Circuit {
		if !found[name] {
			t.Errorf("planted edge %s was not found", name)
		}
	}
}

// plantedPasses compares logits and, where the file has them, attention patterns.
func plantedPasses(t *testing.T, task *Task, want *arrays) {
	p := task.Pairs
	plan := model.Plan{Batch: p.Rows, Seq: p.Seq, Logits: model.LogitsAll}
	for l := range task.Model.Spec.Layers {
		plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: model.Pattern, Layer: l}})
	}
	program := must[*model.Program](t)(task.Engine.Compile(task.Model.Spec, plan))
	clean := must[*model.Outputs](t)(program.Run(t.Context(), task.Model.Params, model.Inputs{IDs: p.Clean, Mask: p.Mask}))
	corrupted := must[*model.Outputs](t)(program.Run(t.Context(), task.Model.Params, model.Inputs{IDs: p.Corrupted, Mask: p.Mask}))
	want.is("clean_logits", must[[]float64](t)(floats(clean.Logits())))
	want.is("corrupted_logits", must[[]float64](t)(floats(corrupted.Logits())))
	for l, c := range plan.Captures {
		name := fmt.Sprintf("pattern%d", l)
		if _, ok := want.file.Info(name); ok {
			want.is(name, must[[]float64](t)(floats(clean.Capture(c))))
		}
	}
}
