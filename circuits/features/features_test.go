package features

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"loupe/circuits"
	"loupe/internal/graphtest"
	"loupe/internal/safetensors"
	"loupe/probe/model"
	"loupe/sae"
)

func must[T any](t *testing.T) func(x T, err error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

// goldenTask is a golden model with rows of the inputs beside it.
func goldenTask(t *testing.T, name, inputs string, metric circuits.Metric, keep func(row int) bool) *circuits.Task {
	t.Helper()
	root := filepath.Join(graphtest.Golden(t), "circuits")
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := must[*model.Model](t)(model.Load(t.Context(), engine.Backend(), filepath.Join(root, "models", name), model.Options{}))
	t.Cleanup(func() { _ = m.Params.Free() })
	file := must[*safetensors.File](t)(safetensors.Open(filepath.Join(root, inputs, "inputs.safetensors")))
	defer func() { _ = file.Close() }()
	read := func(name string) []int32 {
		var out []int32
		for _, v := range must[[]int64](t)(file.Int64(name)) {
			out = append(out, int32(v))
		}
		return out
	}
	info, _ := file.Info("clean")
	clean, corrupted, mask, answer, wrong := read("clean"), read("corrupted"), read("attention_mask"), read("answer"), read("wrong")
	p := &circuits.Pairs{Seq: info.Shape[1]}
	for r := range info.Shape[0] {
		if keep != nil && !keep(r) {
			continue
		}
		lo, hi := r*p.Seq, (r+1)*p.Seq
		p.Clean, p.Corrupted, p.Mask = append(p.Clean, clean[lo:hi]...), append(p.Corrupted, corrupted[lo:hi]...), append(p.Mask, mask[lo:hi]...)
		p.Answer, p.Wrong = append(p.Answer, answer[r:r+1]), append(p.Wrong, wrong[r:r+1])
		p.Rows++
	}
	return must[*circuits.Task](t)(circuits.NewTask(t.Context(), engine, m, p, metric, circuits.Options{SweepRows: 16}))
}

// near fails unless the values agree within tol of the largest.
func near(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	size := 0.0
	for _, v := range want {
		size = max(size, math.Abs(v))
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*size+2e-6) {
			t.Fatalf("%s: value %d is %g, want %g (largest %g)", what, i, got[i], want[i], size)
		}
	}
}

// someSAE is an autoencoder with random weights, about half of whose latents are on.
func someSAE(d, n int, seed uint64) *sae.SAE {
	r := rand.New(rand.NewPCG(seed, 5))
	s := &sae.SAE{Arch: sae.ArchStandard, DIn: d, DSAE: n, ApplyBDecToInput: true, Normalize: sae.NormalizeNone}
	for range n * d {
		s.WEnc, s.WDec = append(s.WEnc, float32(r.NormFloat64()/math.Sqrt(float64(d)))), append(s.WDec, float32(r.NormFloat64()/math.Sqrt(float64(d))))
	}
	s.BEnc, s.BDec = make([]float32, n), make([]float32, d)
	for i := range s.BDec {
		s.BDec[i] = float32(r.NormFloat64() / 4)
	}
	return s
}

func site(t *testing.T, name string) model.Site {
	t.Helper()
	return must[model.Site](t)(model.ParseSite(name))
}

// coded encodes a task with random autoencoders at the named sites.
func coded(t *testing.T, task *circuits.Task, names ...string) *Code {
	t.Helper()
	var all []*Dictionary
	for i, name := range names {
		all = append(all, must[*Dictionary](t)(FromSAE(site(t, name), someSAE(task.Model.Spec.DModel, 12, uint64(i)))))
	}
	return must[*Code](t)(Encode(t.Context(), task, all))
}

