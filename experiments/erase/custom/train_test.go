package custom

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase/encoder"
	"loupe/experiments/erase/encoder/encodertest"
	"loupe/vectors"
)

// TestPrompt: the word stands where the pattern has it, and with the embedding of a real word the states are those of the text.
func TestPrompt(t *testing.T) {
	e := encodertest.MiniLM(t)
	for pattern, full := range map[string]string{
		"a photo of a <new1> dog": "a photo of a small dog", "<new1> dogs bark.": "small dogs bark.", "it is <new1>": "it is small", "a café, <new1>.": "a café, small.",
	} {
		p, err := NewPrompt(e, pattern)
		if err != nil {
			t.Fatal(err)
		}
		want, err := e.States(t.Context(), nil, []string{full})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(want[0].Tokens, "small")
		if p.At != at || p.Len() != want[0].Len() {
			t.Fatalf("%q: the word is at %d of %d, want %d of %d", pattern, p.At, p.Len(), at, want[0].Len())
		}
		word, err := e.WordEmbeddings(want[0].IDs[at : at+1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.SoftStates(t.Context(), nil, []*encoder.Soft{p.Soft(word.RawRowView(0))})
		if err != nil {
			t.Fatal(err)
		}
		var diff mat.Dense
		diff.Sub(got[0].X, want[0].X)
		if !(mat.Max(&diff) < 1e-4 && mat.Min(&diff) > -1e-4) { // float32, by other programs
			t.Errorf("%q: states differ by %v", pattern, mat.Norm(&diff, 2))
		}
	}
	for _, bad := range []string{"a dog", "<new1> and <new1>", "<new1>"} {
		if _, err := NewPrompt(e, bad); !errors.Is(err, vectors.ErrArgument) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLearnWords: a word learned towards "a photo of a tiny dog" comes nearer to it than where it began; with the preservation loss
// alone in command the phrase stays nearer to its class; one that is not trained on its own is not moved by the others.
func TestLearnWords(t *testing.T) {
	e := encodertest.MiniLM(t)
	prompts, err := Prompts(e, []string{"a photo of a <new1> dog", "an image of a <new1> dog"})
	if err != nil {
		t.Fatal(err)
	}
	class, err := e.Embed(t.Context(), nil, []string{"a photo of a dog", "an image of a dog"})
	if err != nil {
		t.Fatal(err)
	}
	target, err := e.Embed(t.Context(), nil, []string{"a castle with a red flag"})
	if err != nil {
		t.Fatal(err)
	}
	start, err := RandomWords(e, 1, []int32{2235, 2417, 2304, 4586, 2665}, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		t.Fatal(err)
	}
	subject := Subject{Prompts: prompts, Class: class, Target: target.RawRowView(0), Start: start.RawRowView(0)}
	kept := subject
	kept.Preserve = 1
	cfg := LearnConfig{Steps: 10, LR: 0.02}
	got, err := LearnWords(t.Context(), e, []Subject{subject, kept}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	last := cfg.Steps - 1
	if free := got[0]; !(free.Fidelity[last] < free.Fidelity[0]-0.1) {
		t.Errorf("fidelity loss %v to %v", free.Fidelity[0], free.Fidelity[last])
	}
	if !(got[1].Spread[last] < got[0].Spread[last]-0.05) || !(got[1].Fidelity[last] > got[0].Fidelity[last]) {
		t.Errorf("distance to the class %v with and %v without the loss, to the target %v and %v", got[1].Spread[last], got[0].Spread[last], got[1].Fidelity[last], got[0].Fidelity[last])
	}
	alone, err := LearnWords(t.Context(), e, []Subject{subject, subject}, LearnConfig{Steps: 2, LR: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	if d := alone[0].Fidelity[1] - got[0].Fidelity[1]; !(math.Abs(d) < 1e-6) { // batches may round differently
		t.Errorf("beside one word and beside another the second step's losses differ by %v", d)
	}
	subject.Target = subject.Target[1:]
	if _, err := LearnWords(t.Context(), e, []Subject{subject}, cfg); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("a short target: %v", err)
	}
	if _, err := LearnWords(t.Context(), e, []Subject{kept}, LearnConfig{Steps: 1}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("no rate: %v", err)
	}
}

// TestMergeTokens: means by hand.
func TestMergeTokens(t *testing.T) {
	got, err := MergeTokens(mat.NewDense(3, 2, []float64{1, 2, 5, 6, 3, 4}), []int{1, 0, 1}, 2)
	if err != nil || !mat.Equal(got, mat.NewDense(2, 2, []float64{5, 6, 2, 3})) {
		t.Errorf("%v, %v", got, err)
	}
	for _, label := range [][]int{{0, 0, 0}, {0, 1, 2}, {0, 1}} {
		if _, err := MergeTokens(mat.NewDense(3, 2, []float64{1, 2, 5, 6, 3, 4}), label, 2); err == nil {
			t.Errorf("labels %v are taken", label)
		}
	}
}

// TestInvert: words for two planted concepts, in equal steps with and without a split; each is nearest to its own target.
func TestInvert(t *testing.T) {
	e := encodertest.MiniLM(t)
	prompts, err := Prompts(e, []string{"a photo of a <new1>"})
	if err != nil {
		t.Fatal(err)
	}
	targets, err := e.Embed(t.Context(), nil, []string{"a photo of a dog", "a photo of a castle"})
	if err != nil {
		t.Fatal(err)
	}
	ids := []int32{2235, 2417, 2304, 4586, 2665, 3899, 3317}
	cfg := SplitMergeConfig{Tokens: 3, Split: 10, Merged: 8, LR: 0.03, Weight: 0.01, Temperature: 0.1}
	single := cfg
	single.Tokens = 1
	var runs []*Inversion
	for _, c := range []SplitMergeConfig{cfg, single} {
		start, err := RandomWords(e, 2*c.Tokens, ids, rand.New(rand.NewPCG(2, 1)))
		if err != nil {
			t.Fatal(err)
		}
		run, err := NewInversion(targets, start, c, 1)
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	if err := Invert(t.Context(), e, prompts, runs); err != nil {
		t.Fatal(err)
	}
	for i, r := range runs {
		if k, _ := r.Words.Dims(); k != 2 || len(r.Loss) != 18 {
			t.Fatalf("run %d: %d words, %d steps", i, k, len(r.Loss))
		}
		soft := []*encoder.Soft{prompts[0].Soft(r.Words.RawRowView(0)), prompts[0].Soft(r.Words.RawRowView(1))}
		states, err := e.SoftStates(t.Context(), nil, soft)
		if err != nil {
			t.Fatal(err)
		}
		x, err := e.Rows(states)
		if err != nil {
			t.Fatal(err)
		}
		partner, cosine, err := vectors.MatchCosines(x, targets, false)
		if err != nil || !slices.Equal(partner, []int{0, 1}) || !(r.Loss[17] < r.Loss[0]-0.1) {
			t.Errorf("run %d: partners %v, cosines %v, loss %v to %v, %v", i, partner, cosine, r.Loss[0], r.Loss[17], err)
		}
	}
	if _, err := NewInversion(targets, mat.NewDense(5, e.Width(), nil), cfg, 1); err == nil {
		t.Error("tokens without values are taken")
	}
	other := single
	other.Merged++
	start, _ := RandomWords(e, 2, ids, rand.New(rand.NewPCG(2, 1)))
	run, err := NewInversion(targets, start, other, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := Invert(t.Context(), e, prompts, []*Inversion{runs[0], run}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("runs of unequal steps: %v", err)
	}
}

// TestSplitContrast: where targets say nothing, SupCon alone gathers a concept's tokens and parts the concepts.
func TestSplitContrast(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	start := random(rng, 6, 8)
	run, err := NewInversion(random(rng, 2, 8), start, SplitMergeConfig{Tokens: 3, Split: 200, LR: 0.05, Weight: 1, Temperature: 1}, 1)
	if err != nil {
		t.Fatal(err)
	}
	spread := func() (within, across float64) {
		for i := range 6 {
			for j := range i {
				c, err := vectors.Cosine(run.tokens.RawRowView(i), run.tokens.RawRowView(j))
				if err != nil {
					t.Fatal(err)
				}
				if run.label[i] == run.label[j] {
					within += c / 6
				} else {
					across += c / 9
				}
			}
		}
		return within, across
	}
	for range 200 {
		run.chosen = []int{0, 3}
		if err := run.update([][]float64{make([]float64, 8), make([]float64, 8)}); err != nil {
			t.Fatal(err)
		}
	}
	if within, across := spread(); !(within > 0.9) || !(across < 0) {
		t.Errorf("cosine %v within and %v across concepts", within, across)
	}
}

// TestFitHeads: two aspects planted in orthogonal subspaces with noise; each head tells its own aspect by the nearest mean.
func TestFitHeads(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 1))
	const kinds, d, each = 4, 16, 6
	content, style := random(rng, kinds, d), random(rng, kinds, d)
	x := mat.NewDense(kinds*kinds*each, d, nil)
	labels := make([][]int, 2)
	for i := range kinds * kinds * each {
		c, s := i%kinds, i/kinds%kinds
		row := x.RawRowView(i)
		for j := range row {
			row[j] = 5 + 0.2*rng.NormFloat64()
		}
		floats.Add(row, content.RawRowView(c))
		floats.Add(row, style.RawRowView(s))
		labels[0], labels[1] = append(labels[0], c), append(labels[1], s)
	}
	cfg := HeadsConfig{Width: 8, Steps: 120, Batch: 48, LR: 0.01, Temperature: 0.2, Orthogonal: 1}
	heads, err := FitHeads(t.Context(), x, labels, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := FitHeads(t.Context(), x, labels, cfg, 1)
	if err != nil || !slices.Equal(again.Loss, heads.Loss) {
		t.Errorf("equal seeds differ: %v", err)
	}
	z := make([]*mat.Dense, 2)
	for a := range z {
		if z[a], err = heads.Apply(a, x); err != nil {
			t.Fatal(err)
		}
		means, counts, err := vectors.ClassMeans(z[a], labels[a])
		if err != nil || len(counts) != kinds {
			t.Fatal(err)
		}
		right := 0
		for i := range labels[a] {
			best, at := -2.0, 0
			for k := range kinds {
				if c, _ := vectors.Cosine(z[a].RawRowView(i), means.RawRowView(k)); c > best {
					best, at = c, k
				}
			}
			if at == labels[a][i] {
				right++
			}
		}
		if right < len(labels[a])*9/10 {
			t.Errorf("head %d tells %d of %d", a, right, len(labels[a]))
		}
	}
	cosine := func(h *Heads) float64 {
		sum := 0.0
		a, _ := h.Apply(0, x)
		b, _ := h.Apply(1, x)
		for i := range labels[0] {
			c, _ := vectors.Cosine(a.RawRowView(i), b.RawRowView(i))
			sum += math.Abs(c) / float64(len(labels[0]))
		}
		return sum
	}
	cfg.Orthogonal = 0
	free, err := FitHeads(t.Context(), x, labels, cfg, 1)
	if err != nil {
		t.Fatal(err)
	}
	if with, without := cosine(heads), cosine(free); !(with < 0.15) || !(without > 2*with) {
		t.Errorf("|cos| between heads %v with and %v without the term", with, without)
	}
	if _, err := heads.Apply(2, x); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("a third head: %v", err)
	}
}

// TestDifferential: shifts by hand; an offset planted at the third layer is the peak and its steering vector.
func TestDifferential(t *testing.T) {
	d, err := ProbeDifferences([]*mat.Dense{mat.NewDense(1, 2, []float64{3, 4})}, []*mat.Dense{mat.NewDense(1, 2, []float64{3, 1})})
	if err != nil || d.Shift[0][0] != 0.6 || d.Offset[0].At(0, 1) != 3 {
		t.Fatalf("%+v, %v", d, err)
	}
	rng := rand.New(rand.NewPCG(5, 1))
	var with, without, other []*mat.Dense
	planted := random(rng, 1, 8).RawRowView(0)
	for l := range 5 {
		x := random(rng, 10, 8)
		x.Scale(math.Pow(3, float64(l)), x) // streams grow with depth
		with = append(with, x)
		less, control := random(rng, 10, 8), random(rng, 10, 8)
		for _, m := range []*mat.Dense{less, control} {
			m.Scale(0.01*math.Pow(3, float64(l)), m)
			m.Add(m, x)
		}
		if l == 2 {
			for i := range 10 {
				floats.AddScaled(less.RawRowView(i), -9, planted)
			}
		}
		without, other = append(without, less), append(other, control)
	}
	got, err := ProbeDifferences(with, without)
	if err != nil {
		t.Fatal(err)
	}
	control, err := ProbeDifferences(with, other)
	if err != nil {
		t.Fatal(err)
	}
	above, err := got.Above(control)
	if err != nil || Peak(got.Shift) != 2 || Peak(above) != 2 {
		t.Errorf("peaks %d and %d, %v", Peak(got.Shift), Peak(above), err)
	}
	v, err := got.Steering(2, []int{0, 3, 4, 9})
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := vectors.Cosine(v, planted); !(c > 0.99) {
		t.Errorf("cosine of the offset with the planted one: %v", c)
	}
	if _, err := got.Steering(5, []int{0}); !errors.Is(err, vectors.ErrArgument) {
		t.Errorf("layer 5 of 5: %v", err)
	}
	if _, err := ProbeDifferences(with, without[1:]); !errors.Is(err, vectors.ErrShape) {
		t.Errorf("four layers against five: %v", err)
	}
}
