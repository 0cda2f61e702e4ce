package circuits

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"loupe/circuits/task"
	"loupe/internal/graphtest"
	"loupe/probe/model"
	"loupe/probe/token"
)

// greedyFinder takes n edges by mask-path scores from the logits back and prunes.
func greedyFinder(n int) Finder {
	return func(ctx context.Context, t *Task) (*Circuit, error) {
		s, err := MaskIG(ctx, t, 4)
		if err != nil {
			return nil, err
		}
		c, _ := Prune(Greedy(t.Graph, s.Mean(), n))
		return c, nil
	}
}

// TestControls: the planted circuit of induction is faithful on its own inputs and on others that differ alike, and neither random circuits of its size nor
// those found in reset networks are; on inputs that differ elsewhere it fails.
func TestControls(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	root := filepath.Join(graphtest.Golden(t), "circuits")
	all := pairsOf(openArrays(t, root, "planted", "induction", "inputs.safetensors"), "")
	m := loadModel(t, engine, root, "models", "induction")
	query, key, more := all.pick([]int{0, 1, 2}), all.pick([]int{8, 9, 10}), all.pick([]int{11, 12, 13}) // by what is corrupted
	tsk := newTask(t, engine, m, key, LogitDiff())
	find := greedyFinder(3)
	c := must[*Circuit](t)(find(t.Context(), tsk))
	if !slices.Equal(c.Names(), []string{"input->a0.h0<v>", "a0.h0->a1.h0<k>", "a1.h0->logits"}) {
		t.Fatalf("found %v", c.Names())
	}
	got := must[*Controls](t)(MeasureControls(t.Context(), tsk, c, ControlsConfig{Ablation: Patching, Random: 20, Resets: 2, Find: find, Paraphrased: more, Seed: 1}))
	t.Logf("circuit %.4f, random %.4f (p %.3f), reset %+v, other inputs %.4f", got.Circuit.F, got.RandomMean, got.RandomP, got.Reset, got.Paraphrased.F)
	if got.Edges != 3 || math.Abs(got.Circuit.F-1) > 1e-3 || math.Abs(got.Paraphrased.F-1) > 1e-3 {
		t.Errorf("the planted circuit: %+v", got)
	}
	if len(got.Random) != 20 || got.RandomMean > 0.1 || got.RandomP > 0.1 {
		t.Errorf("random circuits: mean %g, p %g", got.RandomMean, got.RandomP)
	}
	if i := got.Circuit.Interval; i.N != 3 || i.Low > got.Circuit.F || i.High < got.Circuit.F || i.High-i.Low > 1e-3 {
		t.Errorf("the interval of rows that agree is %+v", i)
	}
	for _, r := range got.Reset {
		if r.Edges == 0 || r.Edges > 3 || r.InModel.F > 0.2 || r.InModel.Full != got.Circuit.Full || r.Own.Full == got.Circuit.Full || r.Jaccard == 1 {
			t.Errorf("reset network: %+v", r)
		}
	}
	elsewhere := must[*Controls](t)(MeasureControls(t.Context(), tsk, c, ControlsConfig{Ablation: Patching, Paraphrased: query}))
	if elsewhere.Paraphrased.F > 0.1 || elsewhere.RandomP != 1 || len(elsewhere.Reset) > 0 {
		t.Errorf("on inputs whose query differs the circuit lacks the edges that matter: %+v", elsewhere.Paraphrased)
	}
	same := *tsk.Pairs // tokens that differ in padding alone
	same.Corrupted, same.Mask = slices.Clone(same.Clean), slices.Repeat([]int32{1}, len(same.Clean))
	same.Corrupted[0], same.Mask[0] = 3, 0
	mute := *tsk
	mute.Pairs = &same
	if r := must[*ResetControl](t)(resetControl(t.Context(), &mute, nil, c, Patching, find, 1)); !r.NoEffect || r.Edges > 0 {
		t.Errorf("a reset network that the inputs leave alone: %+v", r)
	}
	for want, f := range map[string]func() (*Controls, error){
		"set Find": func() (*Controls, error) {
			return MeasureControls(t.Context(), tsk, c, ControlsConfig{Ablation: Zero, Resets: 1})
		},
		"without edges": func() (*Controls, error) {
			return MeasureControls(t.Context(), tsk, NewCircuit(tsk.Graph), ControlsConfig{Ablation: Zero})
		},
		"none of": func() (*Controls, error) { return MeasureControls(t.Context(), tsk, c, ControlsConfig{}) },
	} {
		if _, err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestResetNetwork: every tensor keeps its values in another order, by seed, and the model loses the task.
func TestResetNetwork(t *testing.T) {
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, engine, graphtest.Golden(t), "circuits", "models", "gpt2-b")
	load := func(seed uint64) map[string][]float32 {
		r := must[*model.Model](t)(ResetNetwork(engine, m, seed))
		out := map[string][]float32{}
		for _, p := range m.Spec.Params() {
			out[p.Name] = must[[]float32](t)(r.Params.Values(p.Name))
		}
		if err := r.Params.Free(); err != nil {
			t.Error(err)
		}
		return out
	}
	a, again, other := load(1), load(1), load(2)
	moved := 0
	for _, p := range m.Spec.Params() {
		was := must[[]float32](t)(m.Params.Values(p.Name))
		if !slices.Equal(a[p.Name], again[p.Name]) {
			t.Errorf("%s differs between equal seeds", p.Name)
		}
		if !slices.Equal(a[p.Name], was) && !slices.Equal(a[p.Name], other[p.Name]) {
			moved++
		}
		got := slices.Clone(a[p.Name])
		slices.Sort(got)
		slices.Sort(was)
		if !slices.Equal(got, was) {
			t.Errorf("%s has other values", p.Name)
		}
	}
	if moved < len(m.Spec.Params())/2 {
		t.Errorf("%d of %d tensors moved", moved, len(m.Spec.Params()))
	}
}

// TestParaphrases: prompts of paraphrased templates, longer than the main ones, are a control of a circuit found on the main ones; its faithfulness there is that of
// a task of its own. Token ids are folded into the tiny model's vocabulary.
func TestParaphrases(t *testing.T) {
	tok := must[*token.Tokenizer](t)(token.Load(graphtest.Golden(t) + "/models/tokenizers/smollm2.tokenizer.json"))
	engine := model.NewEngine(graphtest.Interpreted(t), nil)
	m := loadModel(t, engine, graphtest.Golden(t), "circuits", "models", "llama-a")
	pairs := func(templates string) *Pairs {
		cfg := task.DefaultConfig()
		cfg.N, cfg.Templates = 40, templates
		examples, _, err := task.Align(tok, must[[]task.Prompt](t)(task.Generate(cfg)), task.AlignConfig{})
		if err != nil {
			t.Fatal(err)
		}
		var kept []task.Example
		for _, e := range examples {
			for _, ids := range [][]int32{e.CleanIDs, e.CorruptedIDs, e.AnswerIDs, e.WrongIDs} {
				for i := range ids {
					ids[i] %= int32(m.Spec.Vocab)
				}
			}
			if len(kept) < 3 && e.AnswerIDs[0] != e.WrongIDs[0] {
				kept = append(kept, e)
			}
		}
		return must[*Pairs](t)(PairsOf(kept))
	}
	main, other := pairs(task.TemplatesMain), pairs(task.TemplatesParaphrased)
	if main.Seq == other.Seq {
		t.Fatalf("both have %d positions", main.Seq)
	}
	tsk := newTask(t, engine, m, main, LogitDiff())
	c := must[*Circuit](t)(greedyFinder(30)(t.Context(), tsk))
	got := must[*Controls](t)(MeasureControls(t.Context(), tsk, c, ControlsConfig{Ablation: Patching, Paraphrased: other}))
	alone := newTask(t, engine, m, other, LogitDiff())
	loss := must[[]float64](t)(alone.evaluateMeans(t.Context(), must[*Reference](t)(alone.Reference(t.Context(), Patching, 0)), NewCircuit(alone.Graph), c))
	want := (loss[1] - loss[0]) / (mean(alone.CleanLoss) - loss[0])
	t.Logf("%d edges: f %.3f on the main templates, %.3f on paraphrases", got.Edges, got.Circuit.F, got.Paraphrased.F)
	if math.Abs(got.Paraphrased.F-want) > 1e-6*(1+math.Abs(want)) || got.Circuit.F == got.Paraphrased.F {
		t.Errorf("faithfulness %g on paraphrases, want %g", got.Paraphrased.F, want)
	}
}