// TestHand: at one place x = (3, 4) with the unit vector (1, 0), whose coefficient is 3 and error (0, 4), and with (0, 2) of coefficient 2.
func TestHand(t *testing.T) {
	d := must[*Dictionary](t)(FromConcepts(site(t, "blocks.0.hook_resid_pre"), []float32{1, 0, 0, 2}, 2))
	l, rest, err := d.split([]float32{3, 4, -1, 6})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(l.Value, []float32{3, 2, -1, 3}) || !slices.Equal(rest, make([]float32, 4)) {
		t.Errorf("coefficients %v and error %v", l.Value, rest)
	}
	one := must[*Dictionary](t)(FromConcepts(d.Site, []float32{1, 0}, 2))
	// the coefficient goes from 3 to -1 and the error from (0, 4) to (0, 6); the gradient is (10, 100)
	code := siteCode{active: []activeAt{{index: []int32{0}, value: [2][]float32{{3}, {-1}}}}, errors: [2][]float32{{0, 4}, {0, 6}}}
	e := code.times(one, []float64{10, 100})
	if e.Effect[0][0] != -40 || e.Error[0] != 200 || e.Sum(1) != 160 {
		t.Errorf("effects %v and %v", e.Effect, e.Error)
	}
	// outside an empty circuit the feature takes 7 and the error (5, 5); inside, x stays
	ref := &reference{index: [][]int32{{0}}, value: [][]float32{{7}}, error: [][]float32{{5, 5}}, slot: []int{0}}
	for _, c := range []struct {
		in   map[key]bool
		want []float32
	}{
		{nil, []float32{12, 5}},
		{map[key]bool{{0, 0, AllPositions}: true}, []float32{8, 5}},
		{map[key]bool{{0, ErrorFeature, 0}: true}, []float32{7, 4}},
		{map[key]bool{{0, 0, 0}: true, {0, ErrorFeature, AllPositions}: true}, []float32{3, 4}},
	} {
		x := []float32{3, 4}
		if err := one.cut(x, []map[key]bool{c.in}, 0, []int{0}, 1, ref); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(x, c.want) {
			t.Errorf("with %v inside, x is %v, want %v", c.in, x, c.want)
		}
	}
}

// TestGolden holds effects and ablations against golden/circuits/sfc: patching all but one feature is what the exact effects measured.
func TestGolden(t *testing.T) {
	task := goldenTask(t, "gpt2-b", "cases/gpt2-b", circuits.LogitDiff(), nil)
	dir := filepath.Join(graphtest.Golden(t), "circuits", "sfc", "gpt2-b")
	var expected struct{ Hook string }
	raw := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "expected.json")))
	if err := json.Unmarshal(raw, &expected); err != nil {
		t.Fatal(err)
	}
	file := must[*safetensors.File](t)(safetensors.Open(filepath.Join(dir, "expected.safetensors")))
	defer func() { _ = file.Close() }()
	want := func(name string) []float64 { return must[[]float64](t)(file.Float64(name)) }
	s := must[*sae.SAE](t)(sae.Load(filepath.Join(dir, "sae")))
	at := site(t, expected.Hook)
	// another site's dictionary changes nothing about this one's effects
	code := must[*Code](t)(Encode(t.Context(), task, []*Dictionary{must[*Dictionary](t)(FromSAE(at, s)), coded(t, task, "blocks.0.hook_mlp_out").Dictionaries[0]}))
	for name, e := range map[string]*Effects{"atp": must[*Effects](t)(code.AtP(t.Context())), "ig10": must[*Effects](t)(code.IG(t.Context(), 10))} {
		own := e.Sites[1]
		dense := make([]float64, len(own.Error)*s.DSAE)
		for p, index := range own.Feature {
			for j, i := range index {
				dense[p*s.DSAE+int(i)] = own.Effect[p][j]
			}
		}
		near(t, name+".features", dense, want(name+".features"), 1e-3)
		near(t, name+".error", own.Error, want(name+".error"), 1e-3)
	}
	code = must[*Code](t)(Encode(t.Context(), task, []*Dictionary{code.Dictionaries[1]}))
	everything := code.everything()
	var runs [][]Node
	for i := ErrorFeature; i < s.DSAE; i++ {
		runs = append(runs, code.without(everything, []Node{{Site: at, Feature: i, Position: AllPositions}}))
	}
	last := Node{Site: at, Feature: ErrorFeature, Position: task.Pairs.Seq - 1}
	runs = append(runs, code.without(everything, []Node{last}))
	losses := must[[][]float64](t)(code.Losses(t.Context(), runs, Judge{Patching, ErrorsAsNodes}))
	change := func(run, row int) float64 { return losses[run][row] - task.CleanLoss[row] }
	rows := task.Pairs.Rows
	features, errors, single := make([]float64, rows*s.DSAE), make([]float64, rows), make([]float64, rows)
	all := want("exact.error")
	for r := range rows {
		errors[r] = change(0, r)
		for i := range s.DSAE {
			features[r*s.DSAE+i] = change(i+1, r)
		}
		single[r] = all[(r+1)*task.Pairs.Seq-1]
		all[r] = change(s.DSAE+1, r)
	}
	near(t, "exact.features_all_positions", features, want("exact.features_all_positions"), 1e-3)
	near(t, "exact.error_all_positions", errors, want("exact.error_all_positions"), 1e-3)
	near(t, "exact.error at the last position", all[:rows], single, 1e-3)
}

