package vectors_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/probe/model"
	"loupe/vectors"
)

// wave is a direction of width d.
func wave(d, phase int) []float64 {
	v := make([]float64, d)
	for i := range v {
		v[i] = math.Sin(float64((phase+2)*i + phase + 1))
	}
	return v
}

// TestInterventionsInModel: clamps, gates and weights of positions act inside a model as on the host.
func TestInterventionsInModel(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	x := s.rows()
	n, d := x.Dims()
	v, w := wave(d, 0), wave(d, 1)
	scores, err := vectors.Condition{Vector: w, Score: vectors.ScoreProjection}.Scores(x)
	if err != nil {
		t.Fatal(err)
	}
	sorted := slices.Sorted(slices.Values(scores))
	threshold := (sorted[n/2-1] + sorted[n/2]) / 2 // holds for half of the positions
	condition := vectors.Condition{Vector: w, Threshold: threshold, Score: vectors.ScoreProjection}
	clampScores, err := vectors.Condition{Vector: v, Score: vectors.ScoreProjection}.Scores(x)
	if err != nil {
		t.Fatal(err)
	}
	middle := slices.Sorted(slices.Values(clampScores))
	value := (middle[n/2-1] + middle[n/2]) / 2 // floor and ceiling each move half of the positions
	weight := []float32{1, 0, 0, 1, 0.5, 0, 1, 1, 0, 0}
	for name, do := range map[string]vectors.Intervention{
		"clamp": vectors.Clamp{Vector: v, Value: value}, "floor": vectors.Clamp{Vector: v, Value: value, Side: vectors.Floor},
		"ceiling":        vectors.Clamp{Vector: v, Value: value, Side: vectors.Ceiling},
		"gated steering": vectors.Gated{Condition: condition, Do: vectors.Steering{Vector: v, Strength: 0.8, KeepNorm: true}},
		"gated clamp":    vectors.Gated{Condition: condition, Do: vectors.Clamp{Vector: v, Value: 3}},
		"steering":       vectors.Steering{Vector: v, Strength: -0.6, Ablate: true},
	} {
		want, err := do.Apply(x)
		if err != nil {
			t.Fatal(err)
		}
		if mat.Equal(want, x) {
			t.Fatalf("%s changes nothing", name)
		}
		edit, err := do.EditAt(s.model.Spec, s.site, editBatch, editSeq, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.agree(name, s.rows(edit), want)
		if edit, err = do.EditAt(s.model.Spec, s.site, editBatch, editSeq, weight); err != nil {
			t.Fatal(err)
		}
		got := s.rows(edit)
		for i := range n {
			if weight[i] == 0 && !slices.Equal(got.RawRowView(i), x.RawRowView(i)) && name != "gated steering" { // which rescales: equal to rounding
				t.Errorf("%s: position %d has weight 0 and has moved", name, i)
			}
			if weight[i] == 0 {
				want.SetRow(i, x.RawRowView(i))
			} else if weight[i] != 1 {
				want.SetRow(i, got.RawRowView(i))
			}
		}
		s.agree(name+" with weights", got, want)
	}
}

// TestGateReadsEarlierSite: a gate that reads the embedding decides for an edit of the first layer.
func TestGateReadsEarlierSite(t *testing.T) {
	at := model.Site{Kind: model.Embed}
	embedded := newSubject(t, "llama-tied", at)
	before := embedded.rows()
	s := &subject{t, embedded.engine, embedded.model, model.Site{Kind: model.ResidPost}}
	x := s.rows()
	n, d := x.Dims()
	condition := vectors.Condition{Vector: wave(d, 2), Score: vectors.ScoreProjection}
	holds, err := condition.Holds(before)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(holds, true) || !slices.Contains(holds, false) {
		t.Fatalf("the condition holds for %v", holds)
	}
	v := wave(d, 0)
	g := vectors.Gated{Condition: condition, At: &at, Do: vectors.Steering{Vector: v, Strength: 2}}
	edit, err := g.EditAt(s.model.Spec, s.site, editBatch, editSeq, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := mat.DenseCopyOf(x)
	for i := range n {
		for j := range d {
			if holds[i] {
				want.Set(i, j, x.At(i, j)+2*v[j])
			}
		}
	}
	s.agree("gate at the embedding", s.rows(edit), want)
	if _, err := g.Apply(x); err == nil {
		t.Error("rows of one site were taken for those of another")
	}
}

// TestSteerGeneration: during generation a vector, its sum with another one, its mask and a row's weight act at each position
// as they do in one pass over the finished text; and all strengths run through two programs.
func TestSteerGeneration(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	spec := s.model.Spec
	d := spec.DModel
	control := func(phase int) *vectors.ControlVector {
		c := &vectors.ControlVector{ModelHint: "llama", Directions: map[int][]float32{}}
		for l := range 2 {
			for _, v := range wave(d, phase+l) {
				c.Directions[l] = append(c.Directions[l], float32(v))
			}
		}
		return c
	}
	a, b := control(0), control(3)
	sum, err := a.Add(-2, b)
	if err != nil {
		t.Fatal(err)
	}
	place := func(c *vectors.ControlVector, strength float64) []vectors.Placed {
		out, err := vectors.PlaceControl(c, strength, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	prompts := [][]int32{{3, 5, 9}, {4, 6, 8, 10, 3}}
	generate := func(list []vectors.Placed, mask vectors.TokenMask, rows []float32) [][]int32 {
		opt := model.GenerateOptions{MaxNew: 6}
		if err := vectors.Steer(spec, list, prompts, mask, rows, &opt); err != nil {
			t.Fatal(err)
		}
		out, err := s.engine.Generate(t.Context(), s.model, prompts, opt)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	// greedy tokens of one pass over the whole text, with the edit at every position, are those that were generated
	replay := func(list []vectors.Placed, outputs [][]int32) {
		t.Helper()
		for r, p := range prompts {
			for i := range outputs[r] {
				text := slices.Concat(p, outputs[r][:i])
				logits, err := vectors.NextLogits(t.Context(), s.engine, s.model, [][]int32{text}, 1, list)
				if err != nil {
					t.Fatal(err)
				}
				best := 0
				for j, v := range logits[0] {
					if v > logits[0][best] {
						best = j
					}
				}
				if int32(best) != outputs[r][i] {
					t.Fatalf("row %d, token %d: %d generated, %d in one pass", r, i, outputs[r][i], best)
				}
			}
		}
	}
	plain := generate(place(a, 0), vectors.TokenMask{}, nil)
	replay(nil, plain)
	compiles := s.engine.Compiles()
	var steered [][]int32
	for _, strength := range []float64{-3, 0.5, 4} {
		steered = generate(place(a, strength), vectors.TokenMask{}, nil)
	}
	if got := s.engine.Compiles(); got != compiles {
		t.Errorf("three strengths needed %d more compiles", got-compiles)
	}
	replay(place(a, 4), steered)
	if slices.Equal(steered[0], plain[0]) && slices.Equal(steered[1], plain[1]) {
		t.Error("a strength of 4 changes no token")
	}
	// a - 2b added at once is a and then -2b
	together := generate(place(sum, 3), vectors.TokenMask{}, nil)
	apart := generate(append(place(a, 3), place(b, -6)...), vectors.TokenMask{}, nil)
	for r := range prompts {
		if !slices.Equal(together[r], apart[r]) {
			t.Errorf("row %d: %v by the sum, %v one by one", r, together[r], apart[r])
		}
	}
	// every kind of intervention acts while text is generated as in one pass
	site := model.Site{Kind: model.ResidPost, Layer: 0}
	for _, do := range []vectors.Intervention{
		vectors.Clamp{Vector: wave(d, 0), Value: 6, Side: vectors.Floor},
		vectors.Gated{Condition: vectors.Condition{Vector: wave(d, 1), Score: vectors.ScoreProjection}, Do: vectors.Steering{Vector: wave(d, 2), Strength: 3, Ablate: true, KeepNorm: true}},
	} {
		list := []vectors.Placed{{Site: site, Do: do}}
		replay(list, generate(list, vectors.TokenMask{}, nil))
	}
	// the row whose condition does not hold is the plain one, the other one is steered
	rowwise := generate(place(a, 4), vectors.TokenMask{}, []float32{0, 1})
	if !slices.Equal(rowwise[0], plain[0]) || !slices.Equal(rowwise[1], steered[1]) {
		t.Errorf("rows with weights 0 and 1: %v, plain %v, steered %v", rowwise, plain, steered)
	}
	// the first new token depends on the prompt alone: a mask on the prompt leaves it
	outputs := generate(place(a, 4), vectors.TokenMask{NoPrompt: true}, nil)
	if outputs[0][0] != plain[0][0] || outputs[1][0] != plain[1][0] {
		t.Errorf("first tokens %d, %d without steering of the prompt, plain %d, %d", outputs[0][0], outputs[1][0], plain[0][0], plain[1][0])
	}
	prompt := generate(place(a, 4), vectors.TokenMask{NoOutput: true}, nil)
	if prompt[0][0] != steered[0][0] || prompt[1][0] != steered[1][0] {
		t.Errorf("first tokens %d, %d with steering of the prompt alone, of all %d, %d", prompt[0][0], prompt[1][0], steered[0][0], steered[1][0])
	}
	if err := vectors.Steer(spec, place(a, 1), prompts, vectors.TokenMask{}, []float32{1}, &model.GenerateOptions{}); err == nil {
		t.Error("one weight for two rows was accepted")
	}
}

// TestDoseResponse: along the unembedding rows of the concept's tokens the concept rises with the dose, by every scorer, without
// a compile after the first dose; dose 0 is the plain model.
func TestDoseResponse(t *testing.T) {
	s := newSubject(t, "llama-tied", model.Site{Kind: model.ResidPost})
	spec := s.model.Spec
	site := model.Site{Kind: model.ResidPost, Layer: spec.Layers - 1}
	unembedding, err := vectors.Unembedding(s.model)
	if err != nil {
		t.Fatal(err)
	}
	concept, others := []int32{7, 11}, []int32{20, 21, 22}
	direction, err := vectors.TokenDirection(unembedding, []int{7, 11}, []int{20, 21, 22})
	if err != nil {
		t.Fatal(err)
	}
	if direction, err = vectors.Unit(direction); err != nil {
		t.Fatal(err)
	}
	cfg := vectors.DefaultDose()
	cfg.Strengths, cfg.MaxNew, cfg.Batch = []float64{-40, 0, 4, 40}, 5, 3
	cfg.Bootstrap.Resamples = 200
	prompts := [][]int32{{3, 5, 9}, {4, 6, 8, 10, 3}, {12, 13}, {30, 31, 32, 33}}
	steer := func(strength float64) ([]vectors.Placed, error) {
		return []vectors.Placed{{Site: site, Do: vectors.Steering{Vector: direction, Strength: strength}}}, nil
	}
	logit, err := vectors.LogitScorer(s.engine, s.model, concept, others, 4)
	if err != nil {
		t.Fatal(err)
	}
	lexicon, err := vectors.LexiconScorer(concept)
	if err != nil {
		t.Fatal(err)
	}
	probe := vectors.ProbeScorer(s.engine, s.model, model.Site{Kind: model.Embed}, mat.Row(nil, 7, unembedding), 0, 4)
	var compiles []int
	counted := func(ctx context.Context, list []vectors.Placed, prompts, outputs [][]int32) ([]float64, error) {
		defer func() { compiles = append(compiles, s.engine.Compiles()) }()
		return logit(ctx, list, prompts, outputs)
	}
	curve, err := vectors.DoseResponse(t.Context(), s.engine, s.model, prompts, steer, counted, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if compiles[1] != compiles[3] || curve.Spearman < 0.9 || curve.Trend.PIncreasing > 1e-3 {
		t.Errorf("Spearman %.3f, trend %+v, compiles %v", curve.Spearman, curve.Trend, compiles)
	}
	for i, d := range curve.Doses {
		if d.Perplexity.Value < 1 || d.Perplexity.Low > d.Perplexity.Value || d.Perplexity.High < d.Perplexity.Value || d.Distinct.Value <= 0 || d.Distinct.Value > 1 {
			t.Errorf("dose %v: %+v", d.Strength, d)
		}
		if i > 0 && d.Concept.Value <= curve.Doses[i-1].Concept.Value {
			t.Errorf("dose %v: concept %v after %v", d.Strength, d.Concept.Value, curve.Doses[i-1].Concept.Value)
		}
	}
	if zero, strong := curve.Doses[1], curve.Doses[3]; strong.Perplexity.Value <= zero.Perplexity.Value {
		t.Errorf("perplexity %v at dose 0, %v at dose 40", zero.Perplexity.Value, strong.Perplexity.Value)
	}
	plain, err := s.engine.Generate(t.Context(), s.model, prompts, model.GenerateOptions{MaxNew: cfg.MaxNew})
	if err != nil {
		t.Fatal(err)
	}
	for r := range plain {
		if !slices.Equal(plain[r], curve.Doses[1].Outputs[r]) {
			t.Errorf("row %d: %v at dose 0, %v without an edit", r, curve.Doses[1].Outputs[r], plain[r])
		}
	}
	for name, score := range map[string]vectors.Scorer{"lexicon": lexicon, "probe": probe} {
		mean := func(dose int) float64 {
			t.Helper()
			got, err := score(t.Context(), nil, prompts, curve.Doses[dose].Outputs)
			if err != nil {
				t.Fatal(err)
			}
			return floats.Sum(got) / float64(len(got))
		}
		if strong, zero := mean(3), mean(1); strong <= zero {
			t.Errorf("%s: %v at dose 40, %v at dose 0", name, strong, zero)
		}
	}
	cfg.Strengths = []float64{1, 0}
	if _, err := vectors.DoseResponse(t.Context(), s.engine, s.model, prompts, steer, logit, cfg); err == nil {
		t.Error("descending strengths were accepted")
	}
}
