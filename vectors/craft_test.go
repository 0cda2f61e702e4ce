package vectors

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
)

// TestSpansHand: windows of 4, 3 apart, of 9 tokens, of 4, of 2 and of none.
func TestSpansHand(t *testing.T) {
	got := ok(Spans([]int{9, 4, 2, 0}, 4, 3))(t)
	want := []Span{{0, 0, 4}, {0, 3, 7}, {0, 5, 9}, {1, 0, 4}, {2, 0, 2}}
	if !slices.Equal(got, want) {
		t.Errorf("spans %v, want %v", got, want)
	}
	means := ok(SpanMeans([]*mat.Dense{rows([]float64{1, 0}, []float64{3, 4}, []float64{5, 2})}, []Span{{0, 0, 2}, {0, 2, 3}}))(t)
	closeTo(t, "means", flat(means), []float64{2, 2, 5, 2}, 1e-14)
	closeTo(t, "sums", ok(SpanScores([]float64{1, 2, 4}, []Span{{0, 0, 2}, {0, 1, 3}}))(t), []float64{3, 6}, 1e-14)
	for _, c := range [][2]int{{0, 1}, {3, 0}, {3, 4}} {
		if _, err := Spans([]int{5}, c[0], c[1]); !errors.Is(err, ErrArgument) {
			t.Errorf("width %d, stride %d: %v", c[0], c[1], err)
		}
	}
}

// topics draws texts of tokens that are about one of r topics for a while and then about another: activations >= 0 [tokens, d] near
// the topic's direction, times how strongly the token speaks of it.
func topics(seed uint64, texts, tokens, d, r int) (out []*mat.Dense, truth *mat.Dense, about [][]int) {
	rng := rand.New(rand.NewPCG(seed, 9))
	truth = mat.NewDense(r, d, nil)
	for i := range truth.RawMatrix().Data {
		truth.RawMatrix().Data[i] = max(0, rng.NormFloat64()-0.3)
	}
	for range texts {
		a, on := mat.NewDense(tokens, d, nil), make([]int, tokens)
		topic := 0
		for t := range tokens {
			if t%8 == 0 {
				topic = rng.IntN(r)
			}
			on[t] = topic
			floats.AddScaled(a.RawRowView(t), 0.5+rng.Float64(), truth.RawRowView(topic))
			for j := range d {
				a.Set(t, j, a.At(t, j)+0.1*math.Abs(rng.NormFloat64()))
			}
		}
		out, about = append(out, a), append(about, on)
	}
	return out, truth, about
}

// TestCRAFTPlanted: topics of texts are found with cosines above 0.9, from a random and from a given start; a score that reads
// one topic alone gives that concept the largest total index in every text that has it, and none elsewhere; and the map of a
// text puts a topic's score on its tokens.
func TestCRAFTPlanted(t *testing.T) {
	const d, r, tokens = 30, 5, 24
	texts, truth, about := topics(1, 40, tokens, d, r)
	lengths := slices.Repeat([]int{tokens}, len(texts))
	spans := ok(Spans(lengths, 6, 4))(t)
	start := normalRows(3, r, d)
	start.Apply(func(_, _ int, v float64) float64 { return 0.1 + math.Abs(v) }, start)
	for name, x := range map[string]Extractor{
		"random start": NMFExtractor{Config: DefaultHALS()}, "given start": NMFExtractor{Config: DefaultHALS(), W: start},
		"semi-NMF": SemiNMFExtractor{Config: DefaultHALS()},
	} {
		c := ok(FitCRAFT(t.Context(), x, texts, spans, r, 1))(t)
		partner, cosine, err := MatchCosines(truth, c.Concepts.W, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%-12s matched cosines %.3f", name, cosine)
		least := 0.9
		if name == "semi-NMF" {
			least = 0.85 // CRAFT is NMF; without W >= 0 the concepts of spans of two topics are not unique
		}
		if floats.Min(cosine) < least {
			t.Errorf("%s: matched cosines %.3f", name, cosine)
		}
		if name == "semi-NMF" {
			continue // the rest is of CRAFT
		}
		const topic = 2
		var dual mat.Dense // reads topic 2 and no other
		if err := dual.Solve(truth, identity(r)); err != nil {
			t.Fatal(err)
		}
		head := MeanScore{Linear{Weights: mat.Col(nil, topic, &dual)}}
		total := ok(c.Importance(t.Context(), SobolImportance{Points: 256}, func(int) TextScore { return head }, texts[:12], 1))(t)
		found := 0
		for i := range 12 {
			if !slices.Contains(about[i], topic) {
				continue
			}
			found++
			if at := floats.MaxIdx(total.RawRowView(i)); at != partner[topic] || total.At(i, at) < 0.9 {
				t.Errorf("%s, text %d: total indices %.3f, the topic is concept %d", name, i, total.RawRowView(i), partner[topic])
			}
		}
		if found == 0 {
			t.Fatal("no text has the topic")
		}
		down, up, err := c.Curves(t.Context(), func(int) TextScore { return head }, texts[:12], total)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			if last := down.At(i, 0); slices.Contains(about[i], topic) && (math.Abs(down.At(i, 1)) > 0.1*last || math.Abs(up.At(i, 1)-last) > 0.1*last) {
				t.Errorf("%s, text %d: without its concept %v of %v is left, with it alone %v", name, i, down.At(i, 1), last, up.At(i, 1))
			}
		}
		onTopic, all := 0.0, 0.0
		for i := range 12 {
			m := ok(c.Concepts.TokenMap(t.Context(), texts[i]))(t)
			for at, k := range about[i] {
				v := math.Abs(m.At(at, partner[topic]))
				all += v
				if k == topic {
					onTopic += v
				}
			}
		}
		t.Logf("%-12s share of the map on the topic's tokens %.3f", name, onTopic/all)
		if onTopic/all < 0.85 {
			t.Errorf("%s: %.3f of the map lies on the topic's tokens", name, onTopic/all)
		}
	}
}

