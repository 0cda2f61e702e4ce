package circuits

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/internal/graphtest"
	"loupe/probe/model"
)

// goldenFormats reads what the released EAP-IG class wrote.
func goldenFormats(t *testing.T, _ *model.Engine, root, _ string) {
	dir := filepath.Join(root, "formats")
	want := openArrays(t, dir, "expected.safetensors")
	var expected struct {
		Cfg       shape
		Kept      []string
		Src       []string `json:"src_nodes"`
		Dst       []string `json:"dst_nodes"`
		Requested int      `json:"n_requested"`
	}
	readJSON(t, &expected, dir, "expected.json")
	read := map[string]*Exchange{
		"edges.pt": must[*Exchange](t)(ReadEAPTorch(filepath.Join(dir, "edges.pt"))), "neurons.pt": must[*Exchange](t)(ReadEAPTorch(filepath.Join(dir, "neurons.pt"))),
		"edges.json": must[*Exchange](t)(ReadEAPJSON(bytes.NewReader(must[[]byte](t)(os.ReadFile(filepath.Join(dir, "edges.json")))))),
	}
	for name, x := range read {
		if x.Graph.Layers != expected.Cfg.Layers || x.Graph.Heads != expected.Cfg.Heads || x.Width != expected.Cfg.Width || x.Graph.Parallel != expected.Cfg.Parallel ||
			!slices.Equal(x.Graph.Senders, expected.Src) || !slices.Equal(x.Graph.Receivers, expected.Dst) {
			t.Errorf("%s: a graph of %d layers", name, x.Graph.Layers)
		}
		if name == "neurons.pt" {
			continue
		}
		same(t, name, x.Scores, want.floats("edges_scores"), x.Graph)
		if !slices.Equal(x.Keep, want.bools("edges_in_graph")) || !slices.Equal(x.Nodes, want.bools("nodes_in_graph")) {
			t.Errorf("%s: the circuit differs", name)
		}
		kept := x.Circuit().Names()
		slices.Sort(kept)
		sorted := slices.Sorted(slices.Values(expected.Kept))
		if !slices.Equal(kept, sorted) {
			t.Errorf("%s keeps %v", name, kept)
		}
		pruned, _ := Prune(TopN(x.Graph, zeroNaN(x.Scores), expected.Requested))
		if !slices.Equal(pruned.Keep, x.Keep) {
			t.Errorf("%s: the top %d edges, pruned, are %v", name, expected.Requested, pruned.Names())
		}
	}
	x := read["neurons.pt"]
	same(t, "nodes_scores", x.NodeScores, want.floats("neurons.nodes_scores"), nil)
	same(t, "neurons_scores", x.NeuronScores, want.floats("neurons.neurons_scores"), nil)
	if !slices.Equal(x.Keep, want.bools("neurons.edges_in_graph")) || !slices.Equal(x.Nodes, want.bools("neurons.nodes_in_graph")) || !slices.Equal(x.Neurons, want.bools("neurons.neurons_in_graph")) {
		t.Error("neurons.pt: the circuit differs")
	}
	// upstream.json: the released mean ablation is known to be wrong; the right value is ours
	var upstream map[string]struct{ Upstream, Correct float64 }
	readJSON(t, &upstream, dir, "upstream.json")
	for name, u := range upstream {
		var e struct {
			Ablation struct{ Mean struct{ Circuit float64 } }
		}
		readJSON(t, &e, root, "cases", name, "expected.json")
		if math.Abs(e.Ablation.Mean.Circuit-u.Correct) > 1e-9 || math.Abs(u.Upstream-u.Correct) < 1 {
			t.Errorf("%s: mean ablation %g, upstream %+v", name, e.Ablation.Mean.Circuit, u)
		}
	}
}

// same compares scores of which NaN is one value; where g is given, at its edges alone.
func same(t *testing.T, name string, got, want []float64, g *EdgeGraph) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	for i := range got {
		if g != nil && !g.Real(Edge{i / len(g.Receivers), i % len(g.Receivers)}) {
			continue
		}
		if math.IsNaN(got[i]) != math.IsNaN(want[i]) || math.Abs(got[i]-want[i]) > 1e-7 {
			t.Fatalf("%s: value %d is %g, want %g", name, i, got[i], want[i])
		}
	}
}

func zeroNaN(x []float64) []float64 {
	out := slices.Clone(x)
	for i, v := range out {
		if math.IsNaN(v) {
			out[i] = 0
		}
	}
	return out
}

