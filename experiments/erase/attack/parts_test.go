package attack

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"loupe/experiments/erase"
	"loupe/experiments/erase/encoder"
)

// TestHand: the small parts of the searches by hand.
func TestHand(t *testing.T) {
	for _, c := range []struct{ prompt, name, words, want string }{
		{"there is a dog in this scene", "dog", "a pet that barks", "there is a pet that barks in this scene"},
		{"A dog runs", "dog", "the loyal animal", "the loyal animal runs"},
		{"a postcard with an elephant on it", "elephant", "tusker", "a postcard with an tusker on it"},
		{"a bulldog and a dog", "dog", "hound", "a bulldog and a hound"},
	} {
		if got, err := instead(c.prompt, c.name, c.words); err != nil || got != c.want {
			t.Errorf("%q: %q, %v; expected %q", c.prompt, got, err, c.want)
		}
	}
	if find("hotdogs", "dog") != -1 {
		t.Error("a part of a word is taken for the name")
	}
	// one step of AdamW from 1 with gradient 2: 1 - 0.1 (0.5 x 1 + 2/2)
	x, a := []float64{1}, AdamConfig{Steps: 1, LR: 0.1, Decay: 0.5}.solver(1)
	a.Step(x, []float64{2})
	if math.Abs(x[0]-0.85) > 1e-8 {
		t.Errorf("Adam's first step leads to %v, expected 0.85", x[0])
	}
	words := &table{ids: []int32{7, 8, 9}, unit: mat.NewDense(3, 2, []float64{1, 0, 0, 1, -1, 0})}
	if got := words.nearest(mat.NewDense(2, 2, []float64{-5, 1, 0.1, 0.2})); !slices.Equal(got, []int{2, 1}) {
		t.Errorf("nearest words %v, expected 2 and 1", got)
	}
	for _, c := range []struct {
		word          string
		front, behind bool
		want          bool
	}{{"##ing", false, false, true}, {"dog", false, false, false}, {"dog", true, false, true}, {"Ġdog", true, false, false}, {"do", false, true, true}, {"dog</w>", false, true, false}} {
		if isPiece(c.word, c.front, c.behind) != c.want {
			t.Errorf("%q: piece is %v", c.word, !c.want)
		}
	}
	if !isSpecial("[unused3]") || !isSpecial("<|endoftext|>") || isSpecial("[") || isSpecial("dog") {
		t.Error("special tokens")
	}
}

// TestSample draws from a distribution by its probabilities: 20,000 draws, 4 standard errors.
func TestSample(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	p, counts := []float64{0.5, 0, 0.3, 0.2}, make([]float64, 4)
	const n = 20000
	for range n {
		counts[sample(r, p)]++
	}
	for i, c := range counts {
		if math.Abs(c-n*p[i]) > 4*math.Sqrt(n*p[i]*(1-p[i])) {
			t.Errorf("place %d drawn %v times of %d, probability %v", i, c, n, p[i])
		}
	}
}

// TestBreed: the better half lives on unchanged; children hold at each place a token of a parent's same place, or one of the vocabulary
// where they mutate.
func TestBreed(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	pool := []genome{{[]int32{1, 1, 1}, 4}, {[]int32{2, 2, 2}, 1}, {[]int32{3, 3, 3}, 3}, {[]int32{4, 4, 4}, 2}}
	crossed := false
	for range 50 {
		next := breed(r, pool, &RingABellConfig{Crossover: 1}, []int32{9})
		if len(next) != 4 || !slices.Equal(next[0].ids, []int32{2, 2, 2}) || !slices.Equal(next[1].ids, []int32{4, 4, 4}) || next[1].loss != 2 {
			t.Fatalf("survivors %v", next)
		}
		for _, child := range next[2:] {
			for _, id := range child.ids {
				if id != 2 && id != 4 || !math.IsNaN(child.loss) {
					t.Fatalf("child %v has a token of neither parent, or a loss", child)
				}
			}
			crossed = crossed || child.ids[0] != child.ids[2]
		}
	}
	if !crossed {
		t.Error("no child is crossed")
	}
	for _, child := range breed(r, pool, &RingABellConfig{Mutation: 1}, []int32{9})[2:] {
		if nines := len(slices.DeleteFunc(slices.Clone(child.ids), func(id int32) bool { return id != 9 })); nines != 1 {
			t.Errorf("child %v has %d mutations, expected one", child.ids, nines)
		}
	}
}