// TestCRAFTRecursion: two topics that a layer does not tell apart are one concept there, and two in the earlier layer, where they
// differ; spans of other topics stay out.
func TestCRAFTRecursion(t *testing.T) {
	const d, r, tokens = 30, 4, 24
	earlier, truth, about := topics(5, 40, tokens, d, r)
	var merge mat.Dense // topic 1 becomes topic 0
	if err := merge.Solve(truth, identity(r)); err != nil {
		t.Fatal(err)
	}
	late := make([]*mat.Dense, len(earlier))
	target := mat.DenseCopyOf(truth)
	target.SetRow(1, truth.RawRowView(0))
	for i, a := range earlier {
		weights := product(a, &merge) // [tokens, r]
		weights.Apply(func(_, _ int, v float64) float64 { return max(0, v) }, weights)
		late[i] = product(weights, target)
	}
	spans := ok(Spans(slices.Repeat([]int{tokens}, len(earlier)), 8, 8))(t)
	x := NMFExtractor{Config: DefaultHALS()}
	c := ok(FitCRAFT(t.Context(), x, late, spans, r-1, 1))(t)
	mixed, _, err := MatchCosines(rows(truth.RawRowView(0)), c.Concepts.W, false)
	if err != nil {
		t.Fatal(err)
	}
	strongest := ok(c.Strongest(mixed[0], 40))(t)
	for _, p := range strongest {
		if s := c.Spans[p]; about[s.Text][s.From] > 1 {
			t.Errorf("span %v of topic %d is among the strongest of the mixed concept", s, about[s.Text][s.From])
		}
	}
	sub := ok(c.Recurse(t.Context(), x, earlier, mixed[0], 40, 2, 1))(t)
	_, cosine, err := MatchCosines(mat.DenseCopyOf(truth.Slice(0, 2, 0, d)), sub.Concepts.W, false)
	if err != nil || floats.Min(cosine) < 0.9 {
		t.Errorf("sub-concepts have cosines %.3f with the topics: %v", cosine, err)
	}
	t.Logf("sub-concepts: cosines %.3f from %d spans", cosine, len(sub.Spans))
	if _, err := sub.Recurse(t.Context(), x, earlier, 0, 40, 41, 1); !errors.Is(err, ErrArgument) {
		t.Errorf("more concepts than spans: %v", err)
	}
	if _, err := c.Strongest(9, 1); !errors.Is(err, ErrArgument) {
		t.Errorf("a concept that is not there: %v", err)
	}
}

// TestMapsSum: a map's column is its concept's code, for NMF and semi-NMF, since codes are linear in a on their support; a map of the inputs
// through a linear model is that of the model's matrix; masks' gradients are those of differences.
func TestMapsSum(t *testing.T) {
	texts, _, _ := topics(2, 20, 16, 12, 3)
	spans := ok(Spans(slices.Repeat([]int{16}, 20), 4, 4))(t)
	for _, x := range []Extractor{NMFExtractor{Config: DefaultHALS()}, SemiNMFExtractor{Config: DefaultHALS()}} {
		c := ok(FitCRAFT(t.Context(), x, texts, spans, 3, 1))(t).Concepts
		m := ok(c.TokenMap(t.Context(), texts[4]))(t)
		mean := mat.NewDense(1, 12, columnMeans(texts[4]))
		u := ok(c.Encode(t.Context(), mean))(t)
		closeTo(t, x.Name(), []float64{mat.Sum(m.ColView(0)), mat.Sum(m.ColView(1)), mat.Sum(m.ColView(2))}, flat(u), 1e-10)
		by := normalRows(3, 12, 12) // the activation is the mean of inputs times this; the inputs are by^-1 of the tokens
		var inputs mat.Dense
		if err := inputs.Solve(by.T(), texts[4].T()); err != nil {
			t.Fatal(err)
		}
		pull := func(_ context.Context, v []float64) ([]float64, error) {
			back := product(mat.NewDense(1, 12, v), by.T()).RawRowView(0)
			out := make([]float64, 16)
			for i := range out {
				out[i] = floats.Dot(back, mat.Col(nil, i, &inputs)) / 16
			}
			return out, nil
		}
		for k := range 3 {
			closeTo(t, "inputs", ok(c.InputMap(t.Context(), flat(mean), k, pull))(t), mat.Col(nil, k, m), 1e-8)
		}
		f := ok(c.MaskScore(t.Context(), MeanScore{network(12)}, texts[4]))(t)
		mask, h := rows([]float64{0.3, 0.9, 0.6}), 1e-6
		g := ok(f.Gradients(t.Context(), mask))(t)
		for k := range 3 {
			two := rows(mask.RawRowView(0), mask.RawRowView(0))
			two.Set(0, k, two.At(0, k)+h)
			two.Set(1, k, two.At(1, k)-h)
			v := ok(f.Values(t.Context(), two))(t)
			closeTo(t, "gradient of masks", []float64{g.At(0, k)}, []float64{(v[0] - v[1]) / (2 * h)}, 1e-6)
		}
	}
}