// TestEdgesAddUp: over all nodes, the edges out of each node add up to its effect by AtP, in decoders and in an encoder that normalises its
// stream, with and without positions.
func TestEdgesAddUp(t *testing.T) {
	for _, c := range []struct {
		model  string
		metric circuits.Metric
		sites  []string
	}{
		{"gpt2-a", circuits.LogitDiff(), []string{"blocks.0.hook_attn_out", "blocks.0.hook_mlp_out", "blocks.0.hook_resid_post", "blocks.1.hook_mlp_out", "blocks.1.hook_attn_out"}},
		{"llama-a", circuits.ProbDiff(), []string{"blocks.0.hook_resid_mid", "blocks.1.hook_resid_pre", "blocks.1.hook_mlp_out"}},
		{"bert-a", circuits.ProbeLogit(model.Site{Kind: model.LastHidden}, someSAE(32, 1, 9).WEnc, 0), []string{"blocks.0.hook_attn_out", "blocks.0.hook_normalized_resid_post", "blocks.1.hook_mlp_out"}},
	} {
		t.Run(c.model, func(t *testing.T) {
			task := goldenTask(t, c.model, "cases/"+c.model, c.metric, func(row int) bool { return row < 2 })
			code := coded(t, task, c.sites...)
			effects := must[*Effects](t)(code.AtP(t.Context()))
			for _, positions := range []bool{false, true} {
				nodes := everyNode(code, positions)
				g := must[*Graph](t)(code.Edges(t.Context(), nodes, 0))
				sums, size := make([]float64, len(nodes)), 0.0
				for _, e := range g.Edges {
					sums[e.From] += e.Weight
				}
				want := make([]float64, len(nodes))
				for _, n := range effects.Nodes(positions) {
					i := slices.IndexFunc(nodes, func(m Node) bool { return m.Site == n.Site && m.Feature == n.Feature && m.Position == n.Position })
					want[i] = n.Effect
					size = max(size, math.Abs(n.Effect))
				}
				if size < 1e-4 {
					t.Fatalf("the largest effect is %g", size)
				}
				near(t, "sums of edges", sums, want, 1e-3)
				t.Logf("%d edges between %d nodes; the largest effect is %.3g", len(g.Edges), len(nodes), size)
			}
		})
	}
}

// everyNode lists all features and errors, at each position or at all.
func everyNode(c *Code, positions bool) []Node {
	var out []Node
	for _, n := range c.everything() {
		if !positions {
			out = append(out, n)
			continue
		}
		for i := range c.Task.Pairs.Seq {
			n.Position = i
			out = append(out, n)
		}
	}
	return out
}