// TestExchangeRoundTrip: what is written is read back, neurons and missing scores included.
func TestExchangeRoundTrip(t *testing.T) {
	g := must[*EdgeGraph](t)(NewEdgeGraph(2, 3, true))
	x := &Exchange{Graph: g, Width: 2, Scores: unscored(g.Size()), Keep: make([]bool, g.Size()), Nodes: make([]bool, len(g.Senders))}
	for i, e := range g.Edges() {
		x.Keep[g.At(e)] = i%3 == 0
		if i%5 != 0 {
			x.Scores[g.At(e)] = float64(i) - 7.5
		}
	}
	for u := range g.Senders {
		x.Nodes[u] = u%2 == 0
		x.NodeScores = append(x.NodeScores, float64(u)/3)
		x.Neurons = append(x.Neurons, u%3 == 0, true)
		x.NeuronScores = append(x.NeuronScores, float64(u), -1)
	}
	var buffer bytes.Buffer
	if err := WriteEAPJSON(&buffer, x); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "graph.pt")
	if err := WriteEAPTorch(path, x); err != nil {
		t.Fatal(err)
	}
	for format, got := range map[string]*Exchange{"json": must[*Exchange](t)(ReadEAPJSON(&buffer)), "pt": must[*Exchange](t)(ReadEAPTorch(path))} {
		rounded := func(v []float64) (out []float64) {
			for _, f := range v {
				if out = append(out, f); format == "pt" {
					out[len(out)-1] = float64(float32(f))
				}
			}
			return out
		}
		same(t, format+": scores", got.Scores, rounded(x.Scores), nil)
		same(t, format+": node scores", got.NodeScores, rounded(x.NodeScores), nil)
		same(t, format+": neuron scores", got.NeuronScores, rounded(x.NeuronScores), nil)
		if !slices.Equal(got.Keep, x.Keep) || !slices.Equal(got.Nodes, x.Nodes) || !slices.Equal(got.Neurons, x.Neurons) || !got.Graph.Parallel || got.Width != 2 {
			t.Errorf("%s: the circuit changed", format)
		}
	}
	// the released writer's [h,d] blocks: each head takes its own row
	text := `{"cfg":{"n_layers":1,"n_heads":2,"d_model":1},"nodes":{"a0.h1":{"in_graph":true,"neurons":[[false],[true]]},"logits":{"in_graph":true}},"edges":{}}`
	block := must[*Exchange](t)(ReadEAPJSON(strings.NewReader(text)))
	if !slices.Equal(block.Neurons, []bool{false, false, true, false}) {
		t.Errorf("neurons %v", block.Neurons)
	}
}

// TestExchangeErrors: foreign files are refused with the place.
func TestExchangeErrors(t *testing.T) {
	cfg := `"cfg":{"n_layers":1,"n_heads":1,"parallel_attn_mlp":false,"d_model":2}`
	for text, want := range map[string]string{
		`{`:            "EAP-IG JSON",
		`{"edges":1}`:  "EAP-IG JSON",
		`{"nodes":{}}`: "no cfg",
		`{"cfg":{"n_layers":60000,"n_heads":60000}}`:                          "senders",
		`{` + cfg + `,"edges":{"a0.h0->a0.h0<q>":{"in_graph":true}}}`:         "comes after",
		`{` + cfg + `,"edges":{"a9.h0->logits":{"in_graph":true}}}`:           "no sender",
		`{` + cfg + `,"edges":{"input->logits":{"score":1}}}`:                 "lacks in_graph",
		`{` + cfg + `,"nodes":{"q":{"in_graph":true}}}`:                       "no node",
		`{` + cfg + `,"nodes":{"m0":{"in_graph":true,"neurons":[true]}}}`:     "1 values for d_model 2",
		`{` + cfg + `,"nodes":{"m0":{"in_graph":true,"neurons":[[true,1]]}}}`: "neurons",
	} {
		if _, err := ReadEAPJSON(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", text, err, want)
		}
	}
	dir := filepath.Join(graphtest.Golden(t), "circuits", "models", "gpt2-a")
	if _, err := ReadEAPTorch(filepath.Join(dir, "model.safetensors")); err == nil {
		t.Error("a safetensors file is no EAP-IG graph")
	}
}

func FuzzReadEAPJSON(f *testing.F) {
	f.Add([]byte(`{"cfg":{"n_layers":1,"n_heads":1,"parallel_attn_mlp":false,"d_model":2},"nodes":{"m0":{"in_graph":true,"score":1,"neurons":[true,false]}},"edges":{"input->logits":{"score":-1,"in_graph":true}}}`))
	f.Add([]byte(`{"cfg":{"n_layers":65536,"n_heads":65536}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ReadEAPJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		var buffer bytes.Buffer
		if err := WriteEAPJSON(&buffer, x); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(buffer.Bytes()) {
			t.Fatal("no JSON")
		}
	})
}

func FuzzReadEAPTorch(f *testing.F) {
	for _, name := range []string{"edges.pt", "neurons.pt"} {
		raw, err := os.ReadFile(filepath.Join(graphtest.Golden(f), "circuits", "formats", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "graph.pt")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := ReadEAPTorch(path); err == nil && len(x.Circuit().Names()) > x.Graph.Size() {
			t.Fatal("more edges than the graph has")
		}
	})
}

// TestTorchReads: torch loads what WriteEAPTorch writes, by weights_only, with the keys, types and values that the released file has.
func TestTorchReads(t *testing.T) {
	python := graphtest.Python(t, "torch")
	given := filepath.Join(graphtest.Golden(t), "circuits", "formats", "edges.pt")
	path := filepath.Join(t.TempDir(), "edges.pt")
	if err := WriteEAPTorch(path, must[*Exchange](t)(ReadEAPTorch(given))); err != nil {
		t.Fatal(err)
	}
	script := `import sys, torch
a, b = (torch.load(p, weights_only=True) for p in sys.argv[1:])
assert set(a) == set(b), (set(a), set(b))
for k in a:
    if torch.is_tensor(a[k]):
        assert a[k].dtype == b[k].dtype and torch.equal(torch.nan_to_num(a[k]), torch.nan_to_num(b[k])), k
    else:
        assert dict(a[k]) == dict(b[k]) if isinstance(a[k], dict) else a[k] == b[k], k`
	if out, err := exec.Command(python, "-c", script, given, path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
