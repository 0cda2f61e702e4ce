package circuits

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/circuits/tracing"
	"loupe/probe/model"
	"loupe/sae"
)

// goldenAttribution compares attribution graphs on transcoders: what is traced, influence, pruning, scores and the file.
func goldenAttribution(t *testing.T, engine *model.Engine, root, name string) {
	dir := filepath.Join(root, "attribution", name)
	m := loadModel(t, engine, dir, "model")
	want := openArrays(t, dir, "expected.safetensors")
	var expected struct {
		Features     int      `json:"n_features"`
		Errors       int      `json:"n_errors"`
		Tokens       int      `json:"n_tokens"`
		Logits       int      `json:"n_logits"`
		Architecture string   `json:"architecture"`
		Gap          float64  `json:"row_identity_gap"`
		Replacement  float64  `json:"replacement_score"`
		Completeness float64  `json:"completeness_score"`
		KeptNodes    int      `json:"kept_nodes"`
		KeptEdges    int      `json:"kept_edges"`
		Nodes        float64  `json:"node_threshold"`
		Edges        float64  `json:"edge_threshold"`
		CollideAll   []string `json:"colliding_ids_all_nodes"`
		CollideFile  []string `json:"colliding_ids_in_file"`
		Margin       float64  `json:"node_margin"`
	}
	readJSON(t, &expected, dir, "expected.json")
	var coders []*sae.SAE
	for l := range m.Spec.Layers {
		c := must[*sae.SAE](t)(sae.Load(filepath.Join(dir, "transcoders", fmt.Sprintf("layer_%d", l))))
		if c.Arch != expected.Architecture {
			t.Errorf("layer %d is %s", l, c.Arch)
		}
		coders = append(coders, c)
	}
	dictionary := must[*tracing.Dictionary](t)(tracing.Transcoders(m.Spec, coders))
	tracer := must[*tracing.Tracer](t)(tracing.New(t.Context(), engine, m, dictionary))
	tokens := want.ints("input_tokens")
	goldenPlainRun(t, engine, m, tokens, want)
	run := must[*tracing.Run](t)(tracer.Trace(t.Context(), tokens, tracing.DefaultConfig()))
	g := run.Graph

	if g.Active != expected.Features || len(g.Features) != expected.Features || len(g.Errors) != expected.Errors || len(g.Tokens) != expected.Tokens || len(g.Logits) != expected.Logits {
		t.Fatalf("%d features, %d errors, %d tokens, %d logits", len(g.Features), len(g.Errors), len(g.Tokens), len(g.Logits))
	}
	var place, rows, said []int32
	var values, probabilities []float64
	for _, f := range g.Features {
		place = append(place, int32(f.Layer), int32(f.Position), int32(f.Index))
		values = append(values, f.Activation)
	}
	for r := range g.Rows() {
		rows = append(rows, int32(g.Node(r)))
	}
	for _, l := range g.Logits {
		said, probabilities = append(said, l.Token), append(probabilities, l.Probability)
	}
	for entry, got := range map[string][]int32{"active_features": place, "row_index": rows, "logit_tokens": said} {
		if !slices.Equal(want.ints(entry), got) {
			t.Errorf("%s is %v", entry, got)
		}
	}
	want.is("activation_values", values)
	exactValues := want.floats("activation_values")
	want.is("logit_probabilities", probabilities)
	want.is("error_vectors", slices.Concat(run.Errors...))
	want.is("adjacency", g.Adjacency())
	want.is("row_bias", g.Bias)
	want.is("row_target", g.Target)
	t.Logf("row sums and biases miss their targets by %.1e (float64: %.1e)", g.Gap(), expected.Gap)
	if g.Gap() > 2e-5 { // patterns, activations and errors are float32
		t.Errorf("gap %g", g.Gap())
	}
	pruned := must[*tracing.Pruned](t)(g.Prune(tracing.DefaultPruning()))
	want.is("normalised", square(g, pruned.Normalised))
	want.is("influence", pruned.Values)
	want.is("cumulative_influence", pruned.Cumulative)
	close(t, "scores", []float64{pruned.Replacement, pruned.Completeness}, []float64{expected.Replacement, expected.Completeness}, 1e-3)

	// selections are exact when they are made from the stored arrays
	stored := *g
	stored.A = nil
	full, n := want.floats("adjacency"), g.Nodes()
	for r := range g.Rows() {
		stored.A = append(stored.A, full[g.Node(r)*n:g.Node(r)*n+g.Columns()]...)
	}
	stored.Features, stored.Logits = slices.Clone(g.Features), slices.Clone(g.Logits)
	for i, v := range exactValues {
		stored.Features[i].Activation = v
	}
	for i, p := range want.floats("logit_probabilities") {
		stored.Logits[i].Probability = p
	}
	exact := must[*tracing.Pruned](t)(stored.Prune(tracing.Pruning{Nodes: expected.Nodes, Edges: expected.Edges}))
	edges := make([]float64, len(exact.Edges))
	for i, kept := range exact.Edges {
		if kept {
			edges[i] = 1
		}
	}
	mask := make([]bool, n*n)
	for i, v := range square(g, edges) {
		mask[i] = v == 1
	}
	if !slices.Equal(mask, want.bools("edge_mask")) || !slices.Equal(exact.Nodes, want.bools("node_mask")) {
		t.Error("kept nodes or edges differ")
	}
	if a, b := count(exact.Nodes), count(exact.Edges); a != expected.KeptNodes || b != expected.KeptEdges {
		t.Errorf("%d nodes and %d edges, want %d and %d", a, b, expected.KeptNodes, expected.KeptEdges)
	}
	margin := math.Inf(1)
	least := slices.Min(keep(exact.Values, exact.Nodes[:expected.Features+expected.Errors]))
	for _, v := range exact.Values {
		if v != least {
			margin = min(margin, math.Abs(v-least))
		}
	}
	close(t, "margin of the node threshold", []float64{margin}, []float64{expected.Margin}, 1e-6)
	goldenGraphFile(t, dir, &stored, exact, expected.CollideAll, expected.CollideFile)
}