// TestEdgeIsDerivative: an edge is the finite difference of what a small move of its start does to its end, the sites between held.
func TestEdgeIsDerivative(t *testing.T) {
	task := goldenTask(t, "gpt2-a", "cases/gpt2-a", circuits.LogitDiff(), func(row int) bool { return row < 2 })
	code := coded(t, task, "blocks.0.hook_resid_pre", "blocks.0.hook_attn_out", "blocks.1.hook_attn_out")
	total := must[*circuits.SiteGradients](t)(task.GradientsAt(t.Context(), code.Sites(), nil))
	nodes := everyNode(code, false)
	g := must[*Graph](t)(code.Edges(t.Context(), nodes, 0))
	i := slices.IndexFunc(g.Edges, func(e Edge) bool {
		return e.To != Loss && nodes[e.From].Site == code.Sites()[0] && nodes[e.To].Site == code.Sites()[2] && nodes[e.From].Feature >= 0 && nodes[e.To].Feature >= 0
	})
	edge := g.Edges[i]
	from, to := nodes[edge.From].Feature, nodes[edge.To].Feature
	const step = 1e-2
	coefficients := func(share float32) []float32 {
		out := make([]float32, task.Pairs.Rows*task.Pairs.Seq)
		_, err := task.Splice(t.Context(), code.Sites(), 1, func(site model.Site, _ []int, x []float32) error {
			k := slices.Index(code.Sites(), site)
			d := code.Dictionaries[k]
			switch k {
			case 0:
				for p, a := range code.sites[0].active {
					if j, ok := slices.BinarySearch(a.index, int32(from)); ok {
						axpy(share*(a.value[1][j]-a.value[0][j]), d.write(int32(from)), x[p*d.D:(p+1)*d.D])
					}
				}
			case 1:
				copy(x, code.values[0][site])
			case 2:
				for p, a := range code.sites[2].active {
					if j, ok := slices.BinarySearch(a.index, int32(to)); ok && a.value[0][j] != 0 {
						out[p] = float32(dot(d.read(int32(to)), x[p*d.D:(p+1)*d.D]))
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	up, down := coefficients(step), coefficients(-step)
	var sum float64
	d := code.Dictionaries[2]
	for p := range up {
		sum += float64(up[p]-down[p]) / (2 * step) * dot(d.write(int32(to)), total.At[d.Site][p*d.D:(p+1)*d.D])
	}
	if want := sum / float64(task.Pairs.Rows); math.Abs(edge.Weight-want) > 0.01*math.Abs(want) {
		t.Errorf("edge %s -> %s has weight %g, a finite difference gives %g", nodes[edge.From].Name(), nodes[edge.To].Name(), edge.Weight, want)
	}
}

// TestPlanted: in the planted induction model, whose second head copies the token it attends to, corrupting that token moves the token's
// feature, the output's feature of the same token, and the loss, and no other edge matters.
func TestPlanted(t *testing.T) {
	task := goldenTask(t, "induction", "planted/induction", circuits.LogitDiff(), func(row int) bool { return row >= 16 && row < 24 })
	d := task.Model.Spec.DModel
	block := func(from int) []float32 {
		out := make([]float32, 12*d)
		for i := range 12 {
			out[i*d+from+i] = 1
		}
		return out
	}
	var all []*Dictionary
	for name, from := range map[string]int{"blocks.0.hook_resid_pre": 0, "blocks.0.hook_attn_out": 12, "blocks.1.hook_attn_out": 24} {
		all = append(all, must[*Dictionary](t)(FromConcepts(site(t, name), block(from), d)))
	}
	code := must[*Code](t)(Encode(t.Context(), task, all))
	effects := must[*Effects](t)(code.IG(t.Context(), 10))
	change := 0.0
	for r := range task.CleanLoss {
		change += (task.CorruptedLoss[r] - task.CleanLoss[r]) / float64(task.Pairs.Rows)
	}
	for k, name := range []string{"tokens", "previous", "outputs"} {
		want := change
		if k == 1 {
			want = 0
		}
		if got := effects.Sites[k].Sum(task.Pairs.Rows); math.Abs(got-want) > 0.01*change {
			t.Errorf("%s carry %g of the change of %g", name, got, change)
		}
	}
	nodes := effects.Nodes(false)
	g := must[*Graph](t)(code.Edges(t.Context(), nodes, 0))
	var planted, other float64
	for _, e := range g.Edges {
		from := nodes[e.From]
		same := e.To == Loss && from.Site == code.Sites()[2] || e.To != Loss && from.Site == code.Sites()[0] && nodes[e.To].Site == code.Sites()[2] && nodes[e.To].Feature == from.Feature
		if same {
			planted += e.Weight
		} else {
			other += math.Abs(e.Weight)
		}
	}
	t.Logf("planted edges carry %.4g of twice the change of %.4g; all others %.3g", planted, change, other)
	if math.Abs(planted-2*change) > 0.02*change || other > 0.02*change {
		t.Errorf("planted edges carry %g, want twice %g; others %g", planted, change, other)
	}
	few := Above(nodes, 0.01*change)
	got := must[[]Judgement](t)(code.Judge(t.Context(), few, []int{len(few)}, Judge{Patching, ErrorsAsNodes}))[0]
	t.Logf("%d of %d nodes: faithfulness %.4f, completeness %.4f", len(few), len(nodes), got.Faithfulness, got.Completeness)
	if math.Abs(got.Faithfulness-1) > 0.02 || math.Abs(got.Completeness) > 0.02 {
		t.Errorf("the planted circuit has faithfulness %g and completeness %g", got.Faithfulness, got.Completeness)
	}
}

// TestJudge: with every node the model is the plain one; with none, patched, the corrupted one where a site holds the whole stream; ablations
// differ; errors kept or ablated change what the ends are.
func TestJudge(t *testing.T) {
	task := goldenTask(t, "llama-a", "cases/llama-a", circuits.LogitDiff(), func(row int) bool { return row < 3 })
	code := coded(t, task, "blocks.0.hook_mlp_out", "blocks.1.hook_resid_pre")
	all := code.everything()
	losses := must[[][]float64](t)(code.Losses(t.Context(), [][]Node{all, nil}, Judge{Patching, ErrorsAsNodes}))
	near(t, "all nodes", losses[0], task.CleanLoss, 1e-5)
	near(t, "no node", losses[1], task.CorruptedLoss, 1e-4)
	nodes := must[*Effects](t)(code.AtP(t.Context())).Nodes(true)
	var seen []float64
	for _, how := range []Ablation{Zero, Mean, MeanPositional, Patching} {
		got := must[[]Judgement](t)(code.Judge(t.Context(), nodes, []int{0, len(nodes) / 2, len(nodes)}, Judge{how, ErrorsAsNodes}))
		if got[0].Faithfulness != 0 || got[0].Completeness != 1 {
			t.Errorf("%s: an empty circuit has faithfulness %g and its complement %g", how, got[0].Faithfulness, got[0].Completeness)
		}
		if slices.Contains(seen, got[1].Circuit) {
			t.Errorf("%s ablates as another ablation does", how)
		}
		seen = append(seen, got[1].Circuit)
	}
	kept := must[[]Judgement](t)(code.Judge(t.Context(), nodes, []int{0}, Judge{Zero, ErrorsKept}))[0]
	gone := must[[]Judgement](t)(code.Judge(t.Context(), nodes, []int{0}, Judge{Zero, ErrorsAblated}))[0]
	if kept.Full == gone.Full || kept.Empty == gone.Empty {
		t.Errorf("errors kept (%g, %g) and ablated (%g, %g) are the same", kept.Full, kept.Empty, gone.Full, gone.Empty)
	}
}

func TestErrors(t *testing.T) {
	task := goldenTask(t, "gpt2-a", "cases/gpt2-a", circuits.LogitDiff(), func(row int) bool { return row < 1 })
	pre := site(t, "blocks.0.hook_resid_pre")
	fit := must[*Dictionary](t)(FromSAE(pre, someSAE(32, 4, 1)))
	for what, all := range map[string][]*Dictionary{
		"none": nil, "two at one site": {fit, fit}, "width": {must[*Dictionary](t)(FromSAE(pre, someSAE(8, 4, 1)))},
		"layer": {must[*Dictionary](t)(FromSAE(model.Site{Kind: model.ResidPre, Layer: 9}, someSAE(32, 4, 1)))},
		"heads": {must[*Dictionary](t)(FromSAE(model.Site{Kind: model.Z}, someSAE(8, 4, 1)))},
	} {
		if _, err := Encode(t.Context(), task, all); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	code := must[*Code](t)(Encode(t.Context(), task, []*Dictionary{fit}))
	if _, err := code.IG(t.Context(), 0); err == nil {
		t.Error("0 steps: no error")
	}
	for _, n := range []Node{{Site: pre, Feature: 4, Position: AllPositions}, {Site: pre, Position: 99}, {Site: site(t, "blocks.1.hook_resid_pre"), Position: AllPositions}} {
		if _, err := code.Edges(t.Context(), []Node{n}, 0); err == nil {
			t.Errorf("node %s: no error", n.Name())
		}
	}
	if _, err := code.Losses(t.Context(), [][]Node{nil}, Judge{"median", ErrorsKept}); err == nil {
		t.Error("ablation median: no error")
	}
	if _, err := code.Judge(t.Context(), nil, []int{1}, Judge{Zero, ErrorsKept}); err == nil {
		t.Error("more nodes than there are: no error")
	}
	if _, err := FromConcepts(pre, make([]float32, 32), 32); err == nil {
		t.Error("a zero vector: no error")
	}
}