// TestPrototypeLoss holds the loss against a hand value and its gradient against central differences.
func TestPrototypeLoss(t *testing.T) {
	s := &search{g: Goal{Class: 0, Zero: &erase.ZeroShot{Prototypes: mat.NewDense(2, 2, []float64{1, 0, 0, 1})}}}
	// cosines of (3, 4): 0.6 and 0.8; -log softmax is log(1 + exp(0.2 / 0.07))
	x := []float64{3, 4}
	got, g := s.prototypeLoss(x)
	if want := math.Log1p(math.Exp(0.2 / temperature)); math.Abs(got-want) > 1e-12 {
		t.Errorf("loss %v, expected %v", got, want)
	}
	for j := range x {
		const h = 1e-6
		up, down := slices.Clone(x), slices.Clone(x)
		up[j], down[j] = up[j]+h, down[j]-h
		a, _ := s.prototypeLoss(up)
		b, _ := s.prototypeLoss(down)
		if want := (a - b) / (2 * h); math.Abs(g[j]-want) > 1e-6 {
			t.Errorf("derivative %d is %v, by differences %v", j, g[j], want)
		}
	}
	if loss, g := s.prototypeLoss([]float64{0, 0}); !math.IsInf(loss, 1) || g[0] != 0 {
		t.Errorf("of a zero embedding: %v, %v", loss, g)
	}
}

// withScore has a score, of which the threshold is 4.
type withScore struct {
	encoder.Linear
	score float64
}

func (h withScore) Score(erase.Text) (float64, float64, *mat.Dense, error) {
	return h.score, 4, mat.NewDense(1, 2, []float64{8, -4}), nil
}

// TestPastScore: a hook with a score adds its gradient over the threshold, until the score is below that.
func TestPastScore(t *testing.T) {
	g := mat.NewDense(1, 2, []float64{1, 1})
	for score, want := range map[float64][]float64{5: {7, -2}, 3: {1, 1}} {
		got, err := pastGate{withScore{score: score}, 3}.Pullback(erase.Text{X: g, Length: 1}, g)
		if err != nil || !slices.Equal(got.RawRowView(0), want) {
			t.Errorf("score %v: %v, %v; expected %v", score, got, err, want)
		}
	}
}

// TestPastGateGradient: the gradient past a gate is that of weight |H(x) - x|² / |x|² with |x| fixed, beside the loss's own; nothing where the
// hook does not act.
func TestPastGateGradient(t *testing.T) {
	m := &erase.Map{Left: mat.NewDense(2, 1, []float64{1, 2}), Right: mat.NewDense(2, 1, []float64{0.5, -1})}
	h := pastGate{encoder.Linear{Map: m}, 3}
	text := erase.Text{X: mat.NewDense(2, 2, []float64{1, 2, 3, 5}), Length: 2}
	x, acted, err := h.Apply(text)
	if err != nil || !acted || !mat.Equal(x, text.X) {
		t.Fatalf("the states change: %v, %v, %v", x, acted, err)
	}
	upstream := mat.NewDense(2, 2, []float64{0.1, 0.2, 0.3, 0.4})
	got, err := h.Pullback(text, upstream)
	if err != nil {
		t.Fatal(err)
	}
	penalty := func(x *mat.Dense) float64 { // H(x) - x = Left (Right . x)
		sum := 0.0
		for i := range 2 {
			s := 0.5*x.At(i, 0) - x.At(i, 1)
			sum += 5 * s * s
		}
		return 3 * sum / 39
	}
	for i := range 2 {
		for j := range 2 {
			const step = 1e-5
			up, down := mat.DenseCopyOf(text.X), mat.DenseCopyOf(text.X)
			up.Set(i, j, up.At(i, j)+step)
			down.Set(i, j, down.At(i, j)-step)
			want := upstream.At(i, j) + (penalty(up)-penalty(down))/(2*step)
			if math.Abs(got.At(i, j)-want) > 1e-8 {
				t.Errorf("derivative %d, %d is %v, by differences %v", i, j, got.At(i, j), want)
			}
		}
	}
}