// goldenPlainRun compares what the plain run gives.
func goldenPlainRun(t *testing.T, engine *model.Engine, m *model.Model, tokens []int32, want *arrays) {
	plan := model.Plan{Batch: 1, Seq: len(tokens), Gather: 1, Logits: model.LogitsAt}
	for l := range m.Spec.Layers {
		for _, k := range []model.Kind{model.MLPIn, model.MLPOut} {
			plan.Captures = append(plan.Captures, model.Capture{Site: model.Site{Kind: k, Layer: l}})
		}
	}
	program := must[*model.Program](t)(engine.Compile(m.Spec, plan))
	out := must[*model.Outputs](t)(program.Run(t.Context(), m.Params, model.Inputs{IDs: tokens, Gather: []int32{int32(len(tokens) - 1)}}))
	want.is("logits_last", must[[]float64](t)(floats(out.Logits())))
	got := map[model.Kind][]float64{}
	for _, c := range plan.Captures {
		got[c.Site.Kind] = append(got[c.Site.Kind], must[[]float64](t)(floats(out.Capture(c)))...)
	}
	want.is("mlp_in", got[model.MLPIn])
	want.is("mlp_out", got[model.MLPOut])
}

// square puts rows [r, c] of a graph into its whole matrix [n, n].
func square(g *tracing.Graph, rows []float64) []float64 {
	whole := *g
	whole.A = rows
	return whole.Adjacency()
}

func count(x []bool) int {
	n := 0
	for _, v := range x {
		if v {
			n++
		}
	}
	return n
}

// keep are the values whose mark is set.
func keep(x []float64, mark []bool) []float64 {
	var out []float64
	for i, kept := range mark {
		if kept {
			out = append(out, x[i])
		}
	}
	return out
}

// goldenGraphFile holds graph.json against the file that is made of the stored arrays, reads it and writes it.
func goldenGraphFile(t *testing.T, dir string, g *tracing.Graph, pruned *tracing.Pruned, collideAll, collideFile []string) {
	raw := must[[]byte](t)(os.ReadFile(filepath.Join(dir, "graph.json")))
	want := must[*tracing.File](t)(tracing.ReadFile(bytes.NewReader(raw)))
	naming := tracing.Naming{Slug: want.Metadata.Slug, Scan: want.Metadata.Scan, Prompt: want.Metadata.Prompt, Token: func(id int32) string { return fmt.Sprintf("tok%d", id) }}
	for _, id := range g.Tokens {
		naming.Tokens = append(naming.Tokens, naming.Token(id))
	}
	got := must[*tracing.File](t)(tracing.NewFile(g, pruned, naming))
	got.Metadata.GenerationSettings = want.Metadata.GenerationSettings // what the tracer was told is not in its graph
	var buffer bytes.Buffer
	if err := got.Write(&buffer); err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "graph.json", buffer.Bytes(), raw)
	buffer.Reset()
	if err := want.Write(&buffer); err != nil {
		t.Fatal(err)
	}
	sameJSON(t, "graph.json written again", buffer.Bytes(), raw)

	if got := want.Collisions(); !slices.Equal(got, collideFile) {
		t.Errorf("colliding ids in the file: %v, want %v", got, collideFile)
	}
	// all nodes in one file collide, and are refused unless errors are told apart
	all := *pruned
	all.Edges = make([]bool, len(pruned.Edges))
	for i := range all.Edges {
		all.Edges[i] = true
	}
	if _, err := tracing.NewFile(g, &all, naming); !errors.Is(err, tracing.ErrCollision) {
		t.Errorf("colliding ids: %v", err)
	}
	naming.Distinct = true
	whole := must[*tracing.File](t)(tracing.NewFile(g, &all, naming))
	if got := whole.Collisions(); got != nil {
		t.Errorf("distinct ids collide: %v", got)
	}
	for i := range whole.Nodes {
		whole.Nodes[i].NodeID = strings.Replace(whole.Nodes[i].NodeID, "error_", "0_", 1)
	}
	if got := whole.Collisions(); !slices.Equal(got, collideAll) {
		t.Errorf("colliding ids of all nodes: %v, want %v", got, collideAll)
	}
}

// sameJSON compares two documents: numbers within 1e-9, which the order of sums may cost, all else exactly.
func sameJSON(t *testing.T, name string, got, want []byte) {
	t.Helper()
	var a, b any
	if err := errors.Join(json.Unmarshal(got, &a), json.Unmarshal(want, &b)); err != nil {
		t.Fatal(err)
	}
	sameValue(t, name, a, b)
}

func sameValue(t *testing.T, at string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || len(got) != len(want) {
			t.Errorf("%s is %v, want %v", at, got, want)
			return
		}
		for k, v := range want {
			sameValue(t, at+"."+k, got[k], v)
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			t.Errorf("%s has %d entries, want %d", at, len(got), len(want))
			return
		}
		for i, v := range want {
			sameValue(t, fmt.Sprintf("%s[%d]", at, i), got[i], v)
		}
	case float64:
		if v, ok := got.(float64); !ok || math.Abs(v-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	default:
		if got != want {
			t.Errorf("%s is %v, want %v", at, got, want)
		}
	}
}
