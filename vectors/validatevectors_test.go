package vectors_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"loupe/internal/stats"
	"loupe/probe/model"
	"loupe/vectors"
)

// clozes are n prompts of the tiny models' vocabulary with one-token answers.
func clozes(spec *model.Spec, n, from int, answer int32) []vectors.Cloze {
	var out []vectors.Cloze
	for i := range n {
		c := vectors.Cloze{Answer: []int32{answer}}
		for j := range 4 + i%3 {
			c.Prompt = append(c.Prompt, int32(3+(from+13*i+5*j)%(spec.Vocab-8)))
		}
		out = append(out, c)
	}
	return out
}

// TestLogLikelihoods: batches and padding change nothing, an answer of two tokens adds up from two of one, and all single
// answers have probabilities that sum to 1.
func TestLogLikelihoods(t *testing.T) {
	s := newSubject(t, "gpt2", model.Site{Kind: model.ResidPost})
	score := func(batch int, c ...vectors.Cloze) []float64 {
		t.Helper()
		out, err := vectors.LogLikelihoods(t.Context(), s.engine, s.model, nil, c, batch, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	c := clozes(s.model.Spec, 5, 0, 9)
	together := score(3, c...)
	for i, one := range c {
		if alone := score(1, one)[0]; math.Abs(alone-together[i]) > 1e-4 {
			t.Errorf("cloze %d: %v alone and %v in a batch", i, alone, together[i])
		}
	}
	two := vectors.Cloze{Prompt: c[0].Prompt, Answer: []int32{9, 12}}
	second := vectors.Cloze{Prompt: append(slices.Clone(c[0].Prompt), 9), Answer: []int32{12}}
	if got, want := score(1, two)[0], together[0]+score(1, second)[0]; math.Abs(got-want) > 1e-4 {
		t.Errorf("two tokens: %v, want %v", got, want)
	}
	var all []vectors.Cloze
	for id := range s.model.Spec.Vocab {
		all = append(all, vectors.Cloze{Prompt: c[0].Prompt, Answer: []int32{int32(id)}})
	}
	sum := 0.0
	for _, l := range score(16, all...) {
		sum += math.Exp(l)
	}
	if math.Abs(sum-1) > 1e-4 {
		t.Errorf("probabilities sum to %v", sum)
	}
	for what, bad := range map[string]vectors.Cloze{"no prompt": {Answer: []int32{1}}, "no answer": {Prompt: []int32{1}}, "unknown token": {Prompt: []int32{1}, Answer: []int32{int32(s.model.Spec.Vocab)}}} {
		if _, err := vectors.LogLikelihoods(t.Context(), s.engine, s.model, nil, []vectors.Cloze{bad}, 1, nil); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestValidateVectors: a neuron that is active on the concept's prompts is made to write the answer's unembedding. Without it the
// answer becomes less likely there; unrelated answers and other neurons move less; the weights are restored bit for bit.
func TestValidateVectors(t *testing.T) {
	s := newSubject(t, "gpt2", model.Site{Kind: model.ResidPost})
	spec, last := s.model.Spec, s.model.Spec.Layers-1
	const answer = 17
	concept, unrelated := clozes(spec, 12, 0, answer), clozes(spec, 12, 7, 23)
	neuron := s.busiest(concept[0].Prompt, last)
	name := fmt.Sprintf("blocks.%d.W_out", last)
	w, err := s.model.Params.Values(name)
	if err != nil {
		t.Fatal(err)
	}
	u, err := vectors.Unembedding(s.model)
	if err != nil {
		t.Fatal(err)
	}
	for r := range spec.DModel {
		w[r*spec.DMLP+neuron] += float32(2 * u.At(answer, r))
	}
	planted := *s.model
	if planted.Params, err = s.model.Params.WithValues(s.engine.Backend(), map[string][]float32{name: w}); err != nil {
		t.Fatal(err)
	}
	defer planted.Params.FreeUnshared(s.model.Params)
	cfg := vectors.DefaultValidate()
	cfg.Counts, cfg.Batch, cfg.Bootstrap.Resamples = []int{1, 2, 9}, 12, 200
	for _, noise := range []float64{0, 3} {
		cfg.Noise = noise
		got, err := vectors.ValidateVectors(t.Context(), s.engine, &planted, []vectors.Neuron{{Layer: last, Index: neuron}, {Layer: 0, Index: 3}}, concept, unrelated, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got.Curve {
			t.Logf("noise %v, %d vectors: concept %s, unrelated %s, control %s and %s", noise, p.Count, show(p.Concept), show(p.Unrelated), show(p.ControlConcept), show(p.ControlUnrelated))
		}
		if len(got.Curve) != 2 || !got.Restored {
			t.Fatalf("%d points, restored %v", len(got.Curve), got.Restored)
		}
		p := got.Curve[0]
		if noise == 0 && (p.Concept.High >= -0.2 || math.Abs(p.Unrelated.Value) > math.Abs(p.Concept.Value)/2 || math.Abs(p.ControlConcept.Value) > math.Abs(p.Concept.Value)/2) {
			t.Errorf("removing the planted vector: %+v", p)
		}
	}
	after, err := planted.Params.Values(name)
	if err != nil || !slices.Equal(after, w) {
		t.Errorf("the weights changed: %v", err)
	}
	for what, neurons := range map[string][]vectors.Neuron{"none": nil, "unknown": {{Layer: 0, Index: spec.DMLP}}, "twice": {{Layer: 0, Index: 1}, {Layer: 0, Index: 1}}} {
		if _, err := vectors.ValidateVectors(t.Context(), s.engine, &planted, neurons, concept, unrelated, cfg); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("%s: %v", what, err)
		}
	}
	changes, err := vectors.CompareModels(t.Context(), s.model, &planted, []int{last}, 20)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range changes[0] {
		if moved := i == neuron; moved != (c.L2 > 0) || !moved && (c.Jaccard != 1 || math.Abs(c.Cosine-1) > 1e-12) || moved && c.Jaccard > 0.9 {
			t.Errorf("vector %d: %+v", i, c)
		}
	}
}

func show(i stats.Interval) string { return fmt.Sprintf("%.3f [%.3f, %.3f]", i.Value, i.Low, i.High) }

// busiest is the neuron of a layer that is most active at the last token of a prompt.
func (s *subject) busiest(prompt []int32, layer int) int {
	s.Helper()
	site := model.Site{Kind: model.MLPPost, Layer: layer}
	p, err := s.engine.Compile(s.model.Spec, model.Plan{Batch: 1, Seq: len(prompt), Captures: []model.Capture{{Site: site}}})
	if err != nil {
		s.Fatal(err)
	}
	out, err := p.Run(s.Context(), s.model.Params, model.Inputs{IDs: prompt})
	if err != nil {
		s.Fatal(err)
	}
	defer out.Free()
	acts, err := tensors.CopyFlatData[float32](out.Site(site))
	if err != nil {
		s.Fatal(err)
	}
	tail := acts[len(acts)-s.model.Spec.DMLP:]
	return slices.Index(tail, slices.Max(tail))
}
