package circuits

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/safetensors"
	"loupe/probe/model"
)

// maskTensors are the inputs of a masked pass from the clean input to the corrupted senders.
func (t *Task) maskTensors(test *testing.T, mask []float64, g *EdgeGraph) map[string]*tensors.Tensor {
	cache := must[*senderCache](test)(t.senders(test.Context()))
	narrow := make([]float32, len(mask))
	for i, v := range mask {
		narrow[i] = float32(v)
	}
	return map[string]*tensors.Tensor{
		"mask":      tensors.FromFlatDataAndDimensions(narrow, t.Pairs.Rows, len(g.Senders), len(g.Receivers)),
		"corrupted": cache.corrupted.tensor(1),
	}
}

// maskedLanguageHead is LogitDiff through BERT's head for masked words, read from its checkpoint: the logits are
// LN(gelu(W x + b)) E^T + c.
func maskedLanguageHead(t *testing.T, dir string, eps float64) Metric {
	file := must[*safetensors.File](t)(safetensors.Open(filepath.Join(dir, "model.safetensors")))
	defer func() { _ = file.Close() }()
	m := LogitDiff()
	m.choice = 0
	m.Name, m.Site, m.Constants = "mlm_logit_diff", &model.Site{Kind: model.LastHidden}, map[string]*tensors.Tensor{}
	for name, key := range map[string]string{
		"W": "cls.predictions.transform.dense.weight", "b": "cls.predictions.transform.dense.bias", "w": "cls.predictions.transform.LayerNorm.weight",
		"beta": "cls.predictions.transform.LayerNorm.bias", "c": "cls.predictions.bias", "E": "bert.embeddings.word_embeddings.weight",
	} {
		info, ok := file.Info(key)
		if !ok {
			t.Fatalf("no %s in %v", key, file.Names())
		}
		m.Constants[name] = tensors.FromFlatDataAndDimensions(must[[]float32](t)(file.Float32(key)), info.Shape...)
	}
	m.Graph = func(in MetricInputs) *graph.Node {
		row := func(name string) *graph.Node { return graph.ExpandAxes(in.Constant(name), 0) }
		h := graph.Add(graph.Einsum("bi,oi->bo", in.X, in.Constant("W")), row("b"))
		h = graph.Mul(h, graph.MulScalar(graph.OnePlus(graph.Erf(graph.MulScalar(h, 1/math.Sqrt2))), 0.5))
		h = graph.Sub(h, graph.ReduceAndKeep(h, graph.ReduceMean, -1))
		h = graph.Div(h, graph.Sqrt(graph.AddScalar(graph.ReduceAndKeep(graph.Square(h), graph.ReduceMean, -1), eps)))
		h = graph.Add(graph.Mul(h, row("w")), row("beta"))
		return graph.Neg(weighted(graph.Add(graph.Einsum("bd,vd->bv", h, in.Constant("E")), row("c")), in))
	}
	return m
}

// goldenEncoder: node patching of an encoder that normalises after each block.
func goldenEncoder(t *testing.T, engine *model.Engine, m *model.Model, dir string) {
	path := filepath.Join(dir, "..", "..", "models", filepath.Base(dir))
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	metric := maskedLanguageHead(t, path, m.Spec.NormEps)
	for _, prefix := range []string{"", "padded_"} {
		pairs := pairsOf(openArrays(t, dir, prefix+"inputs.safetensors"), "")
		want := openArrays(t, dir, prefix+"nodes.safetensors")
		task := newTask(t, engine, m, pairs, metric)
		want.is("clean_logit_diff", negative(task.CleanLoss))
		want.is("corrupted_logit_diff", negative(task.CorruptedLoss))
		// the engine's encoders have no vocabulary; the logits are compared through their difference
		want.floats("clean_logits")
		want.floats("corrupted_logits")
		goldenNodes(t, task, want)
		if _, err := EAP(t.Context(), task); err == nil {
			t.Error("a post-norm encoder has no edges")
		}
	}
}
